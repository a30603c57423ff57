"""`botdel jobs retry` makes jobs pending, and nothing else: a worker's claim does the rest."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from botdel import jobs
from botdel.jobs import as_dict, describe, next_move, tabulate
from botdel.jobs_retry import RETRYABLE, Choice, Tally, chosen, send_on
from deletion.errors import ClockSkew, ConfigurationError, LeaseLost
from deletion.job import Failure, Job, PastAttempt, Status, StepProgress, StepStatus, Throttled
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT, POLICY, SERVICE, a_job
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.scripted_stores import ScriptedStore

SPENT = POLICY.max_attempts
SILENT = START - POLICY.stale_after
LONG_AGO = START - timedelta(days=9)
LATER = datetime(9999, 1, 1, tzinfo=UTC)
FAILURE = Failure("ValueError", "broken", START)


def a_saga(status: Status, **values: object) -> Job:
    """Before its point of no return, with a step that can be undone."""
    steps = (StepProgress("pause", StepStatus.IN_PROGRESS), StepProgress("messages"))
    owed = (StepProgress("pause"),)
    fields = {"point_of_no_return": "messages", "steps": steps, "compensations": owed}
    return a_job(status, **(fields | values))


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)

    def put(self, status: Status, **values: object) -> Job:
        identity = f"{len(self.store.jobs) + 1:024x}"
        return self.store.put(a_job(status, **({"id": identity, "bot_id": identity} | values)))

    async def send_on(self, *jobs: Job, dry_run: bool = False) -> Tally:
        """Those, named by their ids."""
        return await self.choose(Choice([job.id for job in jobs]), dry_run=dry_run)

    async def choose(self, choice: Choice, *, dry_run: bool = False) -> Tally:
        return await send_on(choice, self.store, self.clock, POLICY, dry_run=dry_run)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.mark.parametrize("attempt", [1, SPENT])
@pytest.mark.parametrize(
    ("status", "silent_since"),
    [(Status.FAILED, START), (Status.IN_PROGRESS, SILENT), (Status.EXHAUSTED, START)],
)
async def test_a_failed_stale_or_exhausted_job_is_pending_again_with_attempts_left(
    world: World, status: Status, silent_since: datetime, attempt: int
) -> None:
    job = world.put(status, attempt=attempt, last_modified_at=silent_since)
    tally = await world.send_on(job)
    assert (tally.retried, tally.refused) == ([job.id], {})
    sent = world.store.jobs[job.id]
    assert sent == job.retry(world.clock.now(), POLICY).after
    assert sent.is_due(world.clock.now())
    assert not sent.is_spent(POLICY)


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(world: World) -> None:
    jobs = [world.put(Status.FAILED), world.put(Status.COMPLETE), world.put(Status.EXHAUSTED)]
    before = dict(world.store.jobs)
    tally = await world.send_on(*jobs, dry_run=True)
    assert tally.retried == [jobs[0].id, jobs[2].id]
    assert list(tally.refused) == [jobs[1].id]
    assert world.store.jobs == before
    assert "apply" not in world.store.calls
    assert await world.send_on(*jobs) == tally, "what was said is what is done"


@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_PROGRESS, Status.COMPLETE])
async def test_a_job_named_that_waits_runs_or_is_complete_is_refused_with_why(
    world: World, status: Status
) -> None:
    job = world.put(status)
    tally = await world.send_on(job)
    assert tally.retried == []
    assert "nothing to retry" in tally.refused[job.id]
    assert world.store.jobs == {job.id: job}


async def test_a_job_that_moved_meanwhile_is_left_alone_and_the_others_go_on(
    world: World,
) -> None:
    jobs = [world.put(Status.FAILED) for _ in range(3)]
    world.store.faults["apply"] = deque([None, LeaseLost("moved"), None])
    tally = await world.send_on(*jobs)
    assert tally.retried == [jobs[0].id, jobs[2].id]
    assert "moved" in tally.refused[jobs[1].id]


async def test_nothing_is_retried_when_the_database_refuses(world: World) -> None:
    job = world.put(Status.EXHAUSTED, attempt=SPENT)
    world.store.faults["apply"] = deque([PermissionError("not authorised")])
    with pytest.raises(PermissionError):
        await world.send_on(job)
    assert world.store.jobs == {job.id: job}


async def test_an_id_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(ConfigurationError, match="a" * 24):
        await world.choose(Choice(["a" * 24]))


@pytest.mark.proves("sweep-clock")
@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("ahead", [1, -1])
async def test_with_a_clock_that_is_off_the_databases_nothing_is_moved(
    world: World, ahead: int, dry_run: bool
) -> None:
    """To one that is ahead, jobs whose heartbeats are on time look stale."""
    running = world.put(Status.IN_PROGRESS, last_modified_at=SILENT)
    world.store.skew = -ahead * (POLICY.max_skew + timedelta(seconds=1))
    for choice in (Choice(), Choice([running.id])):
        with pytest.raises(ClockSkew, match="synchronise them"):
            await world.choose(choice, dry_run=dry_run)
    assert world.store.jobs == {running.id: running}


@pytest.fixture
def crowd(world: World) -> dict[str, Job]:
    """Jobs of two services, by what they are."""
    return {
        "exhausted": world.put(Status.EXHAUSTED, attempt=SPENT),
        "failed": world.put(Status.FAILED, bot_id=BOT),
        "handed over": world.put(Status.FAILED, due=START),
        "stale": world.put(Status.IN_PROGRESS, last_modified_at=SILENT, bot_id=OTHER_BOT),
        "running": world.put(Status.IN_PROGRESS),
        "waiting": world.put(Status.PENDING),
        "complete": world.put(Status.COMPLETE),
        "billing": world.put(Status.FAILED, service="billing"),
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), {"exhausted", "failed", "stale", "billing"}),
        (Choice(service=SERVICE), {"exhausted", "failed", "stale"}),
        (Choice(service="billing"), {"billing"}),
        (Choice(bot_id=BOT), {"failed"}),
        (Choice(status=Status.FAILED), {"failed", "billing"}),
        (Choice(service=SERVICE, status=Status.FAILED), {"failed"}),
        (Choice(bot_id=OTHER_BOT, status=Status.FAILED), set()),
        (Choice(status=Status.IN_PROGRESS), {"stale"}),
    ],
)
async def test_filters_choose_all_that_fit_and_pass_over_what_runs_or_waits(
    world: World, crowd: dict[str, Job], choice: Choice, expected: set[str]
) -> None:
    tally = await world.choose(choice)
    assert set(tally.retried) == {crowd[name].id for name in expected}
    assert tally.refused == {}
    for name, job in crowd.items():
        moved = world.store.jobs[job.id] != job
        assert moved is (name in expected), name


async def test_a_limit_counts_what_is_retried_the_longest_silent_first(world: World) -> None:
    """Jobs that are passed over must not use it up."""
    handed_over = [
        world.put(Status.FAILED, due=START, last_modified_at=START - timedelta(days=9))
        for _ in range(4)
    ]
    failed = [
        world.put(Status.FAILED, last_modified_at=START - timedelta(days=n)) for n in (1, 3, 2)
    ]
    tally = await world.choose(Choice(status=Status.FAILED, limit=2))
    assert tally.retried == [failed[1].id, failed[2].id]
    assert len(handed_over) == 4


async def test_more_than_a_page_is_retried(world: World) -> None:
    jobs = [world.put(Status.EXHAUSTED, attempt=SPENT) for _ in range(250)]
    tally = await world.choose(Choice(status=Status.EXHAUSTED))
    assert sorted(tally.retried) == sorted(job.id for job in jobs)


async def test_what_cannot_be_read_is_refused_and_does_not_stop_the_others(
    world: World,
) -> None:
    broken, good = world.put(Status.FAILED), world.put(Status.FAILED)
    world.store.damage(broken)
    tally = await world.choose(Choice(status=Status.FAILED))
    assert tally.retried == [good.id]
    assert "cannot be read" in tally.refused[broken.id]


def test_the_options_choose_ids_or_filters_or_everything_and_never_two_of_them() -> None:
    job = "A" * 24
    assert chosen([job], None, None, None, None, everything=False) == Choice(["a" * 24])
    everything = chosen([], None, None, None, 5, everything=True)
    assert everything == Choice([], limit=5)
    filtered = chosen([], SERVICE, BOT.upper(), "failed", None, everything=False)
    assert filtered == Choice([], SERVICE, BOT, Status.FAILED)
    assert set(RETRYABLE) == {Status.EXHAUSTED, Status.FAILED, Status.IN_PROGRESS}


@pytest.mark.parametrize(
    ("ids", "service", "bot", "status", "everything"),
    [
        ([], None, None, None, False),
        (["a" * 24], SERVICE, None, None, False),
        (["a" * 24], None, None, None, True),
        (["no id"], None, None, None, False),
        ([], None, None, "complete", False),
        ([], None, None, "broken", False),
        ([], None, "no id", None, False),
    ],
)
def test_options_that_choose_nothing_or_twice_are_refused(
    ids: list[str], service: str | None, bot: str | None, status: str | None, everything: bool
) -> None:
    with pytest.raises(ConfigurationError):
        chosen(ids, service, bot, status, None, everything=everything)


@pytest.mark.parametrize("status", ["complete", "parked", ""])
def test_a_status_that_cannot_be_retried_is_quoted_with_those_that_can(status: str) -> None:
    retryable = "pending, in_progress, failed, compensated, exhausted"
    expected = f"--status: expected one of {retryable}, found '{status}'"
    with pytest.raises(ConfigurationError, match=expected):
        chosen([], SERVICE, None, status, None, everything=False)


def test_a_limit_beside_ids_is_refused_and_not_ignored() -> None:
    with pytest.raises(ConfigurationError, match="--limit"):
        chosen(["a" * 24], None, None, None, 1, everything=False)


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
    assert "step first was held back for 41.2 s by busy share 10 %" in shown
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
        (a_job(Status.FAILED, attempt=SPENT), "{rested}; the first sweep after that gives it up"),
        (a_job(Status.FAILED, last_modified_at=LONG_AGO), "the next sweep resumes it"),
        (a_job(Status.FAILED, last_modified_at=LONG_AGO, attempt=SPENT), "the next sweep gives it"),
        (a_job(Status.IN_PROGRESS, last_modified_at=SILENT), "the next sweep resumes it"),
        (a_job(Status.EXHAUSTED, attempt=SPENT), "nothing by itself: remove the cause, then"),
        (a_saga(Status.FAILED), "the first sweep after that resumes it"),
        (a_saga(Status.FAILED, attempt=SPENT), "turns it back (undone: pause); "),
        (a_saga(Status.FAILED, attempt=SPENT), " runs it forward once more instead"),
        (a_saga(Status.FAILED, attempt=SPENT, turned_back=FAILURE), "gives it up as exhausted"),
        (a_saga(Status.EXHAUSTED, turned_back=FAILURE), "goes on undoing; once the job is comp"),
        (a_saga(Status.EXHAUSTED), "nothing by itself: remove the cause, then `botdel"),
    ],
)
def test_a_job_that_ended_badly_says_what_comes_next_and_how_not_to_wait(
    job: Job, said: str
) -> None:
    following = next_move(job, POLICY, START)
    assert said.format(rested=START + POLICY.rest) in following
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
    ended = a_saga(Status.COMPENSATED, turned_back=FAILURE, **values)
    assert next_move(ended, POLICY, START).startswith(f"nothing by itself: {said}`botdel jobs ")
    spent = a_saga(Status.FAILED, attempt=SPENT, **values)
    assert f"turns it back ({said.rstrip('; ')}); `botdel" in next_move(spent, POLICY, START)


@pytest.mark.parametrize(
    "job",
    [
        a_job(Status.PENDING),
        a_job(Status.IN_PROGRESS),
        a_job(Status.COMPLETE),
        a_job(Status.FAILED, due=START),
    ],
    ids=lambda job: str(job.status),
)
def test_a_job_that_waits_runs_or_is_complete_needs_nobody(job: Job) -> None:
    assert next_move(job, POLICY, START) == ""


def test_where_a_saga_stood_on_its_way_back_is_what_it_was_undoing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    past = (
        PastAttempt(1, "worker-1/a", "pause", 2, START, "HttpRefused"),
        PastAttempt(1, "worker-1/a", "pause", 2, START, "turned back"),
        PastAttempt(2, "worker-2/b", "pause", 1, START, "stale"),
        PastAttempt(3, "worker-2/b", "pause", 1, START, "retried"),
        PastAttempt(4, "worker-3/c", "pause", 1, START, "LeftOvers"),
        PastAttempt(5, "worker-4/d", None, 0, START, "retried"),
        PastAttempt(6, "worker-5/e", "messages", 1, START, "ValueError"),
    )
    describe(a_saga(Status.FAILED, past_attempts=past), POLICY)
    lines = capsys.readouterr().out.partition("Past attempts")[2].splitlines()
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


def test_a_way_back_is_recognised_when_its_beginning_is_no_longer_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    past = (PastAttempt(2, "worker-2/b", "pause", 1, START, "stale"),)
    describe(a_saga(Status.FAILED, past_attempts=past, turned_back=FAILURE), POLICY)
    assert "undo pause, batch 1" in capsys.readouterr().out


def test_what_is_not_going_to_be_undone_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    describe(a_saga(Status.IN_PROGRESS), POLICY)
    assert "undo" not in capsys.readouterr().out
    describe(a_saga(Status.COMPENSATED, turned_back=FAILURE), POLICY)
    assert "undo pause" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (a_job(Status.PENDING, parks=1, due=LATER), "pending (parked)"),
        (a_job(Status.PENDING, parks=1), "pending"),
        (a_job(Status.PENDING, due=LATER), "pending (parked)"),
        (a_saga(Status.PENDING, turned_back=FAILURE), "pending (going backwards)"),
        (
            a_saga(Status.PENDING, turned_back=FAILURE, parks=2, due=LATER),
            "(parked, going backwards)",
        ),
        (a_saga(Status.COMPENSATED, turned_back=FAILURE), "compensated"),
    ],
)
def test_a_status_says_whether_the_job_is_parked_and_whether_it_goes_back(
    job: Job, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tabulate([job], POLICY)
    listed = capsys.readouterr().out
    assert f"{status} " in listed
    assert ("(" in listed) is ("(" in status)
    assert ("ValueError" in listed) is (job.turned_back is not None), "why it turned back"


def test_a_parked_job_says_until_when_and_how_not_to_wait() -> None:
    following = next_move(a_job(Status.PENDING, due=LATER), POLICY, START)
    assert following == (
        f"a worker takes it at {LATER}; `botdel jobs retry 65f0a1b2c3d4e5f607180001` does not "
        "wait for that"
    )


def test_a_moment_of_waiting_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (StepProgress("first", slowest=8.9433e-05, throttled=Throttled("busy share", 0.04)),)
    describe(a_job(Status.FAILED, failure=FAILURE, steps=steps), POLICY)
    shown = capsys.readouterr().out
    assert "held back" not in shown
    assert "e-05" not in shown


@pytest.mark.parametrize(
    ("holder", "said"), [("vm:1:a", ", last held by vm:1:a\n"), ("", "0:00\n")]
)
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


@pytest.mark.parametrize("width", [40, 70, 80, 100, 120])
def test_ids_and_statuses_are_whole_on_a_narrow_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("botdel.terminal.WIDE", width)
    stale = a_job(Status.IN_PROGRESS, last_modified_at=SILENT, service="a-long-name-" * 5)
    tabulate([stale, a_job(Status.FAILED, failure=FAILURE)], POLICY)
    said = capsys.readouterr()
    for whole in (stale.id, stale.bot_id, "in_progress (stale)", "failed"):
        assert whole in said.out
    assert ("no room here for: " in said.err) is (width < 120), said.err


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    tabulate([], POLICY)
    assert capsys.readouterr().out == "no job fits\n"


async def test_a_list_that_is_cut_off_says_so_beside_its_output(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[ScriptedStore]:
        yield world.store

    monkeypatch.setattr(jobs, "opened", opened)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://localhost")
    for _ in range(3):
        world.put(Status.FAILED)
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
