"""While database, bus or clock are wrong, no delivery is spent and nothing is lost."""

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import pytest

from consumers.loop import GROUPS, MAX_PAUSE_SECONDS, PROBE_LIMIT, PULL_LIMIT
from deletion.bus import Delivery
from deletion.errors import BusUnavailable, StoreUnavailable, TopologyMissing
from deletion.job import Job, Status
from deletion.ports import Recorded
from tests.support.clock import START, until
from tests.support.factories import BOT, a_job, placed
from tests.unit.consumers.consuming import BOTS, World

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


async def test_nothing_is_pulled_before_the_database_answers(world: World) -> None:
    world.store.down = True
    await world.publish(placed())
    world.start()
    await world.clock.sleep(30)
    assert world.subscription.pulls == []
    assert world.consumer.problem is not None
    assert "database" in world.consumer.problem
    world.store.down = False
    await world.until_ended(1)
    assert world.consumer.problem is None


@pytest.mark.proves("outage-of-intake")
async def test_an_outage_of_the_database_pauses_pulling_so_that_no_delivery_is_spent(
    world: World,
) -> None:
    world.start()
    await world.clock.sleep(10)
    assert world.consumer.problem is None
    world.store.down = True
    await world.publish(*(placed(bot) for bot in BOTS))
    await world.clock.sleep(45)
    pulls = len(world.subscription.pulls)
    assert world.consumer.problem is not None
    await world.clock.sleep(600)
    assert len(world.subscription.pulls) == pulls
    nacks = world.subscription.nacked
    assert max(nacks.count(message) for message in nacks) <= 2, "of five deliveries it may have"
    world.store.down = False
    await world.until_ended(len(BOTS))
    assert world.consumer.problem is None
    assert world.subscription.unacked == []


async def test_groups_handed_back_during_a_pull_stop_the_next_one(world: World) -> None:
    """A pull that was under way when the database went away must not hide that it did."""
    world.store.pauses["record"] = 1
    world.start()
    await world.clock.sleep(1)
    await world.publish(placed(BOTS[0]))
    await until(lambda: "record" in world.store.calls)
    world.store.down = True
    await world.clock.sleep(25)
    assert world.consumer.problem is not None
    pulls = len(world.subscription.pulls)
    await world.clock.sleep(60)
    assert len(world.subscription.pulls) == pulls


@pytest.mark.proves("outage-of-intake")
async def test_a_database_that_answers_but_takes_nothing_is_asked_less_and_less(
    world: World,
) -> None:
    """Each try costs a delivery, and a message has few of them."""
    world.store.faults["record"] = deque([RuntimeError("not authorised")] * 999)
    await world.publish(placed())
    world.start()
    await world.clock.sleep(600)
    assert world.consumer.problem is not None
    assert len(world.subscription.nacked) <= 20, "a back-off of 10 s alone would make it 60"
    world.store.faults.clear()
    await world.until_ended(1)
    assert world.consumer.problem is None


@pytest.mark.proves("outage-of-intake")
async def test_a_database_that_takes_nothing_for_hours_wears_out_few_deliveries(
    world: World,
) -> None:
    """It answers pings, so a whole group each minute would be spent: thousands of messages."""
    world.store.faults["record"] = deque([RuntimeError("disk full")] * 10_000)
    world.store.pauses["record"] = 1
    waiting = 5 * PULL_LIMIT
    await world.publish(*(placed(f"{n:024x}") for n in range(1, waiting + 1)))
    world.start()
    await world.clock.sleep(2 * 3600)
    assert len(world.subscription.nacked) <= GROUPS * PULL_LIMIT + PROBE_LIMIT * (2 * 60 + 10)
    assert world.consumer.problem is not None
    world.store.faults.clear()
    await until(lambda: world.subscription.unacked == [])
    assert world.consumer.problem is None
    assert len(world.jobs) == waiting
    assert world.subscription.pulls[-1] == PULL_LIMIT


def refuse(world: World, bot: str) -> None:
    """The database never stores a job of that bot, whatever it is that is wrong with it."""
    record = world.store.record

    async def refusing(jobs: Sequence[Job]) -> list[Recorded]:
        if any(job.bot_id == bot for job in jobs):
            raise RuntimeError("document failed validation")
        return await record(jobs)

    world.store.record = refusing  # type: ignore[method-assign]


