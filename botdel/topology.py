"""`botdel topology apply`."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from botdel.run import FAILED
from deletion.adapters.mongo.connection import Clients
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.plan_file import PlanFile
from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.topology import Topology
from deletion.adapters.pubsub.wanted import DELETED_TOPIC
from deletion.plan import Provisioned
from deletion.process.store_settings import OperatorSettings
from recovery.mongo_sweeps import MongoSweepStore

LOST = (
    "its topic was deleted, and one made again is another: it gets nothing. Delete the "
    "subscription (`gcloud pubsub subscriptions delete`), then run this again"
)


async def apply(settings: OperatorSettings, plans: Sequence[PlanFile]) -> int:
    """Create topics, subscriptions and indexes. Returns 0, or 1 when something differs."""
    out = Console()
    pubsub, clients = (
        PubSub(settings.emulator),
        Clients(settings.mongodb_uri.get_secret_value()),
    )
    try:
        topology = Topology(
            pubsub.publisher(), pubsub.subscriber(), settings.names, emulated=pubsub.is_emulated
        )
        applied = await topology.apply([plan.service for plan in plans])
        out.print(f"topic {settings.names.topic} and dead letters: in place")
        for store in (MongoJobStore, MongoDeadLetterStore, MongoSweepStore):
            await store(clients.get(), settings.mongodb_database).ensure_indexes()
        out.print(
            f"indexes of jobs, dead letters and sweeps in {settings.mongodb_database}: in place"
        )
        for plan in plans:
            out.print(f"subscription {settings.names.subscription(plan.service)}: in place")
            for step in plan.build(clients.get).steps:
                if isinstance(step, Provisioned):
                    await step.provide()
                    out.print(f"index of step {plan.service}/{step.name}: in place")
    finally:
        await pubsub.close()
        clients.close()
    for path in applied.sought:
        out.print(f"subscription {path}: new; gets what its topic has kept, for 31 days at most")
    for difference in applied.differences:
        found = f"[yellow]differs[/] {difference.resource}: {escape(str(difference))}"
        out.print(found, highlight=False)
        if difference.found == DELETED_TOPIC:
            out.print(f"  {LOST}", highlight=False)
    return FAILED if applied.differences else 0
