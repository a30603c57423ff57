"""`botdel topology apply`."""

import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from math import inf
from typing import Final

from rich.text import Text

from botdel.doctor.indexes import COLLECTIONS, retentions
from botdel.doctor.topology import LOST_TOPIC
from botdel.terminal import Terminal, console, printable
from deletion.adapters.mongo.connection import Client, Database, build_indexes
from deletion.adapters.mongo.indexes import missing_indexes
from deletion.adapters.mongo.retention import RetentionDifference, apply_retention
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.plan_source import PlanSource
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import Applied
from deletion.adapters.pubsub.wanted import DELETED_TOPIC, wanted_topics
from deletion.adapters.spec import StepConnections
from deletion.clock import Clock, SystemClock
from deletion.errors import (
    BuildInterrupted,
    BusUnavailable,
    ConfigurationError,
    StoreUnavailable,
    TopologyMissing,
)
from deletion.ledger import check_room
from deletion.plan import Plan, Provisioned
from deletion.process.bus import connected_bus
from deletion.process.database import connected_clients
from deletion.process.run import FAILED, escaped
from deletion.process.store_settings import TopologySettings
from deletion.retry import BackOff

LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries, at most."""
PROGRESS_SECONDS: Final = 120.0
"""A try that took so long and ended in the build of an index has made progress. MongoDB continues
the build after an election, and the next try waits for its end. A try that took as long in many
short calls has made none: the next one begins with the same calls."""


async def apply_within(apply: Callable[[], Awaitable[int]], seconds: float, clock: Clock) -> int:
    """Return what `apply` returns. While MongoDB or Pub/Sub does not answer, or a topic is still
    missing, it is called again for up to `seconds`, counted from the first of consecutive failures;
    then the error is raised. After the build of an index that took `PROGRESS_SECONDS`, the count
    begins again.
    """
    since, back_off = inf, BackOff(clock, 1, LONGEST_PAUSE)
    while True:
        began = clock.monotonic()
        try:
            return await apply()
        except (StoreUnavailable, BusUnavailable, TopologyMissing) as error:
            now = clock.monotonic()
            if isinstance(error, BuildInterrupted) and now - began >= PROGRESS_SECONDS:
                since = now
                back_off.reset()
            since = min(since, now)
            if now - since >= seconds:
                raise
            print(escaped(f"botdel: {error}; it is tried again"), file=sys.stderr)
        await back_off.pause()


async def apply(
    settings: TopologySettings, plans: Sequence[PlanSource], *, only_services: bool = False
) -> int:
    """Create topics, subscriptions and indexes, and register the services, which from then on owe
    each request. With `only_services` nothing that belongs to the pipeline itself is looked at.

    Returns 0, or 1 if something differs. Raises `ConfigurationError` before anything is created if
    there are too many services.
    """
    out = console()
    async with connected_clients(settings) as clients, connected_bus(settings) as bus:
        name = settings.mongodb_database
        built = [plan.build(StepConnections(clients.get, own_database=name)) for plan in plans]
        owing = await owing_services(clients.get(), name, built)
        services = [plan.service for plan in plans]
        applied = await bus.topology.apply(services, only_services=only_services)
        retention: list[RetentionDifference] = []
        if not only_services:
            _show_pipeline(out, settings.names, applied)
        _show_subscriptions(out, map(settings.names.subscription, services), applied)
        if not only_services:
            retention = await _prepare_records(settings, clients.get()[name], out)
        await register_services(clients.get(), name, built, owing, out)
        await _provide(built, out)
        if not only_services:
            await show_unregistered(clients.get(), name, await bus.topology.services(), out)
    _show_differences(out, applied, retention)
    return FAILED if applied.differences or retention else 0


async def _prepare_records(
    settings: TopologySettings, database: Database, out: Terminal
) -> list[RetentionDifference]:
    """Build the indexes of the pipeline's own collections. Returns which of them differ."""
    await prepare_indexes(database, out)
    kept = [await apply_retention(database, *each) for each in retentions(settings)]
    return [difference for difference in kept if difference]


