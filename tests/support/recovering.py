"""For tests of recovery's process: the process, and jobs in every state."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from bson import ObjectId

from botdel.local.processes import ChildProcess
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.unproxied import unproxied
from deletion.clock import truncated
from deletion.job import Job, Status
from tests.support.pipeline import (
    SERVICE,
    TOKEN,
    WITHIN,
    Pipeline,
    is_ready,
    listening,
    sweep,
    until,
)

SWEEPS = "/v1/recovery/sweeps"
STALE_AFTER = timedelta(seconds=600)
REST = timedelta(seconds=60)
HOUR = timedelta(hours=1)
"""Long enough for a failed job to have rested and for a silent job to be stale."""
GRACE = 8.0
"""Seconds."""
SETTINGS = {
    "BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER.total_seconds()),
    "BOTDEL_REST_SECONDS": str(REST.total_seconds()),
    "BOTDEL_MAX_ATTEMPTS": "3",
    "BOTDEL_SWEEP_PAGE_SIZE": "4",
    "BOTDEL_SHUTDOWN_GRACE_SECONDS": str(GRACE),
}


@dataclass
class Recovery:
    """A recovery process, and a client with its token."""

    process: ChildProcess
    url: str
    http: httpx.AsyncClient

    async def started(self) -> str:
        """Start or join a sweep; return its id. Repeats the call while the database is too slow."""
        answer = await self.http.post(SWEEPS)

        async def accepted() -> bool:
            nonlocal answer
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                answer = await self.http.post(SWEEPS)
            return answer.status_code != httpx.codes.SERVICE_UNAVAILABLE

        await until(accepted)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return str(answer.json()["sweep_id"])

    async def shown(self, sweep_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"{SWEEPS}/{sweep_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def ended(self, sweep_id: str) -> dict[str, Any]:
        """Wait until the sweep has ended, and return it."""

        async def has_ended() -> bool:
            return bool((await self.shown(sweep_id))["status"] != "running")

        await until(has_ended)
        return await self.shown(sweep_id)

    async def is_ready(self) -> bool:
        return await is_ready(self.url)


@asynccontextmanager
async def recovering(pipeline: Pipeline) -> AsyncIterator[Recovery]:
    """A recovery process that listens, and may not be ready."""
    async with pipeline.process("recovery", "botdel.cli", "recovery") as process:
        url = await listening(process)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with unproxied(base_url=url, headers=headers, timeout=WITHIN) as http:
            yield Recovery(process, url, http)


async def swept_until(pipeline: Pipeline, bot: str, status: str, url: str) -> None:
    """Start sweeps, through recovery at `url`, until the bot's only job has this status."""

    async def stands() -> bool:
        await sweep(pipeline, url)
        return await pipeline.status_of(bot) == status

    await until(stands)


def job(status: Status, *, attempt: int = 1, silent: timedelta = timedelta()) -> Job:
    """A job of a new bot that was last modified `silent` ago."""
    now = truncated(datetime.now(UTC))
    claimable = status is Status.PENDING
    return Job(
        id=str(ObjectId()),
        service=SERVICE,
        bot_id=str(ObjectId()),
        event_ids=(str(uuid4()),),
        status=status,
        attempt=0 if claimable else attempt,
        claimed_by="" if claimable else "a run",
        placed_at=now,
        created_at=now,
        last_modified_at=now - silent,
        due=now if claimable else None,
    )


async def seed(pipeline: Pipeline, jobs: Iterable[Job]) -> list[str]:
    """Store jobs as consumers would have; return their ids."""
    documents = [to_document(job) for job in jobs]
    await pipeline.jobs.insert_many(documents)
    return [str(document["_id"]) for document in documents]


async def claimable(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The jobs that a worker of the service may claim now."""
    now = datetime.now(UTC)
    found = pipeline.jobs.find({"queue": SERVICE, "due": {"$lte": now}})
    documents: list[dict[str, Any]] = await found.to_list(None)
    return documents


async def settled(pipeline: Pipeline, count: int) -> bool:
    """Whether the ledger has settled and announced this many requests, and no other is open."""
    requests = pipeline.client[pipeline.database]["deletion_requests"]
    done = {"settledAt": {"$type": "date"}, "chores.announce": None}
    found = await requests.find(done).to_list(None)
    return len(found) == await requests.count_documents({}) == count


async def recorded(pipeline: Pipeline, count: int) -> None:
    """Wait until the ledger has recorded this many requests."""
    requests = pipeline.client[pipeline.database]["deletion_requests"]

    async def are_recorded() -> bool:
        return int(await requests.count_documents({})) == count

    await until(are_recorded)


async def swept_until_settled(pipeline: Pipeline, recovery: Recovery, count: int) -> None:
    """Start sweeps, as the cron job does, until the ledger has settled this many requests."""

    async def are_settled() -> bool:
        if await settled(pipeline, count):
            return True
        await recovery.ended(await recovery.started())
        return False

    await until(are_settled)
