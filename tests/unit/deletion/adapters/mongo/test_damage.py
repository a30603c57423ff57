"""Dates that no `datetime` holds stop nothing that is read with them; calls have a bound.

The embedded server stores no such date, and answers every call: a fake one does neither.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from deletion.adapters.mongo.connection import Client, Document, connect
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.step import MongoStep
from deletion.dead_letter import DeadLetter, DeadLetterStatus
from deletion.errors import StoreUnavailable
from deletion.job import Failure, PastAttempt, Status
from deletion.ports import Unreadable
from deletion.sweep import Sweep
from recovery.mongo_sweeps import MongoSweepStore
from tests.support.clock import START
from tests.support.factories import a_letter, new_job, request_for
from tests.support.fake_mongo import NO_DOCUMENTS, REPLICA_SET, FakeMongo, Reply

BEYOND = DatetimeMS(300_000_000_000_000)
"""In the year 11476."""
BOT = ObjectId()
PATHS = [
    ("placedAt",),
    ("createdAt",),
    ("lastModifiedAt",),
    ("finishedAt",),
    ("due",),
    ("failure", "at"),
    ("pastAttempts", 0, "at"),
]


@asynccontextmanager
async def connected(reply: Reply) -> AsyncIterator[tuple[Client, FakeMongo]]:
    async with FakeMongo(REPLICA_SET, reply) as server:
        client = connect(server.uri)
        try:
            yield client, server
        finally:
            client.close()


def finding(*documents: Document) -> Reply:
    """Every query finds these, and every write one."""

    def reply(command: Document) -> Mapping[str, Any]:
        if "find" in command:
            return {"cursor": {"id": 0, "ns": "d.c", "firstBatch": list(documents)}}
        return {"n": 1, "nModified": 1}

    return reply


def a_document(path: tuple[Any, ...] = ()) -> Document:
    """A job, with a date beyond every calendar at `path`."""
    document = to_document(
        new_job(
            status=Status.FAILED,
            due=START,
            last_modified_at=START,
            failure=Failure("ValueError", "broken", START),
            past_attempts=(PastAttempt(1, "worker/a", "a", 3, START, "stale"),),
        )
    )
    if path:
        *inner, last = path
        holder: Any = document
        for part in inner:
            holder = holder[part]
        holder[last] = BEYOND
    return document


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize("path", PATHS, ids=str)
async def test_a_date_beyond_the_calendar_stops_no_page_of_jobs(path: tuple[Any, ...]) -> None:
    odd, sound = a_document(path), a_document()
    async with connected(finding(odd, sound)) as (client, _):
        store = MongoJobStore(client, "d")
        for found in (
            await store.due("conversations", START, START, 9),
            await store.silent(Status.FAILED, since=START, until=START, limit=9),
            await store.find(limit=9),
        ):
            unreadable, job = found
            assert isinstance(unreadable, Unreadable)
            assert unreadable.due == (None if path == ("due",) else START)
            modified = None if path == ("lastModifiedAt",) else START
            assert unreadable.last_modified_at == modified
            assert job.id == str(sound["_id"])


async def test_a_request_joins_a_job_that_was_placed_beyond_the_calendar() -> None:
    odd, inserts = a_document(("placedAt",)), iter([1, 0, 0])
    request = request_for(new_job(bot_id=str(odd["botId"])))

    def reply(command: Document) -> Mapping[str, Any]:
        if "insert" in command and next(inserts):
            error = {"index": 0, "code": 11000, "errmsg": "E11000"}
            return {"n": 0, "writeErrors": [error]}
        if "find" in command and "live" not in command["filter"]:
            return NO_DOCUMENTS
        return finding(odd)(command) or {}

    async with connected(reply) as (client, server):
        [recorded] = await MongoJobStore(client, "d").record([request])
    assert recorded.outcome == "joined"
    [update] = server.sent("update")[0]["updates"]
    assert update["u"]["$set"]["placedAt"] > datetime(2000, 1, 1)  # noqa: DTZ001 - as it is decoded


async def test_a_date_beyond_the_calendar_stops_no_list_of_dead_letters() -> None:
    sound: Document = {
        "_id": ObjectId(),
        "service": "conversations",
        "messageId": "1",
        "data": b"x",
        "attributes": {},
        "publishedAt": START,
        "deliveryAttempt": 1,
        "reason": "invalid",
        "detail": "",
        "firstSeenAt": START,
        "lastSeenAt": START,
        "count": 1,
        "returns": 0,
        "status": "new",
    }
    odd = {**sound, "_id": ObjectId(), "lastSeenAt": BEYOND}
    async with connected(finding(odd, sound)) as (client, _):
        found = await MongoDeadLetterStore(client, "d").find(limit=9)
    assert [type(letter) for letter in found] == [Unreadable, DeadLetter]


async def test_a_sweep_that_runs_beyond_the_calendar_is_given_up() -> None:
    running = {"_id": ObjectId(), "status": "running", "lastModifiedAt": BEYOND}
    inserts = iter([False, True])

    def reply(command: Document) -> Mapping[str, Any]:
        if "insert" in command and not next(inserts):
            error = {"index": 0, "code": 11000, "errmsg": "E11000", "keyPattern": {"status": 1}}
            return {"n": 0, "writeErrors": [error]}
        if "find" in command and command["filter"] != {"status": "running"}:
            return NO_DOCUMENTS
        return finding(running)(command) or {}

    async with connected(reply) as (client, server):
        store = MongoSweepStore(client, "d")
        sweep = Sweep.started(store.new_id(), START)
        assert await store.start(sweep, silent_since=START) == sweep
    [update] = server.sent("update")[0]["updates"]
    assert update["u"]["$set"]["status"] == "failed"


async def test_a_step_goes_on_behind_an_id_beyond_the_calendar() -> None:
    pages = iter([[{"_id": BEYOND, "botId": BOT}], []])

    def reply(command: Document) -> Mapping[str, Any]:
        if "find" in command:
            return finding(*next(pages))(command) or {}
        return {"n": 1}

    async with connected(reply) as (client, server):
        step = MongoStep("messages", client["d"]["c"], "botId", batch_size=10)
        [batch] = [batch async for batch in step.delete(str(BOT), None)]
        assert [each async for each in step.delete(str(BOT), batch.cursor)] == []
    assert batch.deleted == 1
    assert "_id" in server.sent("find")[1]["filter"]


LETTER = a_letter()
SECONDS = 0.3
CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    f"{store.__name__}: {name}": lambda client, store=store, call=call: call(  # type: ignore[misc]
        store(client, "d", call_seconds=SECONDS)
    )
    for store, name, call in (
        (MongoDeadLetterStore, "record", lambda store: store.record([LETTER])),
        (MongoDeadLetterStore, "get", lambda store: store.get(LETTER.id)),
        (MongoDeadLetterStore, "find", lambda store: store.find(limit=1)),
        (
            MongoDeadLetterStore,
            "mark",
            lambda store: store.mark(LETTER, DeadLetterStatus.DISCARDED),
        ),
        (
            MongoSweepStore,
            "start",
            lambda store: store.start(Sweep.started(store.new_id(), START), silent_since=START),
        ),
        (
            MongoSweepStore,
            "save",
            lambda store: store.save(Sweep.started(store.new_id(), START)),
        ),
        (MongoSweepStore, "get", lambda store: store.get(store.new_id())),
    )
}


@pytest.mark.proves("bounded-stores")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_call_that_is_never_answered_ends_within_its_bound(
    call: Callable[[Client], Awaitable[object]],
) -> None:
    async with connected(lambda _: None) as (client, _):
        async with asyncio.timeout(20 * SECONDS):
            with pytest.raises(StoreUnavailable):
                await call(client)
