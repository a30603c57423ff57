"""What only the dead-letter store on MongoDB has to show."""

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from bson import ObjectId
from pymongo.errors import BulkWriteError

from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    SERVER_SELECTION_SECONDS,
    Client,
    Document,
    connect,
)
from deletion.adapters.mongo.dead_letters import COLLECTION, MongoDeadLetterStore
from deletion.dead_letter import DeadLetter
from deletion.errors import ConfigurationError, StoreUnavailable
from deletion.ports import Unreadable
from tests.conformance.letters import DISCARDED, put, stored
from tests.support.clock import START
from tests.support.factories import a_letter, again, replay
from tests.support.indexed import indexed


@pytest.fixture
async def mongo_store(client: Client, database_name: str) -> MongoDeadLetterStore:
    return await indexed(MongoDeadLetterStore, client, database_name)


async def test_a_letter_is_stored_under_the_names_and_types_others_read(
    mongo_store: MongoDeadLetterStore, client: Client, database_name: str
) -> None:
    letter = await put(mongo_store, a_letter(attributes={"event_id": "e", "$a.b": "c"}))
    document = await client[database_name][COLLECTION].find_one({})
    assert document == {
        "_id": ObjectId(letter.id),
        "messageId": letter.message_id,
        "service": letter.service,
        "data": letter.data,
        "attributes": {"event_id": "e", "%24a%2Eb": "c"},
        "publishedAt": START,
        "deliveryAttempt": 1,
        "reason": "undecodable",
        "detail": letter.detail,
        "firstSeenAt": START,
        "lastSeenAt": START,
        "count": 1,
        "returns": 0,
        "returnedAs": [],
        "status": "new",
    }


@pytest.mark.proves("one-letter")
async def test_the_database_itself_refuses_a_second_record(
    mongo_store: MongoDeadLetterStore, client: Client, database_name: str
) -> None:
    indexes = await client[database_name][COLLECTION].index_information()
    unique = [index["key"] for index in indexes.values() if index.get("unique")]
    assert unique == [[("service", 1), ("messageId", 1), ("publishedAt", 1)]]


async def test_creating_the_indexes_again_is_harmless(
    mongo_store: MongoDeadLetterStore, client: Client, database_name: str
) -> None:
    await indexed(MongoDeadLetterStore, client, database_name)


async def test_an_index_of_the_same_name_that_differs_is_not_taken_for_right(
    client: Client, database_name: str
) -> None:
    letters = client[database_name][COLLECTION]
    await letters.create_index([("service", 1), ("messageId", 1)], name="service_message_unique")
    with pytest.raises(ConfigurationError, match=COLLECTION):
        await indexed(MongoDeadLetterStore, client, database_name)


async def test_each_call_says_so_within_seconds_when_the_database_is_away() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}/?directConnection=true")
    store = MongoDeadLetterStore(client, "nowhere")
    letter = a_letter()
    async with asyncio.timeout(CALL_SECONDS + 2 * SERVER_SELECTION_SECONDS):
        answers = await asyncio.gather(
            store.record([letter]),
            store.record([replay(letter)]),
            store.get(letter.id),
            store.find(limit=1),
            store.mark(letter, DISCARDED),
            return_exceptions=True,
        )
    client.close()
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 5


class Refusing:
    """A collection whose first bulk writes end with `answers`, and then work as that of `store`."""

    def __init__(self, store: MongoDeadLetterStore, *answers: dict[str, Any]) -> None:
        self._letters = store._letters
        self._answers = list(answers)
        store._letters = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._letters, name)

    async def bulk_write(self, updates: Sequence[Any], *, ordered: bool) -> Any:
        assert not ordered
        return await self._answer(updates) if self._answers else await self._write(updates)

    async def _write(self, updates: Sequence[Any]) -> Any:
        return await self._letters.bulk_write(updates, ordered=False)

    async def _answer(self, updates: Sequence[Any]) -> NoReturn:
        nothing: dict[str, Any] = {"writeErrors": [], "writeConcernErrors": [], "upserted": []}
        answer = nothing | self._answers.pop(0)
        written = [each["index"] for each in answer["upserted"]]
        if written:
            await self._write([updates[index] for index in written])
        raise BulkWriteError(answer)


