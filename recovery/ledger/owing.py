"""Who owes the requests that are received now: the registered services, once they are all there."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import TopologyMissing, Unregistered
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

    They are known once an operator has registered them. While no service is registered, or one has
    a subscription and no record, a request must not be recorded: it could be settled, and
    announced, although a service that gets it too has not deleted anything.
    """

    def __init__(self, services: ServiceStore, subscribed: Subscribed, clock: Clock) -> None:
        self._services = services
        self._list = subscribed
        self._subscribed = Kept(self._listed, KEPT_SECONDS, clock.monotonic)

    async def services(self) -> list[str]:
        """Return their names. Raises `Unregistered`, `StoreUnavailable` and `BusUnavailable`."""
        found = await self._services.all()
        names = [each.name for each in found if each.retired_at is None]
        recorded = {each.name for each in found}
        if not names:
            raise _not_registered()
        if missing := sorted(set(await self._subscribed.get()) - recorded):
            raise _subscribed_only(missing)
        return names

    async def _listed(self) -> Collection[str]:
        """None of them if this identity may not list them: then what is registered counts alone."""
        try:
            return await self._list()
        except TopologyMissing as error:
            log.warning("subscriptions not compared with services", reason=str(error))
            return ()


def _not_registered() -> Unregistered:
    return Unregistered("no service is registered", "run `botdel topology apply --plan FILE`")


def _subscribed_only(services: list[str]) -> Unregistered:
    more = f" and {len(services) - NAMED:,} more" if len(services) > NAMED else ""
    return Unregistered(
        f"not registered, with a subscription: {', '.join(services[:NAMED])}{more}",
        "run `botdel topology apply --plan FILE` with the plan of each, or delete its subscription",
    )