def _show_pipeline(out: Terminal, names: Names, applied: Applied) -> None:
    for topic in wanted_topics(names):
        out.print(f"topic {topic.name}: {_state(topic.name in applied.created)}")
    own = (names.dead_letter_subscription, names.ledger_subscription)
    _show_subscriptions(out, own, applied)


def _show_subscriptions(out: Terminal, paths: Iterable[str], applied: Applied) -> None:
    for path in paths:
        out.print(f"subscription {path}: {_state(path in applied.created)}")


def _show_differences(
    out: Terminal, applied: Applied, retention: Sequence[RetentionDifference]
) -> None:
    for path in applied.sought:
        sought = f"subscription {path}: sought back, to get what its topic kept (at most 31 days)"
        out.print(printable(sought))
    for difference in applied.differences:
        what = printable(f" {difference.resource}: {difference}")
        out.print(Text.assemble(("differs", "yellow"), what))
        if difference.found == DELETED_TOPIC:
            out.print(printable(f"  {LOST_TOPIC}"))
    for kept in retention:
        out.print(Text.assemble(("differs", "yellow"), printable(f" {kept}")))


async def prepare_indexes(database: Database, out: Terminal) -> None:
    """Build the missing indexes of the pipeline's collections, and print what was created."""
    for name, wanted in COLLECTIONS.items():
        lacking = await missing_indexes(database[name], wanted)
        await build_indexes(database[name], wanted)
        out.print(f"indexes of {name} in {database.name}: {_state(bool(lacking.missing))}")


async def owing_services(client: Client, database: str, plans: Sequence[Plan]) -> set[str]:
    """Return the services that owe requests already. Raises `ConfigurationError` if those of the
    plans would be too many.
    """
    services = await MongoServiceStore(client, database).all()
    check_room(services, [plan.service for plan in plans])
    return {service.name for service in services if service.retired_at is None}


async def register_services(
    client: Client, database: str, plans: Sequence[Plan], owing: Collection[str], out: Terminal
) -> None:
    """Register the services of the plans, and print which were not `owing`.

    Raises `ConfigurationError` if they became too many meanwhile. Those that are not recorded then
    have subscriptions, for which the ledger waits.
    """
    services = MongoServiceStore(client, database)
    try:
        await services.register([plan.service for plan in plans], SystemClock().now())
    except ConfigurationError as error:
        recorded = {service.name for service in await services.all()}
        left = ", ".join(plan.service for plan in plans if plan.service not in recorded)
        if not left:
            raise
        waits = (
            f"the ledger records nothing until {left} is registered, or its subscription deleted"
        )
        raise ConfigurationError(error.what, f"{error.remedy}; {waits}") from error
    for plan in plans:
        state = "in place" if plan.service in owing else "registered"
        out.print(f"service {plan.service}: {state}")


async def show_unregistered(
    client: Client, database: str, subscribed: Sequence[str], out: Terminal
) -> None:
    """Print which services have a subscription and no record: the ledger waits for them."""
    recorded = {service.name for service in await MongoServiceStore(client, database).all()}
    for service in subscribed:
        if service not in recorded:
            problem = f" service {service}: the ledger records nothing until its plan is applied"
            out.print(Text.assemble(("not registered", "yellow"), printable(problem)))


async def _provide(plans: Sequence[Plan], out: Terminal) -> None:
    """Create what the plans' steps need and lack, mostly indexes, and print what was created."""
    for plan in plans:
        for step in plan.steps:
            if isinstance(step, Provisioned):
                missing = await step.missing()
                await step.provide()
                out.print(f"step {plan.service}/{step.name}: {_state(bool(missing))}")


def _state(created: bool) -> str:
    return "created" if created else "in place"
