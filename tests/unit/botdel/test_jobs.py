"""`botdel jobs list` and `show`: what a job says of itself, to people and to machines."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from botdel import jobs
from botdel.jobs import as_dict, describe, tabulate
from deletion.clock import rfc3339
from deletion.job import (
    Direction,
    Failure,
    Job,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    Throttled,
)
from deletion.operating.next_move import next_move
from tests.support.clock import START
from tests.support.factories import POLICY, a_job, new_job
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.memory_stores import MemoryJobStore

SPENT = POLICY.max_attempts
SILENT = START - POLICY.stale_after
LONG_AGO = START - timedelta(days=9)
LATER = datetime(9999, 1, 1, tzinfo=UTC)
FAILURE = Failure("ValueError", "broken", START)
BACKWARD = Direction.BACKWARD


def a_saga(status: Status, **values: object) -> Job:
    """Before its point of no return, with a step that can be undone."""
    steps = (StepProgress("pause", StepStatus.IN_PROGRESS), StepProgress("messages"))
    undone = (StepProgress("pause"),)
    fields = {"point_of_no_return": "messages", "steps": steps, "compensations": undone}
    return a_job(status, **(fields | values))


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
            "readBack": None,
            "placedAt": None,
        },
    ]
    assert shown["pastAttempts"] == []
    assert shown["failure"] == {
        "type": "ValueError",
        "message": "broken",
        "at": "2025-03-30T01:59:59.250000+00:00",
        "interrupted": False,
    }


@pytest.mark.proves("deadly-deletion")
def test_a_job_for_a_person_says_at_which_step_and_batch_each_attempt_stood(
    capsys: pytest.CaptureFixture[str],
) -> None:
    held = Throttled("busy share 10 %", 41.25)
    steps = (
        StepProgress("first", deleted=3_000, cursor="7", batches=2, slowest=0.5, throttled=held),
    )
    past = (
        PastAttempt(1, "worker-1/a", "first", 3, START, "stale"),
        PastAttempt(2, "worker-2/b", None, 0, START, "LeftOvers"),
    )
    describe(a_job(Status.FAILED, failure=FAILURE, steps=steps, past_attempts=past), POLICY)
    shown = capsys.readouterr().out
    assert "3,000" in shown
    assert "0.5 s" in shown
    assert "step first was throttled for 41.2 s by busy share 10 %" in shown
    for row in (("first, batch 3", "stale", "worker-1/a"), ("every step was done", "LeftOvers")):
        assert any(all(cell in line for cell in row) for line in shown.splitlines()), shown


@pytest.mark.parametrize(
    ("events", "said"), [(("a",), "unknown, 1 request\n"), (("a", "b"), "unknown, 2 requests\n")]
)
def test_requests_are_counted(
    events: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(a_job(event_ids=events), POLICY)
    assert said in capsys.readouterr().out


def test_a_failed_job_that_was_handed_over_and_waits_for_a_worker_is_told_from_one_that_rests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    describe(a_job(Status.FAILED, failure=FAILURE, due=START), POLICY)
    assert "failed (handed over)" in capsys.readouterr().out
    describe(a_job(Status.FAILED, failure=FAILURE), POLICY)
    assert "(handed over)" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (a_job(Status.FAILED), "it rests until {rested}; the first sweep after that resumes it"),
        (a_job(Status.FAILED, attempt=SPENT), "{rested}; the first sweep after that marks it as"),
        (a_job(Status.FAILED, last_modified_at=LONG_AGO), "the next sweep resumes it"),
        (a_job(Status.FAILED, last_modified_at=LONG_AGO, attempt=SPENT), "the next sweep marks it"),
        (a_job(Status.IN_PROGRESS, last_modified_at=SILENT), "the next sweep resumes it"),
        (a_job(Status.EXHAUSTED, attempt=SPENT), "nothing by itself: remove the cause, then"),
        (a_saga(Status.FAILED), "the first sweep after that resumes it"),
        (a_saga(Status.FAILED, attempt=SPENT), "rolls it back (will undo: pause); "),
        (a_saga(Status.FAILED, attempt=SPENT), " runs it forward again instead, with all"),
        (a_saga(Status.FAILED, attempt=SPENT, rollback_cause=FAILURE), "marks it as exhausted"),
        (
            a_saga(Status.EXHAUSTED, rollback_cause=FAILURE),
            "continues the rollback; once the job is comp",
        ),
        (a_saga(Status.EXHAUSTED), "nothing by itself: remove the cause, then `botdel"),
    ],
)
def test_a_job_that_ended_badly_says_what_comes_next_and_how_not_to_wait(
    job: Job, said: str
) -> None:
    following = next_move(job, POLICY, START)
    assert said.format(rested=rfc3339(START + POLICY.rest)) in following
    assert f"`botdel jobs retry {job.id}`" in following


HALF_DONE = (
    StepProgress("pause", StepStatus.COMPLETE),
    StepProgress("unpublish", StepStatus.COMPLETE),
    StepProgress("archive", StepStatus.COMPLETE),
    StepProgress("channels", StepStatus.IN_PROGRESS),
    StepProgress("messages"),
)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "undone: pause; "),
        (
            {"steps": HALF_DONE, "compensations": (HALF_DONE[0], HALF_DONE[1])},
            "undone: unpublish, pause; not undone, because they have no compensation: archive, "
            "channels; ",
        ),
        (
            {"steps": HALF_DONE[3:], "compensations": ()},
            "undone: nothing; not undone, because it has no compensation: channels; ",
        ),
    ],
)
def test_a_job_that_is_rolled_back_names_what_is_undone_and_what_is_not(
    values: dict[str, object], said: str
) -> None:
    ended = a_saga(Status.COMPENSATED, rollback_cause=FAILURE, **values)
    assert next_move(ended, POLICY, START).startswith(f"nothing by itself: {said}`botdel jobs ")
    spent = a_saga(Status.FAILED, attempt=SPENT, **values)
    will = said.rstrip("; ").replace("not undone", "will not undo").replace("undone", "will undo")
    assert f"rolls it back ({will}); `botdel" in next_move(spent, POLICY, START)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (a_job(Status.PENDING), "any worker of the service claims it, as soon as one has a free"),
        (a_job(Status.FAILED, due=START), "any worker of the service claims it, as soon as one"),
        (a_job(Status.IN_PROGRESS), "its run moves it on; if the run is silent for 60 s, the next"),
    ],
    ids=lambda each: str(getattr(each, "status", "")),
)
def test_a_job_that_waits_or_runs_says_who_moves_it_on(job: Job, said: str) -> None:
    assert next_move(job, POLICY, START).startswith(said)


def test_a_complete_job_is_moved_on_by_nobody() -> None:
    assert next_move(a_job(Status.COMPLETE), POLICY, START) == ""


def test_where_a_saga_stood_in_its_rollback_is_what_it_was_undoing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    past = (
        PastAttempt(1, "worker-1/a", "pause", 2, START, "HttpRefused"),
        PastAttempt(1, "worker-1/a", "pause", 2, START, "turned back"),
        PastAttempt(2, "worker-2/b", "pause", 1, START, "stale", direction=BACKWARD),
        PastAttempt(3, "worker-2/b", "pause", 1, START, "retried", direction=BACKWARD),
        PastAttempt(4, "worker-3/c", "pause", 1, START, "LeftOvers", direction=BACKWARD),
        PastAttempt(5, "worker-4/d", None, 0, START, "retried", direction=BACKWARD),
        PastAttempt(6, "worker-5/e", "messages", 1, START, "ValueError"),
    )
    describe(a_saga(Status.FAILED, past_attempts=past), POLICY)
    lines = capsys.readouterr().out.partition("Past attempts")[2].splitlines()
    assert any("rolled back" in line for line in lines), "and not in the older word of the record"
    stood = [line.split("│")[2].strip() for line in lines if line.startswith("│")]
    assert stood == [
        "pause, batch 2",
        "pause, batch 2",
        "undo pause, batch 1",
        "undo pause, batch 1",
        "undo pause, batch 1",
        "everything was undone",
        "messages, batch 1",
    ]


def test_a_rollback_is_recognised_when_its_beginning_is_no_longer_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    past = (PastAttempt(2, "worker-2/b", "pause", 1, START, "stale", direction=BACKWARD),)
    describe(a_saga(Status.FAILED, past_attempts=past, rollback_cause=FAILURE), POLICY)
    assert "undo pause, batch 1" in capsys.readouterr().out


def test_a_retry_does_not_end_a_rollback_whose_compensations_are_all_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It cannot be read back, and is exhausted each time."""
    undone = (StepProgress("pause", StepStatus.COMPLETE),)
    job = a_saga(Status.FAILED, attempt=SPENT, compensations=undone, rollback_cause=FAILURE)
    for _ in range(2):
        later = job.last_modified_at + timedelta(days=2)
        job = job.exhaust(later, POLICY).after.retry(later, POLICY).after
        job = replace(job, status=Status.FAILED, attempt=SPENT, due=None)
    describe(job, POLICY)
    shown = capsys.readouterr().out
    assert shown.count("everything was undone") == 4
    assert "every step was done" not in shown


