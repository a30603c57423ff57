"""Whatever a field of a job's record holds, its service is shown, and as JSON; so is the job."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS

from console.api import ServiceView
from console.snapshots import KEPT_SECONDS
from console.status import MOST_CHARACTERS, Found, ServiceState, queue_of, status_of
from deletion.adapters.mongo.job_document import from_document, readable, to_document
from deletion.job import (
    STALE,
    Failure,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    Throttled,
)
from tests.support.clock import START
from tests.support.factories import a_deletion_request, new_job
from tests.support.memory_stores import MemoryJobStore
from tests.support.visiting import Console

NOW = START + timedelta(hours=1)
POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3)
FAILURE = Failure("HttpRefused", "403", START)
REQUEST = a_deletion_request()
JUNK: list[Any] = [
    None,
    7,
    -1,
    2**63 - 1,
    float("nan"),
    "",
    "\x00<b>\u202e",
    b"\xff",
    [],
    [[]],
    {},
    {"$ref": "x"},
    datetime(1, 1, 1, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    DatetimeMS(300_000_000_000_000),
]
OTHERS: list[Any] = [None, 7, "\x00<b>", {}]
Path = tuple[Any, ...]


def a_document(status: Status, *, rolls_back: bool) -> dict[str, Any]:
    """A record that has every field."""
    rows = StepProgress("rows", StepStatus.IN_PROGRESS, 12, "c", 3, 0.5, "empty", START)
    steps = (StepProgress("files", StepStatus.COMPLETE, 3, throttled=Throttled("x", 1.0)), rows)
    job = new_job(
        status,
        due=START if status in {Status.PENDING, Status.FAILED} else None,
        failure=FAILURE,
        finished_at=START,
        steps=steps,
        compensations=(StepProgress("files"),),
        past_attempts=tuple(PastAttempt(n, "w", "rows", 1, START, STALE) for n in (1, 2)),
        point_of_no_return="rows",
        rollback_cause=FAILURE if rolls_back else None,
    )
    return to_document(job)


def paths(value: object, before: Path = ()) -> Iterator[Path]:
    """Every place in a document."""
    if before:
        yield before
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, (*before, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*before, number))


def damaged(document: dict[str, Any], path: Path, junk: object) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    holder: Any = changed
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = junk
    return changed


def states_of(document: dict[str, Any]) -> Iterator[ServiceState]:
    for path in paths(document):
        for junk in JUNK:
            job = readable(damaged(document, path, junk))
            queue_of(job, NOW)
            status = status_of(REQUEST, REQUEST.shares[0], Found(job, ahead=1), NOW, POLICY)
            assert len(status.reason) <= MOST_CHARACTERS
            assert ServiceView.model_validate(status).model_dump_json()
            yield status.state


@pytest.mark.proves("status-damage")
@pytest.mark.parametrize("rolls_back", [False, True])
@pytest.mark.parametrize("status", Status)
def test_whatever_is_damaged_the_service_is_shown(status: Status, rolls_back: bool) -> None:
    found = [*states_of(a_document(status, rolls_back=rolls_back))]
    assert ServiceState.UNREADABLE in found
    assert ServiceState(status.value) in found
    assert len(found) > 500


class Damaged(MemoryJobStore):
    """Has one job, as its record reads."""

    async def get(self, job_id: str) -> Job | None:
        return from_document(self.document)

    document: dict[str, Any]


@pytest.mark.virtual_time
async def test_whatever_is_damaged_in_a_step_or_an_attempt_there_is_a_page_of_the_job() -> None:
    console, jobs = Console(), Damaged()
    console.jobs = jobs
    document = a_document(Status.FAILED, rolls_back=True)
    seen = set()
    async with console.visited() as visited:
        for path in paths(document):
            if path[0] not in {"steps", "compensations", "pastAttempts"}:
                continue
            for junk in OTHERS:
                jobs.document = damaged(document, path, junk)
                console.virtual.pause(KEPT_SECONDS)
                page = await visited.get(f"/jobs/{document['_id']}")
                assert page.status_code == 200, (path, junk)
                seen.add("Its record cannot be read" in page.text)
    assert seen == {True, False}
