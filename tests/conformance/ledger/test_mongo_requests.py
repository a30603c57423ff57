"""What only the store of requests on MongoDB has to show: its documents, its indexes, damage."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest
from bson import ObjectId
from pymongo.errors import BulkWriteError

from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    SERVER_SELECTION_SECONDS,
    Client,
    Collection,
    Document,
    connect,
)
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.requests import COLLECTION, MongoRequestStore
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.errors import StoreUnavailable
from deletion.ledger import RequestChange, RequestFilter
from deletion.ports import Unreadable
from deletion.request import Chore, DeletionRequest, Waiver
from deletion.silence import EPOCH
from tests.support.clock import START
from tests.support.factories import LEDGER_POLICY, a_deletion_request
from tests.support.indexed import indexed

LATER = START + timedelta(minutes=1)
DUE = START + LEDGER_POLICY.deadline


@pytest.fixture
async def store(client: Client, database_name: str) -> MongoRequestStore:
    return await indexed(MongoRequestStore, client, database_name)


@pytest.fixture
def requests(store: MongoRequestStore, client: Client, database_name: str) -> Collection:
    """What the store writes to."""
    return client[database_name][COLLECTION]


async def test_a_request_is_stored_under_the_names_and_types_others_read(
    store: MongoRequestStore, requests: Collection
) -> None:
    request = a_deletion_request("media", "billing", requested_by="crm", traceparent="00-ab-cd-01")
    await store.record([request])
    document = await requests.find_one({})
    assert document
    assert document.pop("writer")
    assert document == {
        "_id": request.id,
        "botId": ObjectId(request.bot_id),
        "placedAt": START,
        "receivedAt": START,
        "deadline": DUE,
        "requestedBy": "crm",
        "traceparent": "00-ab-cd-01",
        "shares": [
            {
                "service": name,
                "settledAt": None,
                "jobId": None,
                "waiver": None,
                "republished": 0,
                "lacksJob": False,
            }
            for name in ("billing", "media")
        ],
        "chores": {
            "republish": START + LEDGER_POLICY.missing_after,
            "warn": START + LEDGER_POLICY.deadline * 0.75,
        },
        "owed": ["billing", "media"],
        "near": START + LEDGER_POLICY.deadline * 0.75,
        "open": True,
        "settledAt": None,
        "revision": 0,
    }


async def test_what_is_not_due_and_what_a_settled_one_lacks_is_absent_and_not_null(
    store: MongoRequestStore, requests: Collection
) -> None:
    """The sparse indexes would hold a null."""
    request = a_deletion_request("media")
    settled = request.waived("media", Waiver("ann", "shut down"), LATER)
    await store.record([request])
    await store.save([RequestChange(request, settled)])
    document = await requests.find_one({})
    assert document
    assert not {"open", "near", "missing"} & set(document)
    assert document["chores"] == {"announce": LATER}
    assert (document["owed"], document["settledAt"]) == ([], LATER)
    assert document["shares"][0]["waiver"] == {"by": "ann", "reason": "shut down"}


async def test_it_is_stored_as_missing_until_a_check_finds_its_job(
    store: MongoRequestStore, requests: Collection
) -> None:
    request = a_deletion_request("media", "billing")
    await store.record([request])
    missing = request.checked(LATER, missing=["media"])
    await store.save([RequestChange(request, missing)])
    [found] = await store.get([request.id])
    assert found == replace(missing, revision=1)
    assert await requests.count_documents({"missing": True}) == 1
    await store.save([RequestChange(found, found.checked(LATER, missing=[]))])
    assert await requests.count_documents({"missing": True}) == 0


async def test_fields_of_later_versions_are_ignored_and_kept_on_every_write(
    store: MongoRequestStore, requests: Collection
) -> None:
    request = a_deletion_request("media", "billing")
    await store.record([request])
    later = {"region": "eu", "shares.1.pace": 7, "chores.archive": LATER}
    await requests.update_one({"_id": request.id}, {"$set": later})
    [found] = await store.get([request.id])
    assert found == request
    await store.save([RequestChange(request, request.completed("media", "job-1", LATER))])
    document = await requests.find_one({})
    assert document
    assert document["region"] == "eu"
    assert (document["shares"][1]["pace"], document["shares"][1]["jobId"]) == (7, "job-1")
    assert document["chores"]["archive"] == LATER


async def test_the_indexes_are_those_declared(
    store: MongoRequestStore, requests: Collection
) -> None:
    indexes = {
        name: ([field for field, _ in index["key"]], bool(index.get("sparse")))
        for name, index in (await requests.index_information()).items()
        if name != "_id_"
    }
    assert indexes == {
        "bot_received": (["botId", "receivedAt", "_id"], False),
        "owed_received": (["owed", "receivedAt", "_id"], False),
        "received": (["receivedAt", "_id"], False),
        "open_received": (["open", "receivedAt", "_id"], False),
        "open_deadline": (["open", "deadline"], False),
        "near": (["near"], True),
        "missing_received": (["missing", "receivedAt", "_id"], False),
        "chores_republish": (["chores.republish"], True),
        "chores_warn": (["chores.warn"], True),
        "chores_announce": (["chores.announce"], True),
        "chores_call": (["chores.call"], True),
    }


async def test_a_census_counts_only_a_little_more_than_its_limit(
    store: MongoRequestStore, requests: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may count all that a range matches, whatever the limit."""
    old = [a_deletion_request(now=START - timedelta(days=9, minutes=age)) for age in range(40)]
    await store.record([*old, *(a_deletion_request(now=START) for _ in range(400))])
    asked: list[Document] = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(requests, name)

        async def count_documents(self, query: Document, *, limit: int) -> int:
            asked.append(query)
            return await requests.count_documents(query, limit=limit)

    monkeypatch.setattr(store._open, "_requests", Counting())
    assert (await store.census(START, 10)).unsettled == 10
    matched = [await requests.count_documents(query) for query in asked if "open" in query]
    assert 10 <= sum(matched) <= 50
    assert (await store.census(START, 1_000)).unsettled == 440


