"""What `botdel doctor` finds, and the port of the store that keeps what it found last."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    SKIPPED = "skipped"  # there is no way to check it
    WARNING = "warning"  # it cannot be checked from here, or it is worth knowing
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, its state, and what to do about it."""

    check: str
    status: Verdict
    detail: str
    remedy: str = ""
