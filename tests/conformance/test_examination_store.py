"""One suite for every store of what `botdel doctor` found last."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.doctor_results import COLLECTION, MongoExaminationStore
from deletion.doctor import (
    MAX_CHARACTERS,
    MAX_FINDINGS,
    Examination,
    ExaminationStore,
    Finding,
    Verdict,
)
from deletion.ports import Unreadable
from tests.conformance.replicas import PARTS, replicas
from tests.support.clock import START
from tests.support.factories import LATER
from tests.support.memory_console import MemoryExaminationStore

Open = Callable[[], Awaitable[ExaminationStore]]
FOUND = Examination(
    START,
    "host-1",
    (
        Finding("breakers", Verdict.OK, "no breaker is open"),
        Finding("canary", Verdict.FAILED, "was not recorded", "start recovery"),
    ),
    left_out=3,
)


@pytest.fixture(params=PARTS)
async def open_store(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database_name: str
) -> AsyncIterator[Open]:
    memory, part = MemoryExaminationStore(), request.param
    with replicas(part, memory, MongoExaminationStore, mongo.uri, database_name) as connected:
        yield connected


async def test_nothing_is_kept_at_first(open_store: Open) -> None:
    assert await (await open_store()).last() is None


async def test_the_last_one_is_kept_as_it_was(open_store: Open) -> None:
    store, other = await open_store(), await open_store()
    await store.keep(FOUND)
    assert await other.last() == FOUND
    calm = Examination(LATER, "host-2", ())
    await other.keep(calm)
    assert await store.last() == calm


async def test_the_largest_one_can_be_kept(open_store: Open) -> None:
    store, text = await open_store(), "\N{PILE OF POO}" * (MAX_CHARACTERS + 1)
    finding = Finding(text, Verdict.FAILED, text, text)
    largest = Examination.of([finding] * (MAX_FINDINGS + 1), START, text)
    await store.keep(largest)
    assert await store.last() == largest


async def test_of_runs_that_end_at_once_one_is_kept_and_none_fails(open_store: Open) -> None:
    stores = [await open_store() for _ in range(6)]
    runs = [Examination(START, f"host-{number}", ()) for number in range(6)]
    await asyncio.gather(*(store.keep(run) for store, run in zip(stores, runs, strict=True)))
    assert await stores[0].last() in runs


# --- what only the store on MongoDB has to show


async def test_there_is_one_document_with_the_names_that_others_read(
    client: Client, database_name: str
) -> None:
    store = MongoExaminationStore(client, database_name)
    await store.keep(Examination(LATER, "host-2", ()))
    await store.keep(FOUND)
    [document] = await client[database_name][COLLECTION].find({}).to_list(None)
    assert document == {
        "_id": "last",
        "at": START,
        "host": "host-1",
        "findings": [
            {"check": "breakers", "status": "ok", "detail": "no breaker is open", "remedy": ""},
            {
                "check": "canary",
                "status": "failed",
                "detail": "was not recorded",
                "remedy": "start recovery",
            },
        ],
        "leftOut": 3,
    }


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize(
    "damage",
    [
        {"at": "yesterday"},
        {"host": None},
        {"findings": {}},
        {"findings": [7]},
        {"findings": [{"check": "canary", "status": "doubtful", "detail": "", "remedy": ""}]},
    ],
    ids=str,
)
async def test_one_that_is_damaged_says_so_and_is_replaced(
    client: Client, database_name: str, damage: dict[str, Any]
) -> None:
    store = MongoExaminationStore(client, database_name)
    await store.keep(FOUND)
    await client[database_name][COLLECTION].update_one({"_id": "last"}, {"$set": damage})
    assert isinstance(await store.last(), Unreadable)
    await store.keep(FOUND)
    assert await store.last() == FOUND
