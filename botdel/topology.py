"""`botdel topology apply`."""

from collections.abc import Collection, Sequence

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
from deletion.clock import SystemClock
from deletion.ledger import check_room
from deletion.plan import Plan, Provisioned
from deletion.process.bus import connected_bus
from deletion.process.database import connected_clients
from deletion.process.run import FAILED
from deletion.process.store_settings import TopologySettings


async def apply(settings: TopologySettings, plans: Sequence[PlanSource]) -> int:
    """Create topics, subscriptions and indexes, and register the services, which from then on owe
    each request. Returns 0, or 1 if something differs. Raises `ConfigurationError` before anything
    is created if there are too many services.
    """
    out = console()
    async with connected_clients(settings) as clients, connected_bus(settings) as bus:
        name = settings.mongodb_database
        built = [plan.build(StepConnections(clients.get, own_database=name)) for plan in plans]
        owing = await owing_services(clients.get(), name, built)
        applied = await bus.topology.apply([plan.service for plan in plans])
        _show_created(out, settings.names, built, applied)
        database = clients.get()[name]
        await prepare_indexes(database, out)
        kept = [await apply_retention(database, *each) for each in retentions(settings)]
        await register_services(clients.get(), name, built, owing, out)
        await _provide(built, out)
        await show_unregistered(clients.get(), name, await bus.topology.services(), out)
    retention = [difference for difference in kept if difference]
    _show_differences(out, applied, retention)
    return FAILED if applied.differences or retention else 0


def _show_created(out: Terminal, names: Names, plans: Sequence[Plan], applied: Applied) -> None:
    for topic in wanted_topics(names):
        out.print(f"topic {topic.name}: {_state(topic.name in applied.created)}")
    services = (names.subscription(plan.service) for plan in plans)
    for path in (names.dead_letter_subscription, names.ledger_subscription, *services):
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
    """Register the services of the plans, and print which were not `owing`."""
    services = MongoServiceStore(client, database)
    await services.register([plan.service for plan in plans], SystemClock().now())
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
