"""A retry makes jobs pending, and nothing else: a worker's claim runs them."""

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from deletion.errors import ClockSkew, LeaseLost, StoreUnavailable, TransitionError, UnreadableJob
from deletion.job import Failure, Job, Status
from deletion.operating.acting import Tally
from deletion.operating.jobs import Choice, RetryJob, retry_jobs
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT, POLICY, SERVICE, a_job
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

SPENT = POLICY.max_attempts
SILENT = START - POLICY.stale_after
LATER = START + timedelta(seconds=1)
HANDED_OVER = Failure("Interrupted", "the process was asked to stop", START, interrupted=True)


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)

    def put(self, status: Status, **values: object) -> Job:
        identity = f"{len(self.store.jobs) + 1:024x}"
        return self.store.put(a_job(status, **({"id": identity, "bot_id": identity} | values)))

    async def retry(self, *jobs: Job, dry_run: bool = False) -> Tally:
        """Those, named by their ids."""
        return await self.choose(Choice([job.id for job in jobs]), dry_run=dry_run)

    async def choose(self, choice: Choice, *, dry_run: bool = False) -> Tally:
        tally = Tally()
        await retry_jobs(choice, self.store, self.clock, POLICY, tally, dry_run=dry_run)
        return tally


@pytest.fixture
def world() -> World:
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
    tally = await world.retry(job)
    assert (tally.done, tally.refused) == ([job.id], {})
    sent = world.store.jobs[job.id]
    assert sent == job.retry(world.clock.now(), POLICY).after
    assert sent.is_due(world.clock.now())
    assert not sent.is_spent(POLICY)


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(world: World) -> None:
    jobs = [world.put(Status.FAILED), world.put(Status.COMPLETE), world.put(Status.EXHAUSTED)]
    before = dict(world.store.jobs)
    tally = await world.retry(*jobs, dry_run=True)
    assert tally.done == [jobs[0].id, jobs[2].id]
    assert list(tally.refused) == [jobs[1].id]
    assert world.store.jobs == before
    assert "apply" not in world.store.calls
    assert await world.retry(*jobs) == tally, "what was said is what is done"


@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_PROGRESS, Status.COMPLETE])
async def test_a_job_named_that_waits_runs_or_is_complete_is_refused_with_why(
    world: World, status: Status
) -> None:
    job = world.put(status)
    tally = await world.retry(job)
    assert tally.done == []
    assert "nothing to retry" in tally.refused[job.id]
    assert world.store.jobs == {job.id: job}


async def test_a_job_that_was_handed_over_waits_for_a_worker_and_not_for_a_retry(
    world: World,
) -> None:
    job = world.put(Status.FAILED, failure=HANDED_OVER, due=START)
    waiting = world.put(Status.PENDING)
    tally = await world.retry(job, waiting)
    claims = f"a worker claims it; start a consumer of `{SERVICE}` if none is running"
    assert tally.refused == {
        job.id: f"it was handed over and is due, there is nothing to retry: {claims}",
        waiting.id: f"it is pending and due, there is nothing to retry: {claims}",
    }
    assert world.store.jobs == {job.id: job, waiting.id: waiting}


async def test_a_job_that_moved_meanwhile_is_left_alone_and_the_others_go_on(
    world: World,
) -> None:
    jobs = [world.put(Status.FAILED) for _ in range(3)]
    world.store.faults["apply"] = deque([None, LeaseLost("moved"), None])
    tally = await world.retry(*jobs)
    assert tally.done == [jobs[0].id, jobs[2].id]
    assert "has changed" in tally.refused[jobs[1].id]


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_job_that_the_database_refuses_is_refused_and_the_others_are_retried(
    world: World, by_id: bool
) -> None:
    """Such as a record that has grown beyond what the database stores, or is damaged since."""
    jobs = [world.put(Status.EXHAUSTED, attempt=SPENT) for _ in range(4)]
    errors = [PermissionError("not authorised"), UnreadableJob(jobs[2].id, "damaged")]
    world.store.faults["apply"] = deque([None, *errors, None])
    tally = await world.choose(Choice([job.id for job in jobs]) if by_id else Choice())
    assert tally.done == [jobs[0].id, jobs[3].id]
    assert tally.refused == {
        jobs[1].id: "not authorised (PermissionError)",
        jobs[2].id: f"job {jobs[2].id} cannot be read: damaged (UnreadableJob)",
    }
    assert [world.store.jobs[job.id] for job in jobs[1:3]] == jobs[1:3]