@pytest.mark.proves("outage-of-intake")
async def test_a_message_that_can_never_be_stored_does_not_hold_up_those_pulled_with_it(
    world: World,
) -> None:
    refuse(world, BOT)
    await world.publish(placed(BOT), *(placed(f"{n:024x}") for n in range(1, 3 * PULL_LIMIT)))
    world.start()
    await until(lambda: len(world.jobs) == 3 * PULL_LIMIT - 1, within=2)
    assert world.store.calls.count("check_writes") == 1, "the database is not at fault"


@pytest.mark.proves("outage-of-intake")
async def test_a_message_that_can_never_be_stored_does_not_hold_up_those_that_come_after_it(
    world: World,
) -> None:
    """While it is the only one nothing shows whose fault it is."""
    refuse(world, BOT)
    await world.publish(placed(BOT))
    world.start()
    await world.clock.sleep(600)
    await world.publish(*(placed(bot) for bot in BOTS))
    await until(lambda: len(world.jobs) == len(BOTS), within=2 * MAX_PAUSE_SECONDS)


async def test_a_bus_that_is_away_is_waited_for(world: World) -> None:
    world.subscription.down = True
    world.start()
    await world.clock.sleep(30)
    assert world.consumer.problem == "the subscription is down"
    await world.publish(placed())
    world.subscription.down = False
    await world.until_ended(1)
    assert world.consumer.problem is None


@pytest.mark.proves("pubsub-trouble")
@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (TopologyMissing("no such subscription"), "no such subscription"),
        (ValueError("the key is disabled"), "unexpected ValueError"),
    ],
)
async def test_a_pull_that_is_refused_ends_no_run_and_is_tried_less_and_less(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    """What is recorded needs no Pub/Sub; that nothing is pulled shows in the readiness."""
    world.store.put(a_job(Status.PENDING, attempt=0, due=START, created_at=START))
    refused = 0

    async def refusing(limit: int) -> list[Delivery]:
        nonlocal refused
        refused += 1
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(world.subscription, "pull", refusing)
        world.start()
        await world.until_ended(1)
        await world.clock.sleep(3600)
        assert world.consumer.problem == problem
        assert refused < 3600 / MAX_PAUSE_SECONDS + 10
    await world.publish(placed(BOTS[0]))
    await world.until_ended(2)
    assert world.consumer.problem is None


@pytest.mark.proves("clock-set")
async def test_nothing_is_pulled_under_a_clock_that_is_wrong(world: World) -> None:
    """Its jobs would be due in the future, where no worker, sweep or operator looks."""
    world.store.skew = timedelta(days=-3)
    await world.publish(placed())
    world.start()
    await world.clock.sleep(600)
    assert world.subscription.pulls == []
    assert "clock" in (world.consumer.problem or "")
    world.store.skew = timedelta(0)
    await world.until_ended(1)
    assert world.consumer.problem is None


@pytest.mark.proves("clock-set")
async def test_a_clock_that_is_set_during_a_pull_makes_no_job_of_the_future(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    for step in (timedelta(days=3), -timedelta(days=3)):
        world.clock.set(step)
        world.store.skew -= step
        await world.publish(*(placed(bot) for bot in BOTS))
        await world.clock.sleep(20)
    await world.until_ended(len(BOTS))
    assert max(job.created_at for job in world.jobs) <= world.clock.now()


@pytest.mark.proves("outage-of-intake")
async def test_a_database_that_answers_and_takes_no_write_costs_each_message_one_delivery(
    world: World,
) -> None:
    """Without its majority, full, or locked: after five deliveries Pub/Sub gives a message up."""
    world.start()
    await world.clock.sleep(10)
    for method in ("record", "check_writes"):
        world.store.faults[method] = deque([StoreUnavailable("no majority")] * 10_000)
    await world.publish(*(placed(bot) for bot in BOTS))
    await world.clock.sleep(2 * 3600)
    nacks = world.subscription.nacked
    assert max(nacks.count(message) for message in nacks) <= 2, "of five deliveries it may have"
    world.store.faults.clear()
    await world.until_ended(len(BOTS))
    assert world.consumer.problem is None


async def test_lost_acks_cost_redeliveries_and_no_second_run(world: World) -> None:
    world.subscription.ack_faults.extend([BusUnavailable("away")] * 4)
    await world.publish(*(placed(bot) for bot in BOTS[:8]))
    world.start()
    await until(lambda: world.subscription.unacked == [])
    await world.until_ended(8)
    assert len(world.step.cursors) == 8


async def test_a_moment_of_a_lost_database_costs_no_second_run(world: World) -> None:
    world.store.lost["record"] = deque([StoreUnavailable("answer lost")])
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    world.start()
    await world.until_ended(4)
    assert len(world.step.cursors) == 4
