"""Pub/Sub of the console, which only replays need: without it everything else works."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.bus import Message, Publisher
from deletion.errors import BusUnavailable, ConfigurationError
from deletion.process.bus import connected_bus
from deletion.process.settings import PubSubSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Replaying:
    """What a replay publishes through; see `deletion.operating.dead_letters.Replay`."""

    publisher: Publisher
    check_attached: Callable[[str], Awaitable[None]]


class NoBus:
    """Raises `BusUnavailable` with the reason why there is no Pub/Sub."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def publish(self, message: Message) -> None:  # noqa: ARG002 - the port's
        """Publish nothing."""
        raise BusUnavailable(self._why)

    async def check_attached(self, service: str) -> None:  # noqa: ARG002 - as of a topology
        """Find out nothing."""
        raise BusUnavailable(self._why)


@asynccontextmanager
async def replaying(settings: PubSubSettings) -> AsyncIterator[Replaying]:
    """Connect for the block. Without credentials, each replay says so."""
    async with AsyncExitStack() as stack:
        try:
            bus = await stack.enter_async_context(connected_bus(settings))
        except ConfigurationError as error:
            log.warning("no dead letter can be replayed", reason=str(error))
            nothing = NoBus(str(error))
            yield Replaying(nothing, nothing.check_attached)
            return
        publisher = GroupingPublisher(bus.publisher, settings.names.topic)
        yield Replaying(publisher, bus.topology.require_attached)
