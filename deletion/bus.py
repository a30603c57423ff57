"""The ports for messages: publish to the topic, pull from a subscription.

They are not in `deletion.ports`, because the gateway needs them and must not know about jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: an encoded event, and the attributes that filters can see."""

    data: bytes
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message. `attempt` counts deliveries, 0 when unknown."""

    message: Message
    message_id: str
    ack_id: str
    attempt: int
    published_at: datetime


class Publisher(Protocol):
    """Publishes to the topic."""

    async def publish(self, message: Message) -> None:
        """Publish the message, and return once it is confirmed, within bounded time.

        Raises `BusUnavailable` when it is not confirmed (it may have been published nevertheless),
        and `TopologyMissing` when the topic does not exist.
        """


class Subscription(Protocol):
    """Delivers messages at least once, in no particular order."""

    async def pull(self, limit: int) -> list[Delivery]:
        """Return at most `limit` deliveries, possibly none, within a few seconds.

        Raises `BusUnavailable`, or `TopologyMissing` when the subscription does not exist.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge, best effort: if an ack is lost, its message is redelivered.

        Raises `BusUnavailable`.
        """

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        """Let the messages be redelivered after the subscription's back-off.

        Raises `BusUnavailable`.
        """
