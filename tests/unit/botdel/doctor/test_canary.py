"""A canary goes all the way round, or the leg on which it was lost is named with its remedy."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from botdel.doctor.canary import DATA, Canary
from deletion.adapters.pubsub.wanted import MAX_DELIVERY_ATTEMPTS
from deletion.bus import Delivery, Message
from deletion.dead_letter import SOURCE, DeadLetter, DeadLetterStatus, Reason, is_canary
from deletion.doctor import Finding, Verdict
from deletion.errors import StoreUnavailable
from deletion.ports import ReadLetter
from deletion.quarantine import Quarantine
from recovery.dead_letter_consumer import DeadLetterConsumer
from recovery.metrics import Metrics
from tests.support.alerts import RecordedAlerts
from tests.support.clock import START, VirtualClock
from tests.support.memory_bus import Copy, MemoryBus, MemorySubscription
from tests.support.scripted_stores import ScriptedDeadLetters

pytestmark = pytest.mark.virtual_time

CANARY = "doctor.0123456789abcdef"
SECONDS = 60.0


class PolicedSubscription(MemorySubscription):
    """With a dead-letter policy: moves what would be delivered once too often."""

    def __init__(self, clock: VirtualClock, dead: MemoryBus) -> None:
        super().__init__(clock, back_off=0)
        self.dead = dead
        self.is_granted = True

    def _due(self, now: datetime) -> list[Copy]:
        for copy in super()._due(now):
            if self.is_granted and copy.attempts >= MAX_DELIVERY_ATTEMPTS:
                self._copies.remove(copy)
                told = {f"{SOURCE}Subscription": f"bot-deletion.{CANARY}"}
                self.dead.put(Message(copy.message.data, {**copy.message.attributes, **told}))
        return super()._due(now)

    async def pull(self, limit: int) -> list[Delivery]:
        """As over a network: it takes some time."""
        await self._clock.sleep(0.02)
        return await super().pull(limit)


class Letters(ScriptedDeadLetters):
    """A read raises while they are `unreadable`, and takes for ever once they are `hung`."""

    unreadable = hung = False

    async def find(self, **filters: object) -> Sequence[ReadLetter]:
        """See the port."""
        if self.unreadable:
            raise StoreUnavailable("the database is away")
        if self.hung:
            await asyncio.Event().wait()
        return await super().find(**filters)  # type: ignore[arg-type]


class World:
    """A topic, the subscription of the canary, a dead-letter topic and recovery."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.bus, dead = MemoryBus(self.clock), MemoryBus(self.clock)
        self.subscription = PolicedSubscription(self.clock, dead)
        self.bus.attach(self.subscription)
        self.letters = Letters()
        self.alerts = RecordedAlerts()
        self.said: list[str] = []
        self.stopping = asyncio.Event()
        self.recovery = DeadLetterConsumer(
            dead.subscribe(),
            Quarantine(self.letters, self.alerts, self.clock),
            self.clock,
            prefix="bot-deletion.",
            prepare=self.prepare,
            metrics=Metrics(),
        )

    async def prepare(self) -> None:
        """Every index is there."""

    async def fly(self, *, recovering: bool = True, grant: str = "") -> Finding:
        canary = Canary(
            CANARY,
            publisher=self.bus,
            subscription=self.subscription,
            letters=self.letters,
            clock=self.clock,
            grant=grant,
            say=self.said.append,
        )
        if not recovering:
            return await canary.fly(SECONDS)
        consuming = asyncio.create_task(self.recovery.consume(self.stopping))
        try:
            return await canary.fly(SECONDS)
        finally:
            self.stopping.set()
            await consuming

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return (self.clock.now() - START).total_seconds()


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.proves("canary")
async def test_a_canary_goes_all_the_way_round_and_its_record_is_discarded(world: World) -> None:
    found = await world.fly()
    assert (found.status, found.remedy) == (Verdict.OK, "")
    assert "recorded after" in found.detail
    [letter] = world.letters.letters.values()
    assert (letter.service, letter.data, is_canary(letter.service)) == (CANARY, DATA, True)
    assert letter.status is DeadLetterStatus.DISCARDED
    assert world.alerts.told == []
    assert world.said[-1] == f"canary: delivered {MAX_DELIVERY_ATTEMPTS} times"


