"""What a sweep does about jobs, over parts in memory."""

import asyncio
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from deletion.alerts import Alert, AlertKind
from deletion.bus import Message
from deletion.errors import LeaseLost, StoreUnavailable, TopologyMissing
from deletion.events import decode
from deletion.job import Change, Job, Status
from recovery.sweep import Sweep, SweepStatus
from recovery.sweeper import INTERRUPTED, log_exhausted
from tests.support.fakes import START
from tests.unit.sweeping import POLICY, World, failing_times, request_of

STALE = START - POLICY.stale_after - timedelta(milliseconds=1)
FRESH = START - POLICY.stale_after + timedelta(seconds=1)


async def run(world: World, stopping: asyncio.Event | None = None) -> Sweep:
    sweep = Sweep.started(world.sweeps.new_id(), world.clock.now())
    started = await world.sweeps.start(sweep, silent_since=START)
    return await world.sweeper.run(started, stopping or asyncio.Event())


def counts(sweep: Sweep) -> tuple[int, int, int]:
    return sweep.resumed, sweep.exhausted, sweep.skipped


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
async def test_every_failed_and_every_stale_job_is_asked_for_once_whatever_the_page(
    page_size: int,
) -> None:
    world = World(page_size=page_size)
    wanted = []
    for _ in range(7):
        wanted.append(world.jobs.add(Status.FAILED))
        world.jobs.add(Status.COMPLETE)
        wanted.append(world.jobs.add(Status.IN_PROGRESS, modified=STALE))
        world.jobs.add(Status.IN_PROGRESS, modified=FRESH)
        world.jobs.add(Status.EXHAUSTED, attempt=5)
    sweep = await run(world)
    assert sorted(world.publisher.resumed) == sorted(wanted)
    assert (sweep.status, counts(sweep)) == ("complete", (14, 0, 0))
    assert await world.sweeps.get(sweep.id) == sweep


async def test_a_job_that_failed_a_moment_ago_is_asked_for() -> None:
    world = World()
    job = world.jobs.add(Status.FAILED, modified=START)
    await run(world)
    assert world.publisher.resumed == [job]


async def test_nothing_to_do_is_a_complete_sweep() -> None:
    sweep = await run(World())
    assert (sweep.status, counts(sweep), sweep.finished_at) == ("complete", (0, 0, 0), START)


async def test_a_request_names_service_and_job_and_is_seen_by_that_service_only() -> None:
    world = World()
    job = world.jobs.add(service="service-b")
    await run(world)
    (message,) = world.publisher.messages
    subject, request = decode(message.data), request_of(message)
    assert (request.service, request.job_id, request.requested_at) == ("service-b", job, START)
    assert subject.bot_id == world.jobs.jobs[job].bot_id
    assert message.attributes["service"] == "service-b"


async def test_it_changes_no_job_that_has_attempts_left() -> None:
    world = World()
    for status in Status:
        world.jobs.add(status, attempt=4)
    before = dict(world.jobs.jobs)
    await run(world)
    assert world.jobs.jobs == before


@pytest.mark.parametrize("status", [Status.FAILED, Status.IN_PROGRESS])
async def test_a_job_with_its_attempts_spent_is_exhausted_and_reported_not_resumed(
    status: Status,
) -> None:
    world = World()
    job = world.jobs.add(status, attempt=5, modified=STALE)
    sweep = await run(world)
    assert counts(sweep) == (0, 1, 0)
    assert world.jobs.jobs[job].status is Status.EXHAUSTED
    assert world.given_up == [job]
    assert world.publisher.messages == []


async def test_a_spent_job_that_still_runs_is_left_alone() -> None:
    world = World()
    job = world.jobs.add(Status.IN_PROGRESS, attempt=5, modified=FRESH)
    assert counts(await run(world)) == (0, 0, 0)
    assert world.jobs.jobs[job].status is Status.IN_PROGRESS


async def test_a_spent_job_somebody_moves_on_meanwhile_is_skipped() -> None:
    world = World()
    job = world.jobs.add(attempt=5)

    async def reopened_first(change: Change) -> Job:
        raise LeaseLost(change.after.id)

    world.jobs.apply = reopened_first  # type: ignore[method-assign]
    sweep = await run(world)
    assert (sweep.status, counts(sweep), world.given_up) == ("complete", (0, 0, 1), [])
    assert world.jobs.jobs[job].status is Status.FAILED


async def test_a_spent_job_that_is_not_stale_any_more_by_a_clock_set_back_is_skipped() -> None:
    world = World()
    world.jobs.add(Status.IN_PROGRESS, attempt=5, modified=STALE)
    walk = world.jobs.walk

    async def then_set_back(
        status: Status, *, modified_before: datetime | None, after: str | None, limit: int
    ) -> list[Job]:
        page = await walk(status, modified_before=modified_before, after=after, limit=limit)
        if page:
            world.clock.pause(-3600)
        return page

    world.jobs.walk = then_set_back  # type: ignore[method-assign]
    sweep = await run(world)
    assert (sweep.status, counts(sweep)) == ("complete", (0, 0, 1))


