"""What docs/scale.md says of sizes, settings, constants and metrics is what the code has."""

import importlib
import re
from typing import Final

from tests.architecture.documents import table
from tests.reference import READERS, default, every_metric, exported
from tests.support.paths import DOCS
from tests.support.sizes import Entries, documents, job_entries, request_entries

PAGE: Final = DOCS / "scale.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
SERVICES: Final = 100
"""That owe the request of the page."""


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def test_every_setting_to_raise_exists_and_has_the_default_that_is_said() -> None:
    real = {
        str(field.validation_alias or f"BOTDEL_{name.upper()}"): default(field).strip("`")
        for settings in READERS
        for name, field in settings.model_fields.items()
    }
    for row in table(PAGE, "setting", "default"):
        assert row["default"].replace(",", "") == real[row["setting"]], row["setting"]


def test_every_setting_named_anywhere_exists() -> None:
    real = {f"BOTDEL_{name.upper()}" for each in READERS for name in each.model_fields}
    assert set(re.findall(r"\bBOTDEL_[A-Z_]+\b", TEXT)) <= real


def test_every_constant_has_the_value_that_is_said() -> None:
    for row in table(PAGE, "constant", "value"):
        module, _, name = row["constant"].rpartition(".")
        assert number(row["value"]) == getattr(importlib.import_module(module), name), name


def test_every_metric_exists() -> None:
    real = {exported(metric) for metric in every_metric()}
    assert set(re.findall(r"\bbotdel_[a-z_]+", TEXT)) <= real


def test_every_record_has_the_size_that_is_said() -> None:
    said = {row["record"]: number(row["bytes"]) for row in table(PAGE, "record", "bytes")}
    assert said == documents()


def test_every_index_of_jobs_has_the_entries_that_are_said() -> None:
    assert _said("index of jobs") == _real(job_entries())


def test_every_index_of_requests_has_the_entries_that_are_said() -> None:
    assert _said("index of requests") == _real(request_entries(SERVICES))


def test_the_bytes_of_millions_are_those_of_the_tables() -> None:
    [pending, _, _, done] = (
        sum(entry.entries * entry.key for entry in each) for each in job_entries().values()
    )
    opened, closed = (
        sum(entry.entries * entry.key for entry in each)
        for each in request_entries(SERVICES).values()
    )
    record = documents()
    jobs, requests = 0.1, 0.001  # GB for each byte of 100 million records, and of a million
    words = " ".join(TEXT.split())
    assert (
        f"100 million complete jobs: {record['job, complete'] * jobs:.0f} GB and "
        f"{done * jobs:.0f} GB of indexes; as many pending ones: "
        f"{record['job, pending'] * jobs:.0f} GB and {pending * jobs:.0f} GB. "
        f"Their million requests: {record[f'request of {SERVICES}, settled'] * requests:.0f} GB "
        f"settled, or {record[f'request of {SERVICES}, open'] * requests:.0f} GB and "
        f"{opened * requests:.0f} GB of indexes while all are open."
    ) in words
    assert closed * requests < 0.5, "so small that the page leaves it out"


def _said(heading: str) -> dict[str, dict[str, str]]:
    """By index, what each column says."""
    rows = table(PAGE, heading)
    return {row[heading]: {k: v for k, v in row.items() if k != heading} for row in rows}


def _real(entries: dict[str, list[Entries]]) -> dict[str, dict[str, str]]:
    """The same of the code: bytes of a key, `N of bytes` for several, nothing for none."""
    found: dict[str, dict[str, str]] = {"all": {}}
    for state, each in entries.items():
        column = state.replace("_", " ")
        for entry in each:
            found.setdefault(entry.index, {})[column] = _shown(entry)
        found["all"][column] = f"{sum(entry.entries * entry.key for entry in each):,}"
    return found


def _shown(entry: Entries) -> str:
    if not entry.entries:
        return ""
    return f"{entry.key}" if entry.entries == 1 else f"{entry.entries} of {entry.key}"