def test_what_is_not_going_to_be_undone_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    describe(a_saga(Status.IN_PROGRESS), POLICY)
    assert "undo" not in capsys.readouterr().out
    describe(a_saga(Status.COMPENSATED, rollback_cause=FAILURE), POLICY)
    assert "undo pause" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (a_job(Status.PENDING, parks=1, due=LATER), "pending (parked)"),
        (a_job(Status.PENDING, parks=1), "pending"),
        (a_job(Status.PENDING, due=LATER), "pending (parked)"),
        (a_saga(Status.PENDING, rollback_cause=FAILURE), "pending (rolling back)"),
        (
            a_saga(Status.PENDING, rollback_cause=FAILURE, parks=2, due=LATER),
            "(parked, rolling back)",
        ),
        (a_saga(Status.COMPENSATED, rollback_cause=FAILURE), "compensated"),
    ],
)
def test_a_status_says_whether_the_job_is_parked_and_whether_it_is_rolled_back(
    job: Job, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tabulate([job], POLICY)
    listed = capsys.readouterr().out
    assert f"{status} " in listed
    assert ("(" in listed) is ("(" in status)
    assert ("ValueError" in listed) is (job.rollback_cause is not None), "why it is rolled back"


def test_a_parked_job_says_until_when_and_how_not_to_wait() -> None:
    following = next_move(a_job(Status.PENDING, due=LATER), POLICY, START)
    assert following == (
        f"a worker claims it at {rfc3339(LATER)}; "
        "`botdel jobs retry 65f0a1b2c3d4e5f607180001` does not wait for that"
    )


def test_a_moment_of_waiting_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (StepProgress("first", slowest=8.9433e-05, throttled=Throttled("busy share", 0.04)),)
    describe(a_job(Status.FAILED, failure=FAILURE, steps=steps), POLICY)
    shown = capsys.readouterr().out
    assert "throttled" not in shown
    assert "e-05" not in shown


@pytest.mark.parametrize(("holder", "said"), [("vm:1:a", ", last held by vm:1:a\n"), ("", "Z\n")])
def test_the_last_holder_is_not_shown_as_the_present_one(
    holder: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(a_job(Status.PENDING, claimed_by=holder), POLICY)
    shown = capsys.readouterr().out
    assert said in shown
    assert ("held by" in shown) is bool(holder)


def hostile_job() -> Job:
    """Whatever text a record may hold is somebody else's."""
    step = StepProgress(f"step {HOSTILE}", cursor=f"cursor {HOSTILE}")
    past = PastAttempt(1, f"by {HOSTILE}", f"at {HOSTILE}", 3, START, f"ended {HOSTILE}")
    failure = Failure(f"type {HOSTILE}", f"message {HOSTILE}", START)
    job = a_job(Status.FAILED, failure=failure, steps=(step,), past_attempts=(past,))
    return replace(
        job,
        service=f"service {HOSTILE}",
        event_ids=(f"event {HOSTILE}",),
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


@pytest.mark.parametrize("width", [40, 70, 80, 100, 130])
def test_ids_and_statuses_are_whole_on_a_narrow_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("botdel.terminal.WIDE", width)
    stale = a_job(Status.IN_PROGRESS, last_modified_at=SILENT, service="a-long-name-" * 5)
    tabulate([stale, a_job(Status.FAILED, failure=FAILURE)], POLICY)
    said = capsys.readouterr()
    for whole in (stale.id, stale.bot_id, "in_progress (stale)", "failed"):
        assert whole in said.out
    assert ("columns left out: " in said.err) is (width < 130), said.err


def test_80_columns_have_room_for_whole_services_and_what_was_deleted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("botdel.terminal.WIDE", 80)
    deleted = StepProgress("messages", deleted=1234)
    tabulate([a_job(Status.COMPLETE, service="conversations", steps=(deleted,))], POLICY)
    said = capsys.readouterr()
    line = next(line for line in said.out.splitlines() if "conversations" in line)
    assert line.rstrip().endswith(" 1,234")
    assert "columns left out: attempt, modified, failure; " in said.err
    assert "`botdel jobs show ID` shows them" in said.err


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    tabulate([], POLICY)
    assert capsys.readouterr().out == "no job matches\n"


async def test_a_list_that_is_cut_off_says_so_beside_its_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryJobStore()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[MemoryJobStore]:
        yield store

    monkeypatch.setattr(jobs, "opened", opened)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://localhost")
    await store.record([new_job(Status.FAILED) for _ in range(3)])
    await jobs.show_list(None, None, None, 3, as_json=True)
    assert capsys.readouterr().err == ""
    await jobs.show_list(None, None, None, 2, as_json=True)
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 2
    assert "more than these 2: raise --limit" in said.err


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
