"""`botdel jobs retry` sends a job on, and nothing else: the consumer's claim does the rest."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from botdel import jobs
from botdel.jobs import as_dict, describe, send_on
from deletion.errors import BusUnavailable, LeaseLost, TransitionError
from deletion.events import ResumeRequested, decode
from deletion.job import Failure, Job, PastAttempt, Status, StepProgress
from tests.support.fakes import POLICY, START, MemoryBus, ScriptedStore, VirtualClock, a_job
from tests.support.hostile import HOSTILE, SHOWN, harmless

SPENT = POLICY.max_attempts
SILENT = START - POLICY.stale_after
FAILURE = Failure("ValueError", "broken", START)


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.bus = MemoryBus(self.clock)

    async def send_on(self, job: Job) -> Job:
        return await send_on(job, self.store, self.bus, self.clock, POLICY)

    @property
    def asked(self) -> list[str]:
        """The jobs whose resumption was asked for."""
        events = [decode(message.data).event for message in self.bus.published]
        return [event.job_id for event in events if isinstance(event, ResumeRequested)]


@pytest.fixture
async def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("status", "silent_since"), [(Status.FAILED, START), (Status.IN_PROGRESS, SILENT)]
)
async def test_a_failed_or_stale_job_with_attempts_left_is_asked_for_as_it_is(
    world: World, status: Status, silent_since: datetime
) -> None:
    job = world.store.put(a_job(status, last_modified_at=silent_since))
    assert await world.send_on(job) == job
    assert world.asked == [job.id]
    assert world.store.applied == []


@pytest.mark.parametrize(
    ("status", "silent_since"),
    [(Status.EXHAUSTED, START), (Status.FAILED, START), (Status.IN_PROGRESS, SILENT)],
)
async def test_a_spent_job_gets_its_attempts_anew_before_it_is_asked_for(
    world: World, status: Status, silent_since: datetime
) -> None:
    job = world.store.put(a_job(status, attempt=SPENT, last_modified_at=silent_since))
    sent = await world.send_on(job)
    assert sent == world.store.jobs[job.id]
    assert (sent.status, sent.attempt) == (Status.FAILED, 0)
    assert sent.is_resumable(world.clock.now(), POLICY)
    assert world.asked == [job.id]


async def test_every_change_goes_along_the_table_of_transitions(world: World) -> None:
    job = world.store.put(a_job(Status.FAILED, attempt=SPENT))
    await world.send_on(job)
    assert [change.after.status for change in world.store.applied] == ["exhausted", "failed"]


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.COMPLETE])
async def test_a_job_that_runs_or_is_complete_is_refused(world: World, status: Status) -> None:
    job = world.store.put(a_job(status))
    with pytest.raises(TransitionError, match="nothing to retry"):
        await world.send_on(job)
    assert world.asked == []
    assert world.store.jobs == {job.id: job}


async def test_a_job_that_was_taken_up_meanwhile_is_left_alone(world: World) -> None:
    read = a_job(Status.EXHAUSTED, attempt=SPENT)
    moved = world.store.put(read.reopen(START + timedelta(seconds=1)).after)
    with pytest.raises(LeaseLost):
        await world.send_on(read)
    assert world.asked == []
    assert world.store.jobs == {read.id: moved}


async def test_a_job_whose_resumption_was_not_confirmed_can_be_sent_on_again(world: World) -> None:
    job = world.store.put(a_job(Status.EXHAUSTED, attempt=SPENT))
    world.bus.down = True
    with pytest.raises(BusUnavailable):
        await world.send_on(job)
    world.bus.down = False
    await world.send_on(world.store.jobs[job.id])
    assert world.asked == [job.id]


async def test_nothing_is_asked_for_when_the_database_refuses(world: World) -> None:
    job = world.store.put(a_job(Status.EXHAUSTED, attempt=SPENT))
    world.store.faults["apply"] = deque([PermissionError("not authorised")])
    with pytest.raises(PermissionError):
        await world.send_on(job)
    assert world.asked == []


def test_a_job_for_machines_has_the_names_of_the_collection() -> None:
    steps = (StepProgress("first", deleted=3, cursor="7", batches=2, slowest=0.5),)
    shown = as_dict(a_job(Status.FAILED, failure=FAILURE, steps=steps))
    assert shown["_id"] == "65f0a1b2c3d4e5f607180001"
    assert shown["lastModifiedAt"] == "2025-03-30T01:59:59.250000+00:00"
    assert shown["status"] == "failed"
    assert shown["live"] is True
    assert shown["finishedAt"] is None
    assert shown["steps"] == [
        {
            "name": "first",
            "status": "pending",
            "deleted": 3,
            "cursor": "7",
            "batches": 2,
            "slowest": 0.5,
        },
    ]
    assert shown["pastAttempts"] == []
    assert shown["failure"] == {
        "type": "ValueError",
        "message": "broken",
        "at": "2025-03-30T01:59:59.250000+00:00",
        "interrupted": False,
    }


def test_a_job_for_a_person_says_at_which_step_and_batch_each_attempt_stood(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = (StepProgress("first", deleted=3_000, cursor="7", batches=2, slowest=0.5),)
    past = (
        PastAttempt(1, "worker-1/a", "first", 3, START, "stale"),
        PastAttempt(2, "worker-2/b", None, 0, START, "LeftOvers"),
    )
    describe(a_job(Status.FAILED, failure=FAILURE, steps=steps, past_attempts=past), POLICY)
    shown = capsys.readouterr().out
    assert "3,000" in shown
    assert "0.5 s" in shown
    for row in (("first, batch 3", "stale", "worker-1/a"), ("every step was done", "LeftOvers")):
        assert any(all(cell in line for cell in row) for line in shown.splitlines()), shown


def hostile_job() -> Job:
    """Whatever text a record may hold is somebody else's."""
    step = StepProgress(f"step {HOSTILE}", cursor=f"cursor {HOSTILE}")
    past = PastAttempt(1, f"by {HOSTILE}", f"at {HOSTILE}", 3, START, f"ended {HOSTILE}")
    failure = Failure(f"type {HOSTILE}", f"message {HOSTILE}", START)
    job = a_job(Status.FAILED, failure=failure, steps=(step,), past_attempts=(past,))
    return replace(
        job,
        service=f"service {HOSTILE}",
        event_id=f"event {HOSTILE}",
        claimed_by=f"claimed {HOSTILE}",
    )


def test_no_text_of_a_job_is_markup_or_acts_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botdel.terminal.WIDE", 1_000)
    describe(hostile_job(), POLICY)
    shown = capsys.readouterr().out
    for field in ("type", "message", "service", "event", "claimed"):
        assert f"{field} {SHOWN}" in shown
    for cell in ("step", "cursor", "by", "at", "ended"):
        assert f"{cell} {SHOWN}" in shown
    assert harmless(shown)


async def test_no_text_in_the_list_of_jobs_is_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Store:
        async def find(self, **_: object) -> list[Job]:
            return [hostile_job()]

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[Store]:
        yield Store()

    monkeypatch.setattr(jobs, "opened", opened)
    monkeypatch.setattr("botdel.terminal.WIDE", 1_000)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://localhost")
    await jobs.show_list(None, None, None, 50, as_json=False)
    shown = capsys.readouterr().out
    assert f"service {SHOWN}" in shown
    assert f"type {SHOWN}" in shown
    assert harmless(shown)


def test_a_failure_of_several_lines_does_not_look_like_other_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    describe(a_job(Status.FAILED, failure=Failure("E", "one\njob x complete", START)), POLICY)
    assert "\njob x complete" not in capsys.readouterr().out
