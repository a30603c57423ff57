"""Whether publishing works: judged by recent publishes, or by asking Pub/Sub without any.

docs/decisions/0022.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from google.api_core import exceptions as gcp
from google.pubsub_v1.services.publisher import PublisherAsyncClient

from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.errors import TopologyMissing

RECENT_SECONDS: Final = 30.0
"""How long the outcome of a publish counts."""

Probe = Callable[[], Awaitable[bool]]
"""True when the topic exists; False when Pub/Sub answers, but does not say whether it does.

Raises `BusUnavailable`, and `TopologyMissing` when the topic does not exist. Changes nothing.
"""


class TopicProbe:
    """Looks the topic up. A missing viewer role or a spent quota says nothing about publishing."""

    def __init__(self, client: PublisherAsyncClient, topic: str, *, emulated: bool) -> None:
        self._client = client
        self._topic = topic
        self._emulated = emulated

    async def __call__(self) -> bool:
        """See `Probe`. A topic that an emulator has forgotten is put back by the next publish."""
        try:
            with translated(self._topic):
                await self._look()
        except TopologyMissing:
            if not self._emulated:
                raise
        except _Silent:
            return False
        return True

    async def _look(self) -> None:
        try:
            await self._client.get_topic(
                topic=self._topic, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )
        except (gcp.Forbidden, gcp.TooManyRequests) as error:
            raise _Silent from error


class _Silent(Exception):
    """Pub/Sub answers, but does not say whether the topic exists."""


class Publishing:
    """`deletion.process.readiness.Ask`: raises when events cannot be published.

    A recent publish that was confirmed is proof. If the latest one failed, or none is recent,
    `probe` decides; but no probe outweighs a topic that was missing or not allowed.
    """

    def __init__(
        self,
        publisher: GroupingPublisher,
        probe: Probe,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._probe = probe
        self._monotonic = monotonic

    async def __call__(self) -> None:
        """Raise `BusUnavailable` or `TopologyMissing`."""
        last = self._publisher.last
        recent = last is not None and self._monotonic() - last.at < RECENT_SECONDS
        error = last.error if last and recent else None
        if recent and error is None:
            return
        if isinstance(error, TopologyMissing):
            raise error  # seeing the topic does not prove that publishing to it is allowed
        if not await self._probe() and error:
            raise error
