"""What the tests of recovery's process share: the process, jobs, and what it asked for."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from bson import ObjectId
from google.pubsub_v1.types import PubsubMessage
from pymongo import AsyncMongoClient

from botdel.local.processes import ChildProcess
from deletion.adapters.mongo.job_document import to_document
from deletion.clock import milliseconds
from deletion.job import Job, Status
from tests.support.pipeline import SERVICE, TOKEN, WITHIN, Pipeline, listening, pubsub, until

SWEEPS = "/v1/recovery/sweeps"
STALE_AFTER = timedelta(seconds=600)
GRACE = 8.0
"""Seconds."""
SETTINGS = {
    "BOTDEL_RECOVERY_PORT": "0",
    "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER.total_seconds()),
    "BOTDEL_MAX_ATTEMPTS": "3",
    "BOTDEL_SWEEP_PAGE_SIZE": "4",
    "BOTDEL_SHUTDOWN_GRACE_SECONDS": str(GRACE),
}


@asynccontextmanager
async def pipeline_at(
    emulator: str, mongo_uri: str, project: str, database: str, folder: Path
) -> AsyncIterator[Pipeline]:
    """A pipeline with recovery's settings; nothing has to answer yet."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_uri, timeoutMS=30_000, tz_aware=True) as client:
        yield Pipeline(emulator, mongo_uri, project, database, folder, client, dict(SETTINGS))


@dataclass
class Recovery:
    """A recovery process and a client with its credential."""

    process: ChildProcess
    url: str
    http: httpx.AsyncClient

    async def started(self) -> str:
        """Start a sweep, or join one; its id."""
        answer = await self.http.post(SWEEPS)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["sweep_id"])

    async def shown(self, sweep_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"{SWEEPS}/{sweep_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def ended(self, sweep_id: str) -> dict[str, Any]:
        """The sweep, once it has ended."""

        async def has_ended() -> bool:
            return bool((await self.shown(sweep_id))["status"] != "running")

        await until(has_ended)
        return await self.shown(sweep_id)

    async def is_ready(self) -> bool:
        answer = await self.http.get("/readyz")
        return answer.is_success


@asynccontextmanager
async def recovering(pipeline: Pipeline) -> AsyncIterator[Recovery]:
    """A recovery process that listens; whether it is ready is another question."""
    async with pipeline.process("recovery", "botdel.cli", "recovery") as process:
        url = await listening(process)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=WITHIN, trust_env=False
        ) as http:
            yield Recovery(process, url, http)


def job(status: Status, *, attempt: int = 1, silent: timedelta = timedelta()) -> Job:
    """A job of a bot of its own that was last modified `silent` ago."""
    now = milliseconds(datetime.now(UTC))
    return Job(
        id=str(ObjectId()),
        service=SERVICE,
        bot_id=str(ObjectId()),
        event_id=str(uuid4()),
        status=status,
        attempt=attempt,
        claimed_by="a run",
        placed_at=now,
        created_at=now,
        last_modified_at=now - silent,
    )


async def seed(pipeline: Pipeline, jobs: Iterable[Job]) -> list[str]:
    """Store jobs as consumers would have; their ids."""
    documents = [to_document(job) for job in jobs]
    await pipeline.jobs.insert_many(documents)
    return [str(document["_id"]) for document in documents]


async def asked_for(pipeline: Pipeline, number: int) -> list[PubsubMessage]:
    """The messages the service's subscription holds, at least `number` of them."""
    messages: list[PubsubMessage] = []
    path = pipeline.names.subscription(SERVICE)
    async with pubsub(pipeline) as (_, subscriber):

        async def have_come() -> bool:
            pulled = await subscriber.pull(subscription=path, max_messages=100, timeout=10)
            messages.extend(received.message for received in pulled.received_messages)
            acks = [received.ack_id for received in pulled.received_messages]
            if acks:
                await subscriber.acknowledge(subscription=path, ack_ids=acks)
            return len(messages) >= number

        await until(have_come)
    return messages
