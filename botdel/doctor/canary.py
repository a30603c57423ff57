"""The canary: a message that fails on purpose, and is followed through the whole dead-letter path.

topic → its own subscription → nacked until Pub/Sub moves it → dead-letter topic → recovery →
`dead_letters`. No service's filter lets it through, and recovery raises no alert for it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from botdel.doctor.findings import LOOK_AT_DATABASE, LOOK_AT_PUBSUB, failed, ok
from deletion.adapters.pubsub.subscription import PULL_LIMIT
from deletion.adapters.pubsub.wanted import MAX_DELIVERY_ATTEMPTS
from deletion.bus import Delivery, Message, Publisher, Subscription
from deletion.clock import Clock
from deletion.dead_letter import DeadLetter, DeadLetterStatus, is_canary
from deletion.doctor import Finding
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.ports import DeadLetterStore

CHECK = "canary"
DATA = b"a canary of `botdel doctor`: this is not an event, and there is nothing to do"
LOOK_EVERY = 0.25
"""Seconds between two looks at the dead letters."""
SILENCE = timedelta(seconds=1)
"""After this long without a delivery it has been moved: its subscription has no back-off."""
KEPT = 100
"""New dead letters searched for canaries to discard, which may be late ones."""

RUN_RECOVERY = (
    "run `botdel recovery` with the same topic and database, and look at its log: it records what "
    "the dead-letter subscription holds"
)


class Leg(StrEnum):
    """A part of the path. Each comment says what ends it."""

    PUBLISHING = "publishing"  # Pub/Sub confirms it
    DELIVERY = "delivery"  # its subscription has delivered it as often as the policy allows
    DEAD_LETTERING = "dead-lettering"  # it is not delivered any more
    RECOVERY = "recovery"  # its record is in the database
    DATABASE = "database"  # the database answers whether the record is there


@dataclass(slots=True)
class Trip:
    """How far a canary has got.

    `delivered_at` is its last delivery, and `looked_at` the last time that the database answered,
    but did not have its record.
    """

    began: datetime
    confirmed: bool = False
    deliveries: int = 0
    delivered_at: datetime | None = None
    looked_at: datetime | None = None

    def leg(self, now: datetime) -> Leg:
        """Return the part of the path where it is."""
        if not self.confirmed:
            return Leg.PUBLISHING
        if self.delivered_at is None or self.deliveries < MAX_DELIVERY_ATTEMPTS:
            return Leg.DELIVERY
        if now - self.delivered_at < SILENCE:
            return Leg.DEAD_LETTERING
        was_looked_for = self.looked_at is not None and self.looked_at >= self.delivered_at
        return Leg.RECOVERY if was_looked_for else Leg.DATABASE

    def __str__(self) -> str:
        return f"delivered {self.deliveries} times"


class Canary:
    """One canary, with a `service` and a `subscription` that nothing else uses.

    `grant` is the command that lets Pub/Sub's service agent publish; empty on an emulator.
    """

    def __init__(
        self,
        service: str,
        *,
        publisher: Publisher,
        subscription: Subscription,
        letters: DeadLetterStore,
        clock: Clock,
        grant: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._publisher = publisher
        self._subscription = subscription
        self._letters = letters
        self._clock = clock
        self._grant = grant
        self._say = say

    async def fly(self, seconds: float) -> Finding:
        """Send it. If it is not recorded within `seconds`, the finding names the leg where it was
        lost.
        """
        trip = Trip(self._clock.now())
        try:
            await self._publisher.publish(Message(DATA, {"service": self._service}))
            trip.confirmed = True
            recorded = await self._is_recorded(trip, seconds)
            took = (self._clock.now() - trip.began).total_seconds()
            if recorded:
                await self._discard()
                return ok(CHECK, f"recorded after {took:.1f} s, {trip}")
        except StoreUnavailable as error:
            return self._lost(Leg.DATABASE, str(error))
        except BusUnavailable as error:
            return self._lost(trip.leg(self._clock.now()), str(error))
        return self._lost(trip.leg(self._clock.now()), f"{trip}, not recorded within {seconds:g} s")

    async def _is_recorded(self, trip: Trip, seconds: float) -> bool:
        """Return whether it is recorded within `seconds`.

        Cancelling the last pull is harmless: the subscription is deleted with the canary.
        """
        recorded = asyncio.create_task(self._recorded(trip))
        nacking = asyncio.create_task(self._nack(trip))
        over = asyncio.create_task(self._clock.sleep(seconds))
        tasks = (recorded, nacking, over)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return recorded in done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _recorded(self, trip: Trip) -> None:
        """Return once the database has its record."""
        while not await self._letters.find(service=self._service, limit=1):
            trip.looked_at = self._clock.now()
            await self._clock.sleep(LOOK_EVERY)

    async def _nack(self, trip: Trip) -> None:
        """Nack it until cancelled, and ack other messages: an emulator ignores the filter."""
        while True:
            pulled = await self._subscription.pull(PULL_LIMIT)
            canaries = [each for each in pulled if self._is_canary(each)]
            await self._subscription.ack([each for each in pulled if not self._is_canary(each)])
            await self._subscription.nack(canaries)
            if canaries:
                trip.deliveries += 1
                trip.delivered_at = self._clock.now()
                self._say(f"{CHECK}: {trip}")

    def _is_canary(self, delivery: Delivery) -> bool:
        return delivery.message.attributes.get("service") == self._service

    async def _discard(self) -> None:
        """Discard its dead letter, and those of earlier canaries that were recorded too late."""
        for letter in await self._letters.find(status=DeadLetterStatus.NEW, limit=KEPT):
            if isinstance(letter, DeadLetter) and is_canary(letter.service):
                await self._letters.mark(letter, DeadLetterStatus.DISCARDED)

    def _lost(self, leg: Leg, why: str) -> Finding:
        remedies = {
            Leg.PUBLISHING: LOOK_AT_PUBSUB,
            Leg.DELIVERY: f"{LOOK_AT_PUBSUB}; --canary-timeout gives it longer",
            Leg.DEAD_LETTERING: self._grant or LOOK_AT_PUBSUB,
            Leg.RECOVERY: RUN_RECOVERY,
            Leg.DATABASE: LOOK_AT_DATABASE,
        }
        return failed(CHECK, f"lost at {leg}: {why}", remedies[leg])
