"""A broker in memory that delivers as Pub/Sub does: at least once, in no order, and not for ever.

A message that was delivered too often goes to the dead-letter topic, as
https://cloud.google.com/pubsub/docs/handling-failures says: with a new id, and attributes that say
where it came from.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from deletion.adapters.pubsub.wanted import ACK_DEADLINE_SECONDS, BACK_OFF, MAX_DELIVERY_ATTEMPTS
from deletion.bus import Delivery, Message
from deletion.clock import Clock
from deletion.dead_letter import SOURCE
from tests.support.memory_bus import Copy, MemoryBus, MemorySubscription

FIRST_WAIT = cast("timedelta", BACK_OFF.minimum_backoff)
LONGEST_WAIT = cast("timedelta", BACK_OFF.maximum_backoff)
PREFIX = "bot-deletion."
PULL_WAIT = 10.0
"""Seconds that an empty pull takes: longer than Pub/Sub's, for the sake of speed."""


@dataclass(frozen=True)
class Rules:
    """How messages are delivered: `most` times, and a share of them (0 to 1) `twice` at once."""

    rng: random.Random
    twice: float = 0.0
    most: int = MAX_DELIVERY_ATTEMPTS


class Subscription(MemorySubscription):
    """The subscription of one service, or of the dead letters when there is nowhere to go on to."""

    def __init__(
        self, clock: Clock, rules: Rules, service: str, dead_letters: MemoryBus | None
    ) -> None:
        super().__init__(
            clock,
            ack_deadline=ACK_DEADLINE_SECONDS,
            back_off=FIRST_WAIT.total_seconds(),
            pull_wait=PULL_WAIT,
        )
        self.service = service
        self.given_up = 0
        self._rules = rules
        self._dead_letters = dead_letters

    def deliver_again(self) -> None:
        """Whoever has a message under way: somebody else gets it as well."""
        for copy in self._copies:
            copy.due = self._clock.now()
        self._arrived.set()

    def _due(self, now: datetime) -> list[Copy]:
        due = super()._due(now)
        if self._dead_letters:
            for copy in [copy for copy in due if copy.attempts >= self._rules.most]:
                self._give_up(copy, self._dead_letters)
                due.remove(copy)
        self._rules.rng.shuffle(due)
        return due

    def _deliver(self, copy: Copy) -> Delivery:
        delivery = super()._deliver(copy)
        if self._rules.rng.random() < self._rules.twice:  # a duplicate is no attempt of its own
            copy.attempts -= 1
            copy.due = self._clock.now()
        return delivery

    def _give_up(self, copy: Copy, dead_letters: MemoryBus) -> None:
        self._copies.remove(copy)
        self.given_up += 1
        source = {
            f"{SOURCE}Subscription": PREFIX + self.service,
            f"{SOURCE}SubscriptionProject": "simulation",
            f"{SOURCE}DeliveryCount": str(copy.attempts),
            f"{SOURCE}TopicPublishTime": copy.published_at.isoformat(),
        }
        dead_letters.put(Message(copy.message.data, {**copy.message.attributes, **source}))

    async def _arrival(self, wait: timedelta) -> None:
        self._arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait.total_seconds()):
                await self._arrived.wait()

    def _wait(self, copy: Copy) -> timedelta:
        if copy.attempts <= 1:  # as measured: the first redelivery is at once
            return timedelta(0)
        return min(FIRST_WAIT * (1 << copy.attempts - 2), LONGEST_WAIT)


class Broker:
    """The topic, the dead-letter topic, and the subscriptions of both."""

    def __init__(self, clock: Clock, rules: Rules, services: list[str]) -> None:
        self.topic = MemoryBus(clock)
        self._dead_letter_topic = MemoryBus(clock)  # with the same ids as the other
        self.dead_letters = Subscription(clock, rules, "dead-letter", None)
        self._dead_letter_topic.attach(self.dead_letters)
        self.of = {
            service: Subscription(clock, rules, service, self._dead_letter_topic)
            for service in services
        }
        for subscription in self.of.values():
            self.topic.attach(subscription)

    @property
    def subscriptions(self) -> list[Subscription]:
        """All of them."""
        return [*self.of.values(), self.dead_letters]