DUPLICATE = {"index": 0, "code": 11000, "errmsg": "E11000 duplicate key error"}


async def test_an_upsert_that_lost_the_race_counts_what_won(
    mongo_store: MongoDeadLetterStore,
) -> None:
    """MongoDB may refuse an upsert whose document another inserted in the same moment."""
    won = await put(mongo_store, a_letter())
    fresh = a_letter()
    Refusing(mongo_store, {"writeErrors": [DUPLICATE], "upserted": [{"index": 1}]})
    assert await mongo_store.record([again(won), fresh]) == [fresh]
    assert (await stored(mongo_store, won)).count == 2
    assert (await stored(mongo_store, fresh)).count == 1


async def test_an_upsert_refused_again_and_again_is_not_taken_for_recorded(
    mongo_store: MongoDeadLetterStore,
) -> None:
    Refusing(mongo_store, *[{"writeErrors": [DUPLICATE]}] * 10)
    with pytest.raises(StoreUnavailable):
        await mongo_store.record([a_letter()])


async def test_a_write_that_may_be_rolled_back_is_not_taken_for_recorded(
    mongo_store: MongoDeadLetterStore,
) -> None:
    Refusing(mongo_store, {"writeConcernErrors": [{"code": 11602, "errmsg": "stepped down"}]})
    with pytest.raises(StoreUnavailable):
        await mongo_store.record([a_letter()])


async def test_a_write_refused_for_another_reason_is_no_race(
    mongo_store: MongoDeadLetterStore,
) -> None:
    Refusing(mongo_store, {"writeErrors": [{"index": 0, "code": 121, "errmsg": "validation"}]})
    with pytest.raises(BulkWriteError):
        await mongo_store.record([a_letter()])


DAMAGE: dict[str, Document] = {
    "a reason of a later version": {"$set": {"reason": "too_late"}},
    "a status of a later version": {"$set": {"status": "handed_on"}},
    "a time that is none": {"$set": {"lastSeenAt": "yesterday"}},
    "bytes that are text": {"$set": {"data": "text"}},
    "attributes that are none": {"$set": {"attributes": ["a"]}},
    "a missing field": {"$unset": {"count": ""}},
}


@pytest.fixture(params=DAMAGE.values(), ids=list(DAMAGE))
async def damaged(
    request: pytest.FixtureRequest,
    mongo_store: MongoDeadLetterStore,
    client: Client,
    database_name: str,
) -> tuple[DeadLetter, DeadLetter]:
    """Two letters, of which the first cannot be read any more."""
    first, second = await put(mongo_store, a_letter()), await put(mongo_store, a_letter())
    letters = client[database_name][COLLECTION]
    await letters.update_one({"_id": ObjectId(first.id)}, request.param)
    return first, second


@pytest.mark.proves("unreadable-reported")
async def test_a_letter_that_cannot_be_read_hides_no_other(
    mongo_store: MongoDeadLetterStore, damaged: tuple[DeadLetter, DeadLetter]
) -> None:
    first, second = damaged
    found = await mongo_store.find(service="conversations", limit=5)
    unreadable = found[1]
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.id, found[0]) == (first.id, second)
    assert await mongo_store.get(first.id) == unreadable


@pytest.mark.proves("unreadable-reported")
async def test_a_replay_of_a_letter_that_cannot_be_read_is_kept_by_itself(
    mongo_store: MongoDeadLetterStore, damaged: tuple[DeadLetter, DeadLetter]
) -> None:
    """And what came with it is recorded: a later version must not stop the recorder."""
    back, fresh = replay(damaged[0]), a_letter()
    assert await mongo_store.record([back, fresh]) == [back, fresh]
    assert await stored(mongo_store, back) == back
