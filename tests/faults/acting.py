"""`python -m tests.faults.acting PREVIEW_ID`: a server that runs one action, until it is killed."""

import asyncio
import sys

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.operator_actions import MongoActionStore, MongoPreviewStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import Clock, SystemClock
from deletion.job import LeasePolicy
from deletion.operating.actions import Actions
from deletion.operating.kinds import Kinds
from deletion.process.database import connected_clients
from deletion.process.run import run
from deletion.process.settings import load
from deletion.process.store_settings import ActingSettings
from tests.support.memory_bus import MemoryBus


def kinds_of(client: Client, database: str, clock: Clock, policy: LeasePolicy) -> Kinds:
    """The bulks over MongoDB. A replay is published to nobody."""

    async def attached(_: str) -> None:
        """It is."""

    return Kinds(
        MongoJobStore(client, database),
        MongoDeadLetterStore(client, database),
        MongoRequestStore(client, database),
        MemoryBus(clock),
        attached,
        clock,
        policy,
    )


def actions_of(client: Client, database: str, clock: Clock, policy: LeasePolicy) -> Actions:
    """The actions of a process."""
    return Actions(
        MongoActionStore(client, database),
        MongoPreviewStore(client, database),
        kinds_of(client, database, clock, policy),
        clock,
    )


async def act(preview_id: str) -> None:
    """Confirm the preview, and run until somebody ends this process."""
    settings = load(ActingSettings)
    async with connected_clients(settings) as clients:
        actions = actions_of(
            clients.get(), settings.mongodb_database, SystemClock(), settings.lease
        )
        refusal = await actions.confirm(preview_id, by=settings.who, reason="a test")
        print(f"confirmed: {refusal}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    run(act(sys.argv[1]))
