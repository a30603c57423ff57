"""What was found is kept; a run that cannot be kept is a warning, and fails nothing."""

import socket

import pytest
from pymongo.errors import OperationFailure

from botdel.doctor.findings import LOOK_AT_DATABASE
from botdel.doctor.keeping import CHECK, kept
from deletion.doctor import Examination, Finding, Verdict
from deletion.errors import StoreUnavailable
from tests.support.clock import START, VirtualClock
from tests.support.memory_console import MemoryExaminationStore

pytestmark = pytest.mark.virtual_time
FINDINGS = [Finding("breakers", Verdict.OK, "no breaker is open")]


class Refusing(MemoryExaminationStore):
    """Keeps nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def keep(self, examination: Examination) -> None:
        raise self._error


async def test_what_was_found_is_kept_with_its_time_and_host() -> None:
    store = MemoryExaminationStore()
    assert await kept(FINDINGS, store, VirtualClock()) == []
    assert store.examination == Examination(START, socket.gethostname(), tuple(FINDINGS))


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (StoreUnavailable("MongoDB has no primary"), "MongoDB has no primary"),
        (OperationFailure("not authorized", details={"errmsg": "not authorized"}), "not auth"),
        (RuntimeError("boom"), "boom (RuntimeError)"),
    ],
    ids=["away", "forbidden", "unexpected"],
)
async def test_a_run_that_cannot_be_kept_is_a_warning(error: Exception, detail: str) -> None:
    [finding] = await kept(FINDINGS, Refusing(error), VirtualClock())
    assert (finding.check, finding.status) == (CHECK, Verdict.WARNING)
    assert detail in finding.detail
    assert finding.remedy == LOOK_AT_DATABASE or isinstance(error, RuntimeError)
