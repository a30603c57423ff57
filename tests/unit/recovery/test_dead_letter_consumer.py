"""What Pub/Sub gave up is recorded before it is acked, and an outage loses none of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
import pytest_asyncio
from structlog.typing import EventDict

from deletion.alerts import Alert, AlertKind
from deletion.bus import Message
from deletion.errors import StoreUnavailable
from deletion.quarantine import Quarantine
from recovery.dead_letter_consumer import DeadLetterConsumer
from recovery.metrics import Metrics
from tests.support.alerts import RecordedAlerts
from tests.support.clock import VirtualClock, until
from tests.support.memory_bus import MemoryBus
from tests.support.scripted_stores import ScriptedDeadLetters

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

SOURCE = {
    "event_type": "EVENT_TYPE_REQUEST_PLACED",
    "CloudPubSubDeadLetterSourceSubscription": "bot-deletion.conversations",
    "CloudPubSubDeadLetterSourceDeliveryCount": "5",
}


class World:
    """The dead-letter subscription and its consumer."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.journal: list[str] = []
        self.bus = MemoryBus(self.clock, self.journal)
        self.subscription = self.bus.subscribe()
        self.store = ScriptedDeadLetters(self.journal)
        self.alerts = RecordedAlerts()
        self.prepared = 0
        self.metrics = Metrics()
        self.stopping = asyncio.Event()
        self.consumer = DeadLetterConsumer(
            self.subscription,
            Quarantine(self.store, self.alerts, self.clock),
            self.clock,
            prefix="bot-deletion.",
            prepare=self.prepare,
            metrics=self.metrics,
        )

    async def prepare(self) -> None:
        self.prepared += 1
        if self.store.down:
            raise StoreUnavailable("the database is down")

    def metric(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(f"botdel_recovery_dead_letters_{name}")
        assert value is not None, f"{name} is there from the start"
        return value

    async def recorded(self, count: int) -> None:
        await until(lambda: len(self.store.letters) == count)


@pytest_asyncio.fixture(loop_scope="function")
async def world() -> AsyncIterator[World]:
    world = World()
    consuming = asyncio.create_task(world.consumer.consume(world.stopping))
    yield world
    world.stopping.set()
    await consuming


@pytest.mark.proves("given-up-by-pubsub")
async def test_what_pubsub_gave_up_is_recorded_with_its_service_and_then_acked(
    world: World,
) -> None:
    await world.bus.publish(Message(b"an event", SOURCE))
    await world.recorded(1)
    await until(lambda: not world.subscription.unacked)
    [letter] = world.store.letters.values()
    assert (letter.service, letter.data) == ("conversations", b"an event")
    assert (letter.attributes, letter.message_id) == (SOURCE, "1")
    assert (letter.reason, letter.delivery_attempt) == ("undelivered", 5)
    assert letter.detail == "delivered 5 times to bot-deletion.conversations"
    assert world.journal == ["quarantine 1", "ack 1"]
    told = Alert(AlertKind.DEAD_LETTER, "conversations", "undelivered", letter.id)
    assert world.alerts.told == [told]


@pytest.mark.parametrize(
    ("source", "service"),
    [
        ("bot-deletion.billing", "billing"),
        ("projects/p/subscriptions/bot-deletion.billing", "billing"),
        ("another.billing", ""),
        ("", ""),
    ],
)
async def test_the_service_is_told_by_the_subscription_it_came_from(
    world: World, source: str, service: str
) -> None:
    await world.bus.publish(Message(b"x", {"CloudPubSubDeadLetterSourceSubscription": source}))
    await world.recorded(1)
    assert [letter.service for letter in world.store.letters.values()] == [service]


@pytest.mark.parametrize("times", ["", "-1", "five", "\N{ARABIC-INDIC DIGIT FIVE}", "9" * 400])
async def test_a_count_that_is_none_is_not_known(world: World, times: str) -> None:
    await world.bus.publish(Message(b"x", {"CloudPubSubDeadLetterSourceDeliveryCount": times}))
    await world.recorded(1)
    assert [letter.delivery_attempt for letter in world.store.letters.values()] == [0]


async def test_the_canary_of_the_doctor_is_recorded_and_nobody_is_told(world: World) -> None:
    source = {"CloudPubSubDeadLetterSourceSubscription": "bot-deletion.doctor.0a1b"}
    await world.bus.publish(Message(b"x", source))
    await world.recorded(1)
    assert world.alerts.told == []


@pytest.mark.proves("given-up-by-pubsub")
async def test_while_the_database_is_away_nothing_is_acked_and_none_is_lost(world: World) -> None:
    world.store.down = True
    for number in range(3):
        await world.bus.publish(Message(bytes([number]), SOURCE))
    await world.clock.sleep(3600)
    assert world.subscription.acked == []
    assert world.prepared < 70, "it is asked less and less"
    world.store.down = False
    await world.recorded(3)
    await until(lambda: not world.subscription.unacked)


async def test_a_bus_that_is_away_is_waited_for(world: World) -> None:
    world.subscription.down = True
    await world.clock.sleep(600)
    world.subscription.down = False
    await world.bus.publish(Message(b"x", SOURCE))
    await world.recorded(1)


@pytest.mark.proves("letters-recorded")
async def test_it_says_since_when_and_why_nothing_is_recorded_until_it_is(world: World) -> None:
    await until(lambda: world.metric("recording") == 1)
    assert world.consumer.problem is None
    world.subscription.down = True
    began = world.clock.now()
    await world.clock.sleep(600)
    problem = str(world.consumer.problem)
    assert problem.startswith("no dead letters recorded since ")
    assert problem.endswith(": the subscription is down")
    since = datetime.fromisoformat(problem.split(" since ")[1].split(": ", maxsplit=1)[0])
    assert began - timedelta(seconds=1) <= since <= began + timedelta(seconds=3)
    assert (world.metric("recording"), world.metric("failures_total") > 5) == (0, True)
    world.subscription.down = False
    await world.bus.publish(Message(b"x", SOURCE))
    await until(lambda: world.metric("recorded_total") == 1)
    await until(lambda: world.consumer.problem is None)
    assert world.metric("recording") == 1


async def test_a_database_that_is_away_is_a_problem_of_the_recorder_too(world: World) -> None:
    assert world.metric("recorded_total") == world.metric("failures_total") == 0
    world.store.down = True
    await world.bus.publish(Message(b"x", SOURCE))
    await until(lambda: "the database is down" in str(world.consumer.problem))
    world.store.down = False
    await until(lambda: world.consumer.problem is None)
    assert world.metric("failures_total") > 0


async def test_an_ack_that_is_lost_only_adds_to_the_count(world: World) -> None:
    world.subscription.ack_faults.append(StoreUnavailable("lost"))
    await world.bus.publish(Message(b"x", SOURCE))
    await until(lambda: bool(world.subscription.acked))
    [letter] = world.store.letters.values()
    assert letter.count == 2
    assert len(world.alerts.told) == 1


async def test_an_error_nobody_foresaw_is_logged_and_survived(
    world: World, logs: list[EventDict]
) -> None:
    world.subscription.ack_faults.append(ZeroDivisionError("by nought"))
    await world.bus.publish(Message(b"x", SOURCE))
    await until(lambda: bool(world.subscription.acked))
    assert [line["log_level"] for line in logs if "exc_info" in line] == ["error"]


async def test_it_stops_within_one_pull() -> None:
    world = World()
    consuming = asyncio.create_task(world.consumer.consume(world.stopping))
    await world.clock.sleep(1)
    asked = world.clock.now()
    world.stopping.set()
    await consuming
    assert (world.clock.now() - asked).total_seconds() <= 3


async def test_it_does_not_sit_out_a_pause_when_it_is_to_stop() -> None:
    world = World()
    world.store.down = True
    consuming = asyncio.create_task(world.consumer.consume(world.stopping))
    await world.clock.sleep(600)
    asked = world.clock.now()
    world.stopping.set()
    await consuming
    assert world.clock.now() == asked


async def test_a_canary_is_neither_counted_nor_logged_as_a_dead_letter(
    world: World, logs: list[EventDict]
) -> None:
    """`botdel doctor` may run every day, and nobody is to be woken by it."""
    source = {"CloudPubSubDeadLetterSourceSubscription": "bot-deletion.doctor.0a1b"}
    await world.bus.publish(Message(b"x", source))
    await until(lambda: bool(world.subscription.acked))
    assert world.metric("recorded_total") == 0
    assert [(line["event"], line["log_level"]) for line in logs] == [("canaries recorded", "info")]
    await world.bus.publish(Message(b"x", SOURCE))
    await until(lambda: len(world.subscription.acked) > 1)
    await until(lambda: world.metric("recorded_total") == 1)
    assert logs[-1] == {"event": "dead letters recorded", "log_level": "error", "count": 1}
