"""`botdel topology apply`."""

from collections.abc import Sequence

from rich.text import Text

from botdel.doctor.indexes import COLLECTIONS
from botdel.run import FAILED
from botdel.terminal import console, printable
from deletion.adapters.mongo.connection import Clients
from deletion.adapters.mongo.indexes import prepare
from deletion.adapters.mongo.retention import apply_retention
from deletion.adapters.plan_file import PlanFile
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.topology import Topology
from deletion.adapters.pubsub.wanted import DELETED_TOPIC
from deletion.plan import Provisioned
from deletion.process.store_settings import TopologySettings

LOST = (
    "its topic was deleted, and a new one of that name is another: it gets nothing. Delete the "
    "subscription (`gcloud pubsub subscriptions delete`), then run this again"
)


async def apply(settings: TopologySettings, plans: Sequence[PlanFile]) -> int:
    """Create topics, subscriptions and indexes. Returns 0, or 1 when something differs."""
    out = console()
    pubsub, clients = (
        PubSub(settings.emulator),
        Clients(settings.mongodb_uri.get_secret_value()),
    )
    try:
        name = settings.mongodb_database
        built = [plan.build(clients.get, own_database=name) for plan in plans]
        topology = Topology(
            pubsub.publisher(), pubsub.subscriber(), settings.names, emulated=pubsub.is_emulated
        )
        applied = await topology.apply([plan.service for plan in plans])
        out.print(f"topic {settings.names.topic} and dead letters: in place")
        database = clients.get()[name]
        await prepare(database, COLLECTIONS, build=True)
        retention = await apply_retention(database, settings.keep_complete_days)
        out.print(f"indexes of {', '.join(COLLECTIONS)} in {database.name}: in place")
        for plan in built:
            out.print(f"subscription {settings.names.subscription(plan.service)}: in place")
            for step in plan.steps:
                if isinstance(step, Provisioned):
                    await step.provide()
                    out.print(f"index of step {plan.service}/{step.name}: in place")
    finally:
        await pubsub.close()
        clients.close()
    for path in applied.sought:
        sought = f"subscription {path}: new; gets what its topic has kept, for 31 days at most"
        out.print(printable(sought))
    for difference in applied.differences:
        what = printable(f" {difference.resource}: {difference}")
        out.print(Text.assemble(("differs", "yellow"), what))
        if difference.found == DELETED_TOPIC:
            out.print(printable(f"  {LOST}"))
    if retention:
        out.print(Text.assemble(("differs", "yellow"), printable(f" {retention}")))
    return FAILED if applied.differences or retention else 0
