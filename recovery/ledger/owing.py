"""Who owes the requests that are received now: the registered services, once they are all there."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import BusUnavailable, TopologyMissing
from deletion.kept import Kept
from deletion.ledger import ServiceStore

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = 60.0
"""How long the list of services that have a subscription is used before it is read again.

So the subscription of a service that is not registered yet may be noticed late. That service owes
neither what is recorded in the meantime nor what its topic kept from before. It gets both, and
deletes.
"""
NAMED: Final = 10
"""The most services that an error names."""

Subscribed = Callable[[], Awaitable[Collection[str]]]
"""Returns the services that have a subscription on the topic of requests. Raises `TopologyMissing`
if this identity may not list them, and `BusUnavailable`."""


class Owing:
    """The services that owe what is received now.

    It `is_idle` while an operator has yet to register some: while there is none, or one has a
    subscription and no record. A request that is recorded then could be settled, and announced,
    although a service that gets it too has not deleted anything.
    """

    def __init__(self, services: ServiceStore, subscribed: Subscribed, clock: Clock) -> None:
        self._services = services
        self._list = subscribed
        self._subscribed = Kept(self._listed, KEPT_SECONDS, clock.monotonic)
        self.is_idle = False

    async def services(self) -> list[str]:
        """Their names. Raises `TopologyMissing` while some are not registered, and
        `StoreUnavailable` and `BusUnavailable`.
        """
        found = await self._services.all()
        names = [each.name for each in found if each.retired_at is None]
        recorded = {each.name for each in found}
        problem = await self._unregistered(recorded) if names else _nobody()
        self.is_idle = problem is not None
        if problem:
            raise problem
        return names

    async def _unregistered(self, recorded: Collection[str]) -> TopologyMissing | None:
        """What is wrong if a service has a subscription and is not among the `recorded`, which
        include the retired ones.
        """
        try:
            missing = sorted(set(await self._subscribed.get()) - set(recorded))
        except BusUnavailable:
            self.is_idle = False  # an outage like any other
            raise
        return _not_registered(missing) if missing else None

    async def _listed(self) -> Collection[str]:
        """None of them if this identity may not list them: then what is registered counts alone."""
        try:
            return await self._list()
        except TopologyMissing as error:
            log.warning("subscriptions not compared with services", reason=str(error))
            return ()


def _nobody() -> TopologyMissing:
    return TopologyMissing("no service is registered", "run `botdel topology apply --plan FILE`")


def _not_registered(services: list[str]) -> TopologyMissing:
    more = f" and {len(services) - NAMED:,} more" if len(services) > NAMED else ""
    return TopologyMissing(
        f"not registered, with a subscription: {', '.join(services[:NAMED])}{more}",
        "run `botdel topology apply --plan FILE` with the plan of each, or delete its subscription",
    )
