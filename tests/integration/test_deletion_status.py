"""Where a deletion stands, asked over HTTP of the records that a real database holds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from fastapi import FastAPI
from pydantic import SecretStr

from console.api import create_api
from console.deletions import Deletions
from console.mongo_jobs import MongoDeletionJobs
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock
from deletion.dead_letter import Reason
from deletion.job import Failure, Status, StepProgress
from deletion.ledger import RequestChange
from deletion.process.problems import install_problems
from deletion.process.tokens import BearerTokens
from deletion.request import DeletionRequest
from tests.support.factories import BOT, POLICY, a_deletion_request, a_letter, new_job
from tests.support.indexed import indexed

TOKEN = "a-token-that-is-long-enough"
SERVICES = ("analytics", "billing", "media", "search", "video")


@dataclass(frozen=True)
class Installation:
    """The stores of every process on one database, and a client of the console's API."""

    client: Client
    database: str
    requests: MongoRequestStore
    jobs: MongoJobStore
    letters: MongoDeadLetterStore
    http: httpx.AsyncClient

    async def states(self, request: DeletionRequest) -> dict[str, tuple[str, str]]:
        answer = await self.http.get(f"/v1/deletions/{request.id}")
        assert answer.status_code == 200, answer.text
        return {
            each["service"]: (each["state"], each["reason"]) for each in answer.json()["services"]
        }


@pytest.fixture
async def installation(client: Client, database_name: str) -> AsyncIterator[Installation]:
    requests = await indexed(MongoRequestStore, client, database_name)
    jobs = await indexed(MongoJobStore, client, database_name)
    letters = await indexed(MongoDeadLetterStore, client, database_name)
    seen = MongoDeletionJobs(client, database_name)
    app = FastAPI()
    install_problems(app)
    deletions = Deletions(requests, seen, letters, SystemClock(), POLICY)
    app.include_router(create_api(deletions, BearerTokens([SecretStr(TOKEN)])))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://console",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as http:
        yield Installation(client, database_name, requests, jobs, letters, http)


@pytest.mark.proves("status-of-each", "status-damage")
async def test_each_service_is_followed_from_the_first_message_to_the_last(
    installation: Installation,
) -> None:
    now, jobs = SystemClock().now(), installation.jobs
    request = a_deletion_request(*SERVICES, bot_id=BOT, now=now)
    await installation.requests.record([request])
    waits = "no consumer of {} has recorded the request; start one if none is running"
    missing = {each: ("missing", f"no job yet: {waits.format(each)}") for each in SERVICES}
    assert await installation.states(request) == missing

    await installation.letters.record(
        [a_letter(service="search", attributes={"event_id": request.id}, reason=Reason.TOO_MANY)]
    )
    own: dict[str, Any] = {"bot_id": BOT, "event_ids": (request.id,), "created_at": now}
    waiting = new_job(Status.PENDING, service="billing", due=now, last_modified_at=now, **own)
    older = new_job(Status.PENDING, service="billing", due=now - timedelta(minutes=1))
    running = new_job(service="analytics", last_modified_at=now, **own)
    damaged = new_job(service="media", **own)
    for job in (waiting, older, running, damaged):
        await jobs.record([job])
    rows = StepProgress("rows").advanced(1200, None, 0.1)
    running = await jobs.apply(running.checkpoint(now, rows))
    await installation.client[installation.database][COLLECTION].update_one(
        {"_id": ObjectId(damaged.id)}, {"$set": {"steps": "all"}}
    )
    found = await installation.states(request)
    assert found["analytics"] == (
        "in_progress",
        "running at step rows, batch 2; 1,200 deleted so far",
    )
    assert found["billing"] == ("pending", "pending at place 2")
    assert found["media"][0] == "unreadable"
    assert found["search"][0] == "dead_letter"
    assert found["video"] == missing["video"]

    await jobs.apply(running.complete(SystemClock().now()))
    claimed = await jobs.apply(waiting.claim("worker/a", SystemClock().now()))
    open_breaker = Failure("Parked", "the breaker of billing.example is open", SystemClock().now())
    until = SystemClock().now() + timedelta(hours=1)
    await jobs.apply(claimed.park(open_breaker, until, POLICY, has_called=False))
    found = await installation.states(request)
    assert found["analytics"][0] == "complete"
    assert found["billing"][0] == "parked"
    assert found["billing"][1].endswith("the breaker of billing.example is open (Parked)")


@pytest.mark.proves("status-of-each")
async def test_the_requests_of_a_bot_are_listed_with_the_job_that_they_joined(
    installation: Installation,
) -> None:
    now = SystemClock().now()
    requests = [
        a_deletion_request(bot_id=BOT, now=now + timedelta(milliseconds=n)) for n in range(3)
    ]
    await installation.requests.record([*requests, a_deletion_request()])
    job = new_job(Status.PENDING, bot_id=BOT, event_ids=(requests[0].id,))
    joining = [replace(job, id=str(ObjectId()), event_ids=(each.id,)) for each in requests[1:]]
    await installation.jobs.record([job])
    await installation.jobs.record(joining)
    settled = requests[0].completed("conversations", job.id, now)
    assert await installation.requests.save([RequestChange(requests[0], settled)]) == []

    query: dict[str, Any] = {"bot_id": BOT, "limit": 2}
    first = (await installation.http.get("/v1/deletions", params=query)).json()
    second = (
        await installation.http.get("/v1/deletions", params=query | {"cursor": first["next"]})
    ).json()
    listed = [*first["deletions"], *second["deletions"]]
    assert [each["event_id"] for each in listed] == [each.id for each in reversed(requests)]
    assert [each["state"] for each in listed] == ["open", "open", "settled"]
    assert {each["services"][0]["job_id"] for each in listed} == {job.id}
    assert second["next"] is None
