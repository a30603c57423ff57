"""What only MongoDB's job store promises: its documents, its indexes, and how it is away."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from bson import ObjectId
from pymongo.errors import BulkWriteError

from botdel.local.database import EmbeddedMongo
from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import (
    CLOSE_SECONDS,
    SERVER_SELECTION_SECONDS,
    Client,
    Clients,
    Document,
    connect,
)
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.errors import ConfigurationError, StoreUnavailable
from deletion.job import Failure, Job, PastAttempt, Status, StepProgress, StepStatus
from deletion.ports import Recorded
from tests.conformance.test_job_store import a_job, put

NOW = datetime(2025, 3, 30, 1, 59, 59, 987_000, UTC)


@pytest.fixture
async def store(client: Client, database_name: str) -> MongoJobStore:
    store = MongoJobStore(client, database_name)
    await store.ensure_indexes()
    return store


async def test_a_job_is_stored_under_the_names_and_types_others_read(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    steps = (StepProgress("messages", StepStatus.IN_PROGRESS, 3, "c", 2, 0.75),)
    past = PastAttempt(1, "worker/a", "messages", 3, NOW, "stale")
    failure = Failure("ValueError", "broken", NOW, interrupted=True)
    job = await put(
        store, a_job(status=Status.FAILED, steps=steps, failure=failure, past_attempts=(past,))
    )
    document = await client[database_name][COLLECTION].find_one({})
    assert document == {
        "_id": ObjectId(job.id),
        "service": job.service,
        "botId": ObjectId(job.bot_id),
        "eventId": job.event_id,
        "status": "failed",
        "attempt": 1,
        "claimedBy": job.claimed_by,
        "placedAt": job.placed_at,
        "createdAt": job.created_at,
        "lastModifiedAt": job.last_modified_at,
        "finishedAt": None,
        "steps": [
            {
                "name": "messages",
                "status": "in_progress",
                "deleted": 3,
                "cursor": "c",
                "batches": 2,
                "slowest": 0.75,
            }
        ],
        "failure": {"type": "ValueError", "message": "broken", "at": NOW, "interrupted": True},
        "pastAttempts": [
            {
                "attempt": 1,
                "claimedBy": "worker/a",
                "step": "messages",
                "batch": 3,
                "at": NOW,
                "reason": "stale",
            }
        ],
        "live": True,
    }


async def test_a_job_without_what_later_releases_added_is_read(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    job = await put(store, a_job(steps=(StepProgress("messages", deleted=3),)))
    dropped = {"pastAttempts": "", "steps.0.batches": "", "steps.0.slowest": ""}
    await client[database_name][COLLECTION].update_one({}, {"$unset": dropped})
    assert await store.get(job.id) == job


async def test_the_database_itself_refuses_a_second_job(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    indexes = await client[database_name][COLLECTION].index_information()
    unique = {
        tuple(field for field, _ in index["key"]): dict(index.get("partialFilterExpression", {}))
        for index in indexes.values()
        if index.get("unique")
    }
    assert unique == {("service", "eventId"): {}, ("service", "botId"): {"live": True}}


async def test_creating_the_indexes_again_is_harmless(store: MongoJobStore) -> None:
    await store.ensure_indexes()


async def test_an_index_of_the_same_name_that_differs_is_not_taken_for_right(
    client: Client, database_name: str
) -> None:
    jobs = client[database_name][COLLECTION]
    await jobs.create_index([("service", 1), ("eventId", 1)], name="service_event_unique")
    with pytest.raises(ConfigurationError, match=COLLECTION):
        await MongoJobStore(client, database_name).ensure_indexes()


JOB = replace(a_job(), last_modified_at=NOW)
CALLS: dict[str, Callable[[MongoJobStore], Awaitable[object]]] = {
    "ping": lambda store: store.ping(),
    "ensure_indexes": lambda store: store.ensure_indexes(),
    "record": lambda store: store.record([JOB]),
    "apply": lambda store: store.apply(JOB.complete(NOW)),
    "get": lambda store: store.get(JOB.id),
    "walk": lambda store: store.walk(Status.FAILED, modified_before=NOW, after=None, limit=1),
    "find": lambda store: store.find(limit=1),
}


async def test_each_call_says_so_within_seconds_when_the_database_is_away() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}/?directConnection=true")
    store = MongoJobStore(client, "nowhere")
    async with asyncio.timeout(3 * SERVER_SELECTION_SECONDS):
        answers = await asyncio.gather(
            *(call(store) for call in CALLS.values()), return_exceptions=True
        )
    client.close()
    for call, answer in zip(CALLS, answers, strict=True):
        assert isinstance(answer, StoreUnavailable), call


async def test_a_ping_that_gets_no_answer_does_not_keep_anybody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A suspended server takes the connection and says nothing."""
    monkeypatch.setattr("deletion.adapters.mongo.connection.PING_SECONDS", 0.2)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = connect(f"mongodb://127.0.0.1:{port}/?directConnection=true")
    async with asyncio.timeout(SERVER_SELECTION_SECONDS):
        with pytest.raises(StoreUnavailable):
            await MongoJobStore(client, "nowhere").ping()
    client.close()
    server.close()


