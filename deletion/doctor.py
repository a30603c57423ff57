"""What `botdel doctor` finds, and the port of the store that keeps what it found last."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from deletion.ports import Unreadable

MAX_FINDINGS: Final = 500
"""Findings of one run that are kept."""
MAX_CHARACTERS: Final = 1_000
"""Characters of each of their texts that are kept."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    SKIPPED = "skipped"  # there is no way to check it
    WARNING = "warning"  # it cannot be checked from here, or it is worth knowing
    FAILED = "failed"


WORST_FIRST: Final = (Verdict.FAILED, Verdict.WARNING, Verdict.SKIPPED, Verdict.OK)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, its state, and what to do about it."""

    check: str
    status: Verdict
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """What one run found, when (UTC) and on which host.

    `left_out` is how many findings there were beyond `MAX_FINDINGS`.
    """

    at: datetime
    host: str
    findings: tuple[Finding, ...]
    left_out: int = 0

    @classmethod
    def of(cls, findings: Sequence[Finding], at: datetime, host: str) -> "Examination":
        """The run, cut to `MAX_FINDINGS` and `MAX_CHARACTERS`. What is left out is what matters
        least; the others keep their order.
        """
        ranked = sorted(range(len(findings)), key=lambda n: WORST_FIRST.index(findings[n].status))
        kept = sorted(ranked[:MAX_FINDINGS])
        cut = tuple(_cut(findings[n]) for n in kept)
        return cls(at, _short(host), cut, len(findings) - len(kept))


class ExaminationStore(Protocol):
    """Holds the last examination. Both methods raise `StoreUnavailable` when the database does not
    answer in time.
    """

    async def keep(self, examination: Examination) -> None:
        """Store it in place of the previous one, even if that cannot be read."""

    async def last(self) -> Examination | Unreadable | None:
        """The one that was kept last; None if there is none."""


def _cut(finding: Finding) -> Finding:
    return replace(
        finding,
        check=_short(finding.check),
        detail=_short(finding.detail),
        remedy=_short(finding.remedy),
    )


def _short(text: str) -> str:
    """The text, cut, with lone surrogates escaped, because they cannot be encoded as UTF-8."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= MAX_CHARACTERS else f"{whole[: MAX_CHARACTERS - 1]}…"
