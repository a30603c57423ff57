"""Every query for dead letters walks an index."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from deletion.adapters.mongo.dead_letters import COLLECTION as DEAD_LETTERS
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.dead_letter import DeadLetterStatus, Reason
from tests.support.factories import a_letter, again, replay
from tests.support.measured import Watched, is_an_operators_look_at_letters, public


async def record_letters(store: MongoDeadLetterStore) -> None:
    """New letters, one that is known, and a replay that comes back, twice."""
    letter, other = a_letter(), a_letter()
    await store.record([letter, other])
    back = replay(letter)
    assert [told.id for told in await store.record([again(other), back])] == [letter.id]
    assert await store.record([again(back)]) == []


async def get_letter(store: MongoDeadLetterStore) -> None:
    [letter] = await store.find(status=DeadLetterStatus.NEW, limit=1)
    assert await store.get(letter.id) == letter
    assert await store.get(store.new_id()) is None


async def find_letters(store: MongoDeadLetterStore) -> None:
    for service in (None, "conversations"):
        for status in (None, DeadLetterStatus.NEW):
            for reason in (None, Reason.UNDECODABLE):
                for before in (None, store.new_id()):
                    await store.find(
                        service=service, reason=reason, status=status, before=before, limit=50
                    )


async def count_letters(store: MongoDeadLetterStore) -> None:
    assert await store.count(DeadLetterStatus.NEW, 10)
    await store.count(DeadLetterStatus.REPLAYED, 10)


async def mark_letter(store: MongoDeadLetterStore) -> None:
    """A letter that is as it was read, and one that has changed since."""
    [letter] = await store.record([a_letter()])
    assert await store.mark(letter, DeadLetterStatus.NEW)
    await store.record([again(letter)])
    assert not await store.mark(letter, DeadLetterStatus.NEW)


async def letters_of_events(store: MongoDeadLetterStore) -> None:
    """Of many services and events at once, as the ledger asks; and of one."""
    [letter] = await store.record([a_letter(attributes={"event_id": "e-1"})])
    many = [(service, str(uuid4())) for service in ("crowded", "media") for _ in range(100)]
    found = await store.of_events([*many, (letter.service, "e-1")])
    assert [each.letter_id for each in found] == [letter.id]
    assert await store.of_events([("media", "e-1")]) == []


LETTER_QUERIES: dict[str, tuple[Callable[[MongoDeadLetterStore], Awaitable[None]], int]] = {
    "record": (record_letters, 9),
    "get": (get_letter, 3),
    "find": (find_letters, 16),
    "count": (count_letters, 2),
    "mark": (mark_letter, 4),
    "of_events": (letters_of_events, 2),
}


def test_every_method_of_the_dead_letter_store_is_called_here() -> None:
    assert public(MongoDeadLetterStore) == set(LETTER_QUERIES)


@pytest.mark.parametrize("method", LETTER_QUERIES)
async def test_every_query_for_dead_letters_walks_an_index(
    watched: Watched, letters: MongoDeadLetterStore, method: str
) -> None:
    call, at_least = LETTER_QUERIES[method]
    watched.watch()
    await call(letters)
    assert await watched.scans(may=is_an_operators_look_at_letters) == []
    assert len(watched.listener.queries) >= at_least


async def test_it_is_seen_when_an_index_of_the_dead_letters_is_missing(
    watched: Watched, letters: MongoDeadLetterStore, database_name: str
) -> None:
    bare = MongoDeadLetterStore(watched.client, database_name)
    before, watched.database = watched.database, watched.client[database_name]
    try:
        crowd = await before[DEAD_LETTERS].find({}).to_list(None)
        await watched.database[DEAD_LETTERS].insert_many(crowd)
        watched.watch()
        await bare.find(service="conversations", limit=50)
        await bare.find(status=DeadLetterStatus.NEW, before=bare.new_id(), limit=50)
        await record_letters(bare)
        by_message = {"service", "messageId", "publishedAt"}
        found = [set(query["filter"]) for query in await watched.scans()]
        assert found == [{"service"}, {"status", "_id"}, *[by_message] * 3]
    finally:
        watched.database = before
