"""One suite for the dead letters as the ledger sees them: in memory, and on MongoDB."""

import pytest
from bson import ObjectId

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import COLLECTION, MongoDeadLetterStore
from deletion.dead_letter import DeadLetterStatus
from deletion.ledger import EventLetter
from tests.conformance.letters import put
from tests.conformance.replicas import PARTS
from tests.support.clock import START
from tests.support.factories import a_letter
from tests.support.indexed import indexed
from tests.support.memory_stores import MemoryDeadLetterStore

Store = MemoryDeadLetterStore | MongoDeadLetterStore


@pytest.fixture(params=PARTS)
async def store(request: pytest.FixtureRequest, client: Client, database_name: str) -> Store:
    if request.param == "memory":
        return MemoryDeadLetterStore()
    return await indexed(MongoDeadLetterStore, client, database_name)


async def test_the_letters_of_a_service_and_an_event_say_what_was_decided(store: Store) -> None:
    letters = {
        status: await put(store, a_letter(attributes={"event_id": "e-1", "bot_id": "b"}))
        for status in DeadLetterStatus
    }
    for status, letter in letters.items():
        await store.mark(letter, status)
    found = await store.of_events([("conversations", "e-1")])
    assert sorted(found, key=lambda each: each.letter_id) == [
        EventLetter(letter.id, "conversations", "e-1", status, letter.reason, START)
        for status, letter in letters.items()
    ]


async def test_letters_of_other_services_or_events_are_not_found(store: Store) -> None:
    one = await put(store, a_letter(service="media", attributes={"event_id": "e-1"}))
    two = await put(store, a_letter(service="billing", attributes={"event_id": "e-2"}))
    await put(store, a_letter(service="media", attributes={}))
    await put(store, a_letter(service="", attributes={"event_id": "e-1"}))
    crossed = [("media", "e-2"), ("billing", "e-1"), ("analytics", "e-1")]
    assert await store.of_events(crossed) == []
    assert await store.of_events([]) == []
    found = await store.of_events([("media", "e-1"), ("billing", "e-2")])
    assert {letter.letter_id for letter in found} == {one.id, two.id}


async def test_a_letter_that_cannot_be_read_is_new(client: Client, database_name: str) -> None:
    """Somebody has to look at it; until then its event is not published again."""
    store = await indexed(MongoDeadLetterStore, client, database_name)
    letter = await put(store, a_letter(attributes={"event_id": "e-1"}))
    damage = {"status": "handed_on", "data": "text", "reason": "bored", "firstSeenAt": "today"}
    letters = client[database_name][COLLECTION]
    await letters.update_one({"_id": ObjectId(letter.id)}, {"$set": damage})
    [found] = await store.of_events([(letter.service, "e-1")])
    assert found == EventLetter(letter.id, letter.service, "e-1", DeadLetterStatus.NEW)


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize(
    "damage",
    [
        {"service": None},
        {"service": ["conversations"]},
        {"attributes": {"event_id": ["e-1"]}},
        {"attributes": [{"event_id": "e-1"}]},
    ],
    ids=str,
)
async def test_one_that_does_not_say_whose_it_is_hides_no_other(
    client: Client, database_name: str, damage: dict[str, object]
) -> None:
    store = await indexed(MongoDeadLetterStore, client, database_name)
    damaged, whole = [await put(store, a_letter(attributes={"event_id": "e-1"})) for _ in range(2)]
    letters = client[database_name][COLLECTION]
    await letters.update_one({"_id": ObjectId(damaged.id)}, {"$set": damage})
    found = await store.of_events({("conversations", "e-1")})
    assert [letter.letter_id for letter in found] == [whole.id]