async def test_nothing_but_another_live_job_of_the_bot_is_called_one(world: World) -> None:
    other, parked = world.put(Status.COMPENSATED), world.put(Status.PENDING, due=LATER)
    world.store.faults["apply"] = deque([TransitionError("another job of its bot is live")])
    tally = await world.retry(other)
    assert tally.refused == {
        other.id: "another job of its bot is live: that one deletes what is left"
    }
    clock = VirtualClock()
    moments = iter([START, LATER])  # its park ends while it is retried
    clock.now = lambda: next(moments)  # type: ignore[method-assign]
    assert await RetryJob(world.store, clock, POLICY)(parked) is None


async def test_an_id_that_no_job_has_is_refused_and_the_others_are_retried(world: World) -> None:
    job = world.put(Status.FAILED)
    tally = await world.choose(Choice(["a" * 24, job.id]))
    assert tally == Tally([job.id], {"a" * 24: "there is no record with this id"})


async def test_a_job_that_cannot_be_read_is_refused_by_its_id_too(world: World) -> None:
    broken, good = world.put(Status.FAILED), world.put(Status.FAILED)
    world.store.faults["get"] = deque([UnreadableJob(broken.id, "damaged")])
    tally = await world.retry(broken, good)
    assert tally.done == [good.id]
    assert "cannot be read: damaged; if" in tally.refused[broken.id]


async def test_an_id_that_is_given_twice_counts_once(world: World) -> None:
    job = world.put(Status.FAILED)
    assert await world.retry(job, job) == Tally([job.id])


async def test_what_was_retried_is_known_when_the_database_goes_away(world: World) -> None:
    jobs = [world.put(Status.EXHAUSTED, attempt=SPENT) for _ in range(3)]
    world.store.faults["apply"] = deque([None, StoreUnavailable("away"), None])
    tally = Tally()
    with pytest.raises(StoreUnavailable):
        await retry_jobs(Choice(), world.store, world.clock, POLICY, tally)
    assert tally.done == [jobs[0].id, jobs[2].id]


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
    assert set(tally.done) == {crowd[name].id for name in expected}
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
    assert tally.done == [failed[1].id, failed[2].id]
    assert len(handed_over) == 4


async def test_what_is_refused_each_time_does_not_use_up_a_limit(world: World) -> None:
    """The longest silent ones are records that only a person can mend."""
    for days in (9, 8):
        broken = world.put(Status.FAILED, last_modified_at=START - timedelta(days=days))
        world.store.damage(broken)
    good = [world.put(Status.FAILED, last_modified_at=START - timedelta(days=n)) for n in (7, 6)]
    tally = await world.choose(Choice(status=Status.FAILED, limit=1))
    assert (tally.done, len(tally.refused)) == ([good[0].id], 2)


async def test_a_record_that_cannot_be_read_is_refused_to_those_whose_it_may_be(
    world: World,
) -> None:
    theirs, nobodys = world.put(Status.FAILED), world.put(Status.FAILED)
    world.store.damage(theirs)
    world.store.damage(nobodys)
    unread = world.store.unreadable
    unread[nobodys.id] = replace(unread[nobodys.id], service=None, bot_id=None)
    for choice, refused in [
        (Choice(service=SERVICE), {theirs.id, nobodys.id}),
        (Choice(bot_id=theirs.bot_id), {theirs.id, nobodys.id}),
        (Choice(service="billing"), {nobodys.id}),
        (Choice(service=SERVICE, bot_id=BOT), {nobodys.id}),
    ]:
        assert set((await world.choose(choice)).refused) == refused, choice


async def test_a_running_job_of_a_later_version_is_not_spoken_of(world: World) -> None:
    world.store.damage(world.put(Status.IN_PROGRESS))
    stale = world.store.damage(world.put(Status.IN_PROGRESS, last_modified_at=SILENT))
    assert list((await world.choose(Choice())).refused) == [stale.id]


async def test_more_than_a_page_is_retried(world: World) -> None:
    jobs = [world.put(Status.EXHAUSTED, attempt=SPENT) for _ in range(250)]
    tally = await world.choose(Choice(status=Status.EXHAUSTED))
    assert sorted(tally.done) == sorted(job.id for job in jobs)


async def test_what_cannot_be_read_is_refused_and_does_not_stop_the_others(
    world: World,
) -> None:
    broken, good = world.put(Status.FAILED), world.put(Status.FAILED)
    world.store.damage(broken)
    tally = await world.choose(Choice(status=Status.FAILED))
    assert tally.done == [good.id]
    assert "cannot be read" in tally.refused[broken.id]
