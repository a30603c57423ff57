"""What a sweep does about jobs, over parts in memory."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from deletion.alerts import Alert, AlertKind
from deletion.errors import ClockSkew, LeaseLost, StoreUnavailable
from deletion.job import LONGEST_REST, Change, Status
from deletion.skew import check_clock
from deletion.sweep import WENT_SILENT, Sweep, SweepStatus
from recovery.sweeper import INTERRUPTED, log_exhausted
from tests.support.clock import START
from tests.unit.recovery.sweeping import LONG_AGO, POLICY, WAITING_AFTER, World

pytestmark = pytest.mark.virtual_time

TICK = timedelta(milliseconds=1)
STALE = START - POLICY.stale_after
FRESH = STALE + TICK
RESTED = START - POLICY.rest_after(1)
SPENT = POLICY.max_attempts


async def run(world: World, stopping: asyncio.Event | None = None) -> Sweep:
    sweep = Sweep.started(world.sweeps.new_id(), world.clock.now())
    started = await world.sweeps.start(sweep, silent_since=START)
    return await world.sweeper.run(started, stopping or asyncio.Event())


def counts(sweep: Sweep) -> tuple[int, int, int]:
    return sweep.resumed, sweep.exhausted, sweep.skipped


@pytest.mark.proves("resume")
@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
async def test_every_rested_and_every_stale_job_is_made_pending_once_whatever_the_page(
    page_size: int,
) -> None:
    world = World(page_size=page_size)
    wanted = []
    for _ in range(7):
        wanted.append(world.jobs.add(Status.FAILED, modified=RESTED))
        world.jobs.add(Status.FAILED, modified=RESTED + TICK)
        world.jobs.add(Status.COMPLETE)
        wanted.append(world.jobs.add(Status.IN_PROGRESS, modified=STALE))
        world.jobs.add(Status.IN_PROGRESS, modified=FRESH)
        world.jobs.add(Status.EXHAUSTED, attempt=SPENT)
    before = dict(world.jobs.jobs)
    sweep = await run(world)
    assert sorted(world.jobs.resumed) == sorted(wanted)
    assert (sweep.status, counts(sweep)) == ("complete", (14, 0, 0))
    assert await world.sweeps.get(sweep.id) == sweep
    for job_id, job in world.jobs.jobs.items():
        if job_id in wanted:
            assert job == before[job_id].resume(START, POLICY).after
        else:
            assert job == before[job_id], "and no other is touched"


async def test_the_oldest_silence_comes_first() -> None:
    world = World(page_size=2)
    jobs = [world.jobs.add(modified=LONG_AGO + timedelta(hours=h)) for h in (3, 0, 4, 1, 2)]
    await run(world)
    assert world.jobs.resumed == [jobs[n] for n in (1, 3, 4, 0, 2)]


async def test_a_job_rests_longer_after_each_attempt() -> None:
    world = World()
    jobs = [
        world.jobs.add(attempt=attempt, modified=START - POLICY.rest_after(attempt) + early)
        for attempt in (1, 2, 3, 4)
        for early in (timedelta(0), TICK)
    ]
    sweep = await run(world)
    assert sorted(world.jobs.resumed) == jobs[::2]
    assert counts(sweep) == (4, 0, 0), "those that rest are not skipped"


async def test_a_spent_job_rests_before_it_is_exhausted() -> None:
    """The shortest rest: its attempts took more than a day, so that an outage has passed."""
    world = World()
    world.jobs.add(attempt=SPENT, modified=RESTED + TICK)
    assert counts(await run(world)) == (0, 0, 0)


async def test_a_job_that_was_handed_over_is_a_workers_and_not_a_sweeps() -> None:
    world = World()
    world.jobs.add(Status.FAILED, due=LONG_AGO)
    assert counts(await run(world)) == (0, 0, 0)
    assert world.jobs.applied == []


async def test_sweeping_twice_at_once_counts_no_attempt_twice() -> None:
    world = World(page_size=2)
    jobs = [world.jobs.add() for _ in range(5)]
    both = [Sweep.started(world.sweeps.new_id(), START) for _ in range(2)]
    world.sweeps.sweeps = {sweep.id: sweep for sweep in both}
    first, second = await asyncio.gather(
        *(world.sweeper.run(sweep, asyncio.Event()) for sweep in both)
    )
    assert {first.status, second.status} == {SweepStatus.COMPLETE}
    assert set(world.jobs.resumed) == set(jobs)
    for job in world.jobs.jobs.values():
        assert (job.status, job.attempt, len(job.past_attempts)) == (Status.PENDING, 1, 1)


async def test_nothing_to_do_is_a_complete_sweep() -> None:
    sweep = await run(World())
    assert (sweep.status, counts(sweep), sweep.finished_at) == ("complete", (0, 0, 0), START)


@pytest.mark.proves("resume", "exhausted-stays")
@pytest.mark.parametrize("status", [Status.FAILED, Status.IN_PROGRESS])
async def test_a_job_with_its_attempts_spent_is_exhausted_and_reported_not_resumed(
    status: Status,
) -> None:
    world = World()
    job = world.jobs.add(status, attempt=SPENT)
    sweep = await run(world)
    assert counts(sweep) == (0, 1, 0)
    assert world.jobs.jobs[job].status is Status.EXHAUSTED
    assert world.given_up == [job]


async def test_a_job_somebody_moves_on_meanwhile_is_skipped() -> None:
    world = World()
    jobs = [world.jobs.add(attempt=attempt) for attempt in (1, SPENT, 2)]
    world.jobs.faults["apply"] = deque([LeaseLost("moved"), LeaseLost("moved")])
    sweep = await run(world)
    assert (sweep.status, counts(sweep), world.given_up) == ("complete", (1, 0, 2), [])
    assert world.jobs.jobs[jobs[1]].status is Status.FAILED


async def test_a_run_that_beats_between_the_page_and_the_move_is_not_robbed() -> None:
    world = World()
    job = world.jobs.add(Status.IN_PROGRESS)
    beaten = world.jobs.jobs[job].checkpoint(START).after

    async def beat(change: Change) -> None:
        world.jobs.put(beaten)

    world.jobs.before_apply = beat
    sweep = await run(world)
    assert (sweep.status, counts(sweep)) == ("complete", (0, 0, 1))
    assert world.jobs.jobs[job] == beaten


@pytest.mark.proves("unreadable-record", "unreadable-reported")
@pytest.mark.parametrize("page_size", [1, 2, 100])
async def test_it_goes_on_past_every_job_it_cannot_read_or_move_and_counts_it(
    page_size: int,
) -> None:
    """Of one later version, they may all stand in front, silent since the same moment."""
    world = World(page_size=page_size)
    odd: dict[str, Any] = {"attempt": "many"}
    for _ in range(3):
        world.jobs.damage(world.jobs.jobs[world.jobs.add()])
        world.jobs.damage(world.jobs.jobs[world.jobs.add(Status.IN_PROGRESS)])
        unusable = world.jobs.add()
        world.jobs.put(replace(world.jobs.jobs[unusable], **odd))
    wanted = [world.jobs.add(), world.jobs.add(Status.IN_PROGRESS)]
    with capture_logs() as logs:
        sweep = await run(world)
    assert (sweep.status, counts(sweep)) == ("complete", (2, 0, 9))
    assert sorted(world.jobs.resumed) == wanted
    events = [line["event"] for line in logs if line["log_level"] == "error"]
    assert events.count("job cannot be read") == 6
    assert events.count("job cannot be moved") == 3
    [alert] = [each for each in world.alerts.told if each.kind is AlertKind.JOBS_IMMOVABLE]
    assert (alert.count, alert.example in world.jobs.jobs) == (9, True), "one, with their number"


async def test_a_job_the_database_refuses_to_move_does_not_keep_the_others() -> None:
    world = World()
    jobs = [world.jobs.add(modified=RESTED) for _ in range(4)]
    world.jobs.faults["apply"] = deque([None, PermissionError("secret"), None])
    with capture_logs() as logs:
        sweep = await run(world)
    assert (sweep.status, counts(sweep)) == ("complete", (3, 0, 1))
    assert len(world.jobs.resumed) == len(jobs) - 1
    assert [line["event"] for line in logs] == ["job cannot be moved"]


@pytest.mark.parametrize(
    ("stale", "fresh", "told"), [(0, 0, []), (1, 1, []), (2, 2, []), (3, 2, [3]), (1, 0, [1])]
)
async def test_a_large_share_of_stale_jobs_is_told_once_with_their_number(
    stale: int, fresh: int, told: list[int]
) -> None:
    world = World(page_size=2)
    for modified, number in ((STALE, stale), (FRESH, fresh)):
        for _ in range(number):
            world.jobs.add(Status.IN_PROGRESS, modified=modified)
    world.jobs.add(Status.FAILED)
    sweep = await run(world)
    assert [alert.count for alert in world.alerts.told] == told
    for alert in world.alerts.told:
        assert (alert.kind, alert.example) == (AlertKind.JOBS_STALE, sweep.id)


async def test_jobs_that_wait_for_a_worker_for_too_long_are_told_once_with_their_number() -> None:
    world = World()
    for modified in (START - WAITING_AFTER, START - WAITING_AFTER + TICK, LONG_AGO):
        world.jobs.add(Status.PENDING, modified=modified)
    with capture_logs() as logs:
        sweep = await run(world)
    [alert] = world.alerts.told
    assert (alert.kind, alert.example, alert.count) == (AlertKind.JOBS_WAITING, sweep.id, 2)
    assert [line["event"] for line in logs] == ["jobs waiting"]
    assert (sweep.status, counts(sweep)) == ("complete", (0, 0, 0))


async def test_of_very_many_jobs_that_wait_it_is_told_that_they_are_more_than_were_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recovery.sweeper.MOST_WAITING", 3)
    world = World()
    for _ in range(5):
        world.jobs.add(Status.PENDING, modified=LONG_AGO)
    await run(world)
    [alert] = world.alerts.told
    assert alert.reason.startswith("more than 3 not taken up")
    assert alert.count == 4


@pytest.mark.parametrize("error", [StoreUnavailable("too slow"), OverflowError("damaged")])
async def test_a_sweep_that_cannot_count_the_jobs_that_wait_has_visited_all_the_same(
    error: Exception,
) -> None:
    world = World()
    world.jobs.add()
    world.jobs.faults["count_waiting"] = deque([error] * 99)
    with capture_logs() as logs:
        sweep = await run(world)
    assert (sweep.status, counts(sweep), sweep.error) == ("complete", (1, 0, 0), None)
    assert [line["event"] for line in logs] == ["jobs waiting not counted"]
    assert world.alerts.told == []


async def test_a_sweep_is_complete_while_the_jobs_that_wait_are_still_counted() -> None:
    """A slow count is no heartbeat: the next call would end the sweep as silent."""
    world = World()
    world.jobs.add(Status.PENDING, modified=LONG_AGO)
    world.jobs.pauses["count_waiting"] = 100
    running = asyncio.create_task(run(world))
    await world.clock.sleep(90)
    [stored] = world.sweeps.sweeps.values()
    assert stored.status == "complete"
    assert await running == stored
    assert [alert.kind for alert in world.alerts.told] == [AlertKind.JOBS_WAITING]


async def test_a_parked_job_waits_for_a_worker_only_once_it_is_due() -> None:
    world = World()
    for due in (START + WAITING_AFTER, START, START - WAITING_AFTER):
        world.jobs.add(Status.PENDING, modified=LONG_AGO, due=due)
    await run(world)
    [alert] = world.alerts.told
    assert (alert.kind, alert.count) == (AlertKind.JOBS_WAITING, 1)


async def test_handed_over_jobs_whose_service_is_gone_wait_too_and_resting_ones_do_not() -> None:
    world = World()
    for due in (LONG_AGO, None):
        world.jobs.add(Status.FAILED, modified=START - LONGEST_REST, due=due)
    await run(world)
    [alert] = world.alerts.told
    assert (alert.kind, alert.count) == (AlertKind.JOBS_WAITING, 1)


async def test_what_this_sweep_makes_pending_does_not_wait_yet() -> None:
    world = World()
    world.jobs.add()
    await run(world)
    assert world.alerts.told == []


async def test_an_exhausted_job_is_told_with_why_its_last_attempt_ended() -> None:
    world = World()
    failed = world.jobs.add(Status.FAILED, attempt=SPENT)
    for _ in range(2):
        world.jobs.add(Status.IN_PROGRESS, attempt=1, modified=FRESH)
    silent = world.jobs.add(Status.IN_PROGRESS, attempt=SPENT, modified=STALE)
    await run(world)
    assert world.alerts.told == [
        Alert(AlertKind.JOB_EXHAUSTED, "service-a", "Boom", failed),
        Alert(AlertKind.JOB_EXHAUSTED, "service-a", "stale", silent),
    ]


async def test_a_page_is_moved_together_and_no_more() -> None:
    world = World(page_size=3)
    for _ in range(5):
        world.jobs.add()
    under_way = peak = 0

    async def apply(change: Change) -> None:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    world.jobs.before_apply = apply
    await run(world)
    assert peak == 3


async def test_progress_is_recorded_after_each_page_and_is_the_heartbeat() -> None:
    world = World(page_size=2)
    for _ in range(5):
        world.jobs.add()
    seen = []
    save = world.sweeps.save

    async def watched(sweep: Sweep) -> None:
        seen.append(
            (sweep.status.value, sweep.resumed, sweep.last_modified_at == world.clock.now())
        )
        world.clock.pause(1)
        await save(sweep)

    world.sweeps.save = watched  # type: ignore[method-assign]
    await run(world)
    assert seen == [
        ("running", 2, True),
        ("running", 4, True),
        ("running", 5, True),
        ("complete", 5, True),
    ]


async def test_a_long_outage_fails_the_sweep_with_its_reason_and_what_was_done() -> None:
    world = World(page_size=2)
    for _ in range(4):
        world.jobs.add()
    moved = 0

    async def away(change: Change) -> None:
        nonlocal moved
        moved += 1
        if moved > 3:
            raise StoreUnavailable("no primary")

    world.jobs.before_apply = away
    sweep = await run(world)
    assert (sweep.status, sweep.error) == ("failed", "no primary")
    assert counts(sweep) == (3, 0, 0), "what was moved of the page under way counts too"
    assert await world.sweeps.get(sweep.id) == sweep


async def test_an_unexpected_error_fails_the_sweep_and_its_text_stays_in_the_log() -> None:
    world = World()
    world.jobs.faults["silent"] = deque([RuntimeError("secret")])
    with capture_logs() as logs:
        sweep = await run(world)
    assert sweep.error == "unexpected RuntimeError; see the log of the process"
    assert [line["event"] for line in logs] == ["unexpected error in a sweep"]


@pytest.mark.parametrize("method", ["silent", "apply", "count"])
async def test_a_database_that_is_away_for_a_moment_is_waited_for(method: str) -> None:
    world = World()
    job, spent = world.jobs.add(), world.jobs.add(attempt=SPENT)
    world.jobs.faults[method] = deque([StoreUnavailable("no primary")] * 2)
    assert (await run(world)).status is SweepStatus.COMPLETE
    assert (world.jobs.resumed, world.given_up) == ([job], [spent])


async def test_a_move_whose_answer_was_lost_is_repeated_and_counted_once() -> None:
    world = World()
    world.jobs.add()
    world.jobs.lost["apply"] = deque([StoreUnavailable("answer lost")])
    assert counts(await run(world)) == (1, 0, 0)


async def test_a_stop_ends_the_sweep_between_two_pages() -> None:
    world = World(page_size=2)
    for _ in range(5):
        world.jobs.add()
    stopping = asyncio.Event()
    stopping.set()
    sweep = await run(world, stopping)
    assert (sweep.status, sweep.error, sweep.resumed) == ("failed", INTERRUPTED, 2)


async def test_a_cancelled_sweep_is_recorded_as_interrupted() -> None:
    world = World(page_size=1)
    world.jobs.add()
    stuck = world.jobs.add()
    hanging = asyncio.Event()

    async def hang(change: Change) -> None:
        if change.after.id == stuck:
            hanging.set()
            await asyncio.Event().wait()

    world.jobs.before_apply = hang
    running = asyncio.create_task(run(world))
    await hanging.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (sweep,) = world.sweeps.sweeps.values()
    assert (sweep.status, sweep.error, sweep.resumed) == ("failed", INTERRUPTED, 1)


async def test_a_sweep_that_was_given_up_stops_before_its_next_page() -> None:
    world = World(page_size=2)
    for _ in range(6):
        world.jobs.add()

    async def robbed(change: Change) -> None:
        for sweep in list(world.sweeps.sweeps.values()):
            world.sweeps.sweeps[sweep.id] = sweep.failed(START, WENT_SILENT)

    world.jobs.before_apply = robbed
    sweep = await run(world)
    assert len(world.jobs.resumed) == 2
    assert sweep.status is SweepStatus.FAILED
    stored = await world.sweeps.get(sweep.id)
    assert stored
    assert stored.error == "its process went silent"


@pytest.mark.proves("sweep-clock")
@pytest.mark.parametrize("ahead", [1, -1])
async def test_a_clock_that_is_off_the_databases_by_too_much_is_refused(ahead: int) -> None:
    """By a clock that is ahead, runs that beat would look silent."""
    world = World()
    world.jobs.skew = ahead * POLICY.stale_after / 3
    await check_clock(world.jobs, world.clock, POLICY)
    world.jobs.skew = ahead * (POLICY.stale_after / 3 + TICK)
    with pytest.raises(ClockSkew, match="synchronise"):
        await check_clock(world.jobs, world.clock, POLICY)


async def test_an_end_that_cannot_be_recorded_is_logged_and_the_sweep_counts_as_failed() -> None:
    world = World()

    async def save(sweep: Sweep) -> None:
        raise StoreUnavailable("no primary")

    world.sweeps.save = save  # type: ignore[method-assign]
    with capture_logs() as logs:
        sweep = await run(world)
    assert (sweep.status, sweep.error) == ("failed", "no primary")
    assert [line["event"] for line in logs] == ["end of sweep not recorded"]


def test_an_exhausted_job_is_logged_as_an_error_with_what_an_operator_needs() -> None:
    world = World()
    job = world.jobs.jobs[world.jobs.add(attempt=5)]
    with capture_logs() as logs:
        log_exhausted(job)
    assert logs == [
        {
            "event": "job exhausted",
            "log_level": "error",
            "job_id": job.id,
            "service": "service-a",
            "bot_id": job.bot_id,
            "event_id": job.event_id,
            "attempt": 5,
            "failure": "Boom: it broke",
        }
    ]