async def test_it_says_whom_it_is_for_so_that_no_service_takes_it(world: World) -> None:
    await world.fly()
    assert world.bus.published == [Message(DATA, {"service": CANARY})]


async def test_copies_of_other_messages_are_acked_and_never_nacked(world: World) -> None:
    world.bus.put(Message(b"an event", {"event_type": "EVENT_TYPE_REQUEST_PLACED"}))
    assert (await world.fly()).status is Verdict.OK
    assert world.subscription.acked == ["1"]
    assert set(world.subscription.nacked) == {"2"}


async def test_a_canary_that_came_late_is_discarded_by_the_next_one_and_nothing_else_is(
    world: World,
) -> None:
    late = a_letter("a", "doctor.ffffffffffffffff")
    poison = a_letter("b", "conversations")
    await world.letters.record([late, poison])
    await world.fly()
    assert world.letters.letters[late.id].status is DeadLetterStatus.DISCARDED
    assert world.letters.letters[poison.id].status is DeadLetterStatus.NEW


async def test_a_topic_that_does_not_confirm_it_is_named(world: World) -> None:
    world.bus.down = True
    found = await world.fly()
    assert lost(found) == ("publishing", "the topic is down")
    assert "Pub/Sub can be reached" in found.remedy


async def test_a_subscription_that_delivers_nothing_is_named(world: World) -> None:
    world.bus._subscriptions.clear()
    world.subscription.put(Message(b"somebody else's", {}), "1")
    found = await world.fly()
    assert lost(found) == ("delivery", "delivered 0 times, not recorded within 60 s")
    assert "--canary-timeout" in found.remedy
    assert world.seconds == pytest.approx(SECONDS, abs=4)


async def test_a_subscription_that_delivers_too_slowly_is_named(world: World) -> None:
    world.subscription._back_off = timedelta(seconds=50)
    assert lost(await world.fly()) == ("delivery", "delivered 3 times, not recorded within 60 s")


async def test_a_subscription_that_does_not_answer_is_named_at_once(world: World) -> None:
    world.subscription.down = True
    found = await world.fly(recovering=False)
    assert lost(found) == ("delivery", "the subscription is down")
    assert world.seconds < 1


async def test_a_message_that_is_never_moved_is_for_want_of_a_grant(world: World) -> None:
    world.subscription.is_granted = False
    found = await world.fly(grant="`gcloud it`")
    assert lost(found)[0] == "dead-lettering"
    assert found.remedy == "`gcloud it`"


@pytest.mark.proves("canary")
async def test_without_recovery_it_is_moved_and_not_recorded(world: World) -> None:
    found = await world.fly(recovering=False)
    assert lost(found) == ("recovery", "delivered 5 times, not recorded within 60 s")
    assert "run `botdel recovery`" in found.remedy


async def test_a_database_that_cannot_be_read_is_named(world: World) -> None:
    world.letters.unreadable = True
    found = await world.fly()
    assert lost(found) == ("database", "the database is away")
    assert "BOTDEL_MONGODB_URI" in found.remedy


async def test_a_database_that_hangs_is_not_taken_for_a_recovery_that_does_not_run(
    world: World,
) -> None:
    world.letters.hung = True
    assert lost(await world.fly()) == ("database", "delivered 5 times, not recorded within 60 s")


def lost(found: Finding) -> tuple[str, str]:
    """The leg, and why."""
    assert (found.check, found.status) == ("canary", Verdict.FAILED)
    leg, _, why = found.detail.removeprefix("lost at ").partition(": ")
    return leg, why


def a_letter(message_id: str, service: str) -> DeadLetter:
    return DeadLetter(
        id=message_id * 24,
        service=service,
        message_id=message_id,
        data=b"",
        attributes={},
        published_at=START,
        delivery_attempt=5,
        reason=Reason.UNDELIVERED,
        detail="",
        first_seen_at=START,
        last_seen_at=START,
    )