DAMAGE: dict[str, Document] = {
    "a missing field": {"$unset": {"revision": ""}},
    "a time that is none": {"$set": {"deadline": "soon"}},
    "shares that are none": {"$set": {"shares": "all"}},
    "a share of another shape": {"$set": {"shares": ["media"]}},
    "a share whose end is no time": {"$set": {"shares.0.settledAt": "now"}},
    "a waiver without a reason": {"$set": {"shares.0.waiver": {"by": "ann"}}},
    "a chore at no time": {"$set": {"chores.warn": "soon"}},
    "a client that is no text": {"$set": {"requestedBy": 7}},
}


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
async def test_a_request_that_cannot_be_read_hides_no_other(
    store: MongoRequestStore, requests: Collection, damage: Document
) -> None:
    first, second = a_deletion_request("media"), a_deletion_request("media")
    await store.record([first, second])
    await requests.update_one({"_id": first.id}, damage)
    check = START + LEDGER_POLICY.missing_after
    for found in (
        await store.get([first.id, second.id]),
        await store.due(Chore.REPUBLISH, EPOCH, check, 9),
        await store.find(RequestFilter(owed_by="media"), START, limit=9),
    ):
        by_id = {each.id: each for each in found}
        unreadable = by_id.pop(first.id)
        assert isinstance(unreadable, Unreadable)
        assert (unreadable.last_modified_at, unreadable.bot_id) == (START, first.bot_id)
        assert by_id == {second.id: second}
    [due] = [
        e for e in await store.due(Chore.REPUBLISH, EPOCH, check, 9) if isinstance(e, Unreadable)
    ]
    assert due.due == check
    assert (await store.census(DUE, 9)).unsettled == 2


async def test_the_change_of_a_request_that_cannot_be_read_any_more_is_refused(
    store: MongoRequestStore, requests: Collection
) -> None:
    first, second = a_deletion_request(), a_deletion_request()
    await store.record([first, second])
    await requests.update_one({"_id": first.id}, {"$set": {"revision": "many"}})
    changes = [RequestChange(each, each.warned(LATER)) for each in (first, second)]
    assert await store.save(changes) == [changes[0]]


@pytest.mark.parametrize("code", [64, 11602], ids=["too few", "stepped down"])
async def test_a_write_that_may_be_rolled_back_is_not_taken_for_written(
    store: MongoRequestStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    class Refusing:
        async def insert_many(self, documents: list[Any], *, ordered: bool) -> NoReturn:
            unconfirmed = {"code": code, "errmsg": "unconfirmed"}
            raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [unconfirmed]})

        bulk_write = insert_many

    monkeypatch.setattr(store, "_requests", Refusing())
    request = a_deletion_request()
    with pytest.raises(StoreUnavailable):
        await store.record([request])
    with pytest.raises(StoreUnavailable):
        await store.save([RequestChange(request, request.warned(LATER))])


async def test_an_insert_refused_for_another_reason_is_no_duplicate(
    store: MongoRequestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        async def insert_many(self, documents: list[Any], *, ordered: bool) -> NoReturn:
            refusal = {"index": 0, "code": 121, "errmsg": "validation"}
            raise BulkWriteError({"writeErrors": [refusal], "writeConcernErrors": []})

    monkeypatch.setattr(store, "_requests", Refusing())
    with pytest.raises(BulkWriteError):
        await store.record([a_deletion_request()])


def call_each(client: Client, at: datetime) -> list[Any]:
    """One call of every method of the ledger's stores, on a database that is away."""
    store = MongoRequestStore(client, "nowhere")
    services, coverage = MongoServiceStore(client, "nowhere"), MongoCoverageStore(client, "nowhere")
    request: DeletionRequest = a_deletion_request()
    return [
        store.record([request]),
        store.get([request.id]),
        store.save([RequestChange(request, request.warned(at))]),
        store.due(Chore.REPUBLISH, EPOCH, at, 1),
        store.find(RequestFilter(), at, limit=1),
        store.census(at, 1),
        services.register(["media"], at),
        services.all(),
        services.retire("media", "ann", "shut down", at),
        coverage.unreported(EPOCH, at, 1),
        coverage.mark_reported([str(ObjectId())]),
        coverage.covering([(request.bot_id, request.id)]),
    ]


async def test_each_call_says_so_within_seconds_when_the_database_is_away() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}/?directConnection=true")
    calls = call_each(client, START)
    for few in (calls[:6], calls[6:]):  # each takes one of the driver's threads
        async with asyncio.timeout(CALL_SECONDS + 2 * SERVER_SELECTION_SECONDS):
            answers = await asyncio.gather(*few, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 6
    client.close()