async def test_a_server_that_hangs_does_not_hold_up_the_end_of_a_process(tmp_path: Path) -> None:
    async with EmbeddedMongo(tmp_path) as own:
        clients = Clients(own.uri)
        assert own.pid
        await clients.get()["x"]["y"].find_one({})
        os.kill(own.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            clients.close()
            assert time.monotonic() - began < 2 * CLOSE_SECONDS
        finally:
            os.kill(own.pid, signal.SIGCONT)


def refusing(monkeypatch: pytest.MonkeyPatch, store: MongoJobStore, **details: Any) -> None:
    """The next bulk insert of `store` ends with `details`."""

    class Refusing:
        async def insert_many(self, documents: Sequence[Document], *, ordered: bool) -> NoReturn:
            assert not ordered
            raise BulkWriteError({"writeErrors": [], "writeConcernErrors": []} | details)

    monkeypatch.setattr(store, "_jobs", Refusing())


async def test_an_insert_that_may_be_rolled_back_is_not_taken_for_recorded(
    store: MongoJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary that steps down may have written, and its successor may not have it."""
    refusing(monkeypatch, store, writeConcernErrors=[{"code": 11602, "errmsg": "stepped down"}])
    with pytest.raises(StoreUnavailable):
        await store.record([a_job()])


async def test_an_insert_refused_for_another_reason_is_no_duplicate(
    store: MongoJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, store, writeErrors=[{"index": 0, "code": 121, "errmsg": "validation"}])
    with pytest.raises(BulkWriteError):
        await store.record([a_job()])


class Racing(MongoJobStore):
    """A store where the job in the way completes just before it can be read, `races` times."""

    races = 1

    async def _in_place_of(self, refused: Sequence[Job]) -> dict[str, Job]:
        for job in refused:
            if self.races:
                self.races -= 1
                [live] = await self.find(bot_id=job.bot_id, limit=1)
                await self.apply(live.complete(NOW))
        return await super()._in_place_of(refused)


async def test_a_job_whose_rival_completes_meanwhile_is_recorded_after_all(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    first = await put(store, a_job())
    second = a_job(bot_id=first.bot_id)
    assert await Racing(client, database_name).record([second]) == [Recorded(second, is_new=True)]


async def test_a_job_that_collides_with_nothing_that_can_be_read_is_not_recorded(
    store: MongoJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await put(store, a_job())

    async def nothing(_: Sequence[Job]) -> dict[str, Job]:
        return {}

    monkeypatch.setattr(store, "_in_place_of", nothing)
    with pytest.raises(StoreUnavailable):
        await store.record([a_job(bot_id=first.bot_id)])