async def test_a_record_that_cannot_be_used_is_skipped_and_does_not_keep_the_others() -> None:
    world = World()
    world.jobs.add(service="Not A Service")
    job = world.jobs.add()
    with capture_logs() as logs:
        sweep = await run(world)
    assert (sweep.status, counts(sweep), world.publisher.resumed) == ("complete", (1, 0, 1), [job])
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("job cannot be resumed", "error")
    ]


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


async def test_an_exhausted_job_is_told_with_why_its_last_attempt_ended() -> None:
    world = World()
    failed = world.jobs.add(Status.FAILED, attempt=5)
    for _ in range(2):
        world.jobs.add(Status.IN_PROGRESS, attempt=1, modified=FRESH)
    silent = world.jobs.add(Status.IN_PROGRESS, attempt=5, modified=STALE)
    await run(world)
    assert world.alerts.told == [
        Alert(AlertKind.JOB_EXHAUSTED, "service-a", "Boom", failed),
        Alert(AlertKind.JOB_EXHAUSTED, "service-a", "stale", silent),
    ]


async def test_a_page_is_published_together() -> None:
    world = World(page_size=3)
    for _ in range(5):
        world.jobs.add()
    under_way = peak = 0

    async def publish(message: Message) -> None:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    world.publisher.publish = publish  # type: ignore[method-assign]
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


async def test_a_short_outage_of_pubsub_is_waited_out() -> None:
    world = World()
    job = world.jobs.add()
    world.publisher.refusing = failing_times(3)
    sweep = await run(world)
    assert (sweep.status, world.publisher.resumed) == ("complete", [job])
    assert world.clock.now() < START + timedelta(seconds=10)


async def test_a_long_outage_fails_the_sweep_with_its_reason_and_what_was_done() -> None:
    world = World(page_size=2)
    first, second, third, refused = (world.jobs.add() for _ in range(4))
    world.publisher.refusing = lambda message: request_of(message).job_id == refused
    sweep = await run(world)
    assert (sweep.status, sweep.error) == ("failed", "BusUnavailable: Pub/Sub is away")
    assert counts(sweep) == (3, 0, 0)
    assert sorted(world.publisher.resumed) == [first, second, third]
    assert await world.sweeps.get(sweep.id) == sweep


async def test_a_missing_topic_fails_the_sweep_at_once() -> None:
    world = World()
    world.jobs.add()

    async def publish(message: Message) -> None:
        raise TopologyMissing("no topic")

    world.publisher.publish = publish  # type: ignore[method-assign]
    sweep = await run(world)
    assert (sweep.status, sweep.error) == ("failed", "TopologyMissing: no topic")
    assert world.clock.now() == START


async def test_an_unexpected_error_fails_the_sweep_and_its_text_stays_in_the_log() -> None:
    world = World()
    world.jobs.add()

    async def publish(message: Message) -> None:
        raise RuntimeError("secret")

    world.publisher.publish = publish  # type: ignore[method-assign]
    with capture_logs() as logs:
        sweep = await run(world)
    assert sweep.error == "unexpected RuntimeError; the log of the process has it"
    assert [line["event"] for line in logs] == ["unexpected error in a sweep"]


@pytest.mark.parametrize(
    ("store", "method"), [("jobs", "walk"), ("jobs", "apply"), ("sweeps", "save")]
)
async def test_a_database_that_is_away_for_a_moment_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, store: str, method: str
) -> None:
    world = World()
    job, spent = world.jobs.add(), world.jobs.add(attempt=5)
    part = getattr(world, store)
    works, failures = getattr(part, method), failing_times(2)

    async def unsteady(*args: object, **kwargs: object) -> object:
        if failures(Message(b"", {})):
            raise StoreUnavailable("no primary")
        return await works(*args, **kwargs)

    monkeypatch.setattr(part, method, unsteady)
    assert (await run(world)).status is SweepStatus.COMPLETE
    assert (world.publisher.resumed, world.given_up) == ([job], [spent])


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

    async def publish(message: Message) -> None:
        if request_of(message).job_id == stuck:
            hanging.set()
            await asyncio.Event().wait()

    world.publisher.publish = publish  # type: ignore[method-assign]
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
    publish = world.publisher.publish

    async def robbed(message: Message) -> None:
        for sweep in list(world.sweeps.sweeps.values()):
            world.sweeps.sweeps[sweep.id] = sweep.given_up(START)
        await publish(message)

    world.publisher.publish = robbed  # type: ignore[method-assign]
    sweep = await run(world)
    assert len(world.publisher.messages) == 2
    assert sweep.status is SweepStatus.FAILED
    stored = await world.sweeps.get(sweep.id)
    assert stored
    assert stored.error == "given up: its process went silent"


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
