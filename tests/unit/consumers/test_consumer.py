"""Intake and workers side by side: nothing waits for a deletion, nothing is left behind."""

from collections import deque

import pytest

from consumers.loop import GROUPS, PULL_LIMIT
from consumers.worker import Worker
from deletion.bus import Delivery, Message
from deletion.job import STALE, Job, PastAttempt, Status
from tests.support.clock import START, until
from tests.support.factories import BOT, a_job, placed
from tests.unit.consumers.consuming import BOTS, World

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


async def test_every_request_becomes_a_job_that_is_complete(world: World) -> None:
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.until_ended(len(BOTS))
    assert world.subscription.unacked == []
    assert not any(world.data[bot] for bot in BOTS)
    assert world.data[BOT] == [0, 1, 2, 3, 4], "of a bot nobody asked to delete"
    assert world.metric("botdel_consumer_runs_total", outcome="complete") == len(BOTS)
    assert world.metric("botdel_consumer_messages_total", outcome="recorded") == len(BOTS)


@pytest.mark.proves("recorded-in-seconds")
async def test_events_become_jobs_however_many_runs_are_busy(world: World) -> None:
    """A backlog is pending jobs: visible, ordered, and never expired by a broker."""
    world.step.seconds = 250
    world.start()
    await world.publish(*(placed(bot) for bot in BOTS[:4]))
    await until(lambda: world.running == 4)
    await world.publish(*(placed(bot) for bot in BOTS[4:]))
    await world.clock.sleep(5)
    assert world.subscription.unacked == []
    assert (world.count(Status.IN_PROGRESS), world.count(Status.PENDING)) == (4, len(BOTS) - 4)


async def test_a_new_job_is_claimed_at_once_and_not_at_the_next_poll(world: World) -> None:
    world.start()
    await world.clock.sleep(600)
    asked = world.clock.now()
    await world.publish(placed())
    await until(lambda: world.running == 1)
    assert (world.clock.now() - asked).total_seconds() <= 0.1


@pytest.mark.proves("recorded-in-seconds")
async def test_what_is_held_in_memory_is_bounded_by_groups(world: World) -> None:
    world.store.pauses["record"] = 5
    most = 0
    take = world.consumer._intake.take
    held = 0

    async def noted(deliveries: list[Delivery]) -> object:
        nonlocal held, most
        held += len(deliveries)
        most = max(most, held)
        taken = await take(deliveries)
        held -= len(deliveries)
        return taken

    world.consumer._intake.take = noted  # type: ignore[method-assign, assignment]
    await world.publish(*(placed(f"{n:024x}") for n in range(6 * PULL_LIMIT)))
    world.start()
    await until(lambda: world.subscription.unacked == [])
    assert most == GROUPS * PULL_LIMIT
    assert set(world.subscription.pulls) == {PULL_LIMIT}


async def test_a_job_that_kills_its_process_runs_beside_the_others(world: World) -> None:
    """However many wait in front of it, and it takes none of their slots."""
    past = tuple(PastAttempt(n, "w", "first", 1, START, STALE) for n in (1, 2))
    world.store.put(a_job(Status.PENDING, attempt=2, past_attempts=past, bot_id=BOT))
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await until(lambda: world.running == 5)
    await world.until_ended(len(BOTS) + 1)


async def test_a_group_that_breaks_off_is_handed_back_and_taken_in_later(world: World) -> None:
    world.store.faults["record"] = deque([RuntimeError("unexpected")] * 50)
    await world.publish(*(placed(bot) for bot in BOTS))
    world.start()
    await world.until_ended(len(BOTS))


async def test_a_message_that_is_no_event_does_not_stop_the_others(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    await world.publish(Message(b"not an event", {}))
    await until(lambda: len(world.dead_letters.letters) == 1)
    assert world.consumer.problem is None
    assert world.subscription.nacked == []
    assert world.store.calls.count("check_writes") == 1, "it says nothing of the database"
    await world.publish(placed())
    await world.until_ended(1)


async def test_a_worker_that_breaks_off_stops_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intake without a worker would take in what nobody runs, and look well."""
    await world.publish(placed())
    world.start()
    await until(lambda: world.running == 1)

    async def broken(self: Worker, free: int) -> list[Job]:
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "_claim", broken)
    assert world.consuming is not None
    with pytest.raises(ZeroDivisionError):
        await world.consuming
    assert world.stopping.is_set()
    assert world.count(Status.FAILED) == 1, "and what ran was handed over"


async def test_a_problem_of_a_worker_is_a_problem_of_the_consumer(world: World) -> None:
    world.start()
    await world.clock.sleep(10)
    assert world.consumer.problem is None
    world.store.faults["due"] = deque([RuntimeError("unexpected")] * 100)
    await world.clock.sleep(30)
    assert world.consumer.problem == "unexpected RuntimeError"


def test_a_consumer_that_has_not_started_is_not_ready() -> None:
    assert World().consumer.problem == "not started"


@pytest.mark.proves("duplicates")
async def test_an_event_delivered_many_times_is_run_once(world: World) -> None:
    event = placed()
    for _ in range(10):
        await world.publish(event, event)
        if world.consuming is None:
            world.start()
        await world.clock.sleep(1)
    await world.until_ended(1)
    await until(lambda: world.subscription.unacked == [])
    assert world.step.deleted == [0, 1, 2, 3, 4]
    assert world.step.cursors == [None]
