"""One suite for every dead-letter store: the one in memory, and MongoDB's over the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetterStatus, Reason
from deletion.ports import DeadLetterStore
from tests.conformance.letters import DISCARDED, NEW, REPLAYED, put, stored
from tests.conformance.replicas import PARTS, replicas
from tests.support.clock import START
from tests.support.factories import LATER, a_letter, again, replay
from tests.support.memory_stores import MemoryDeadLetterStore

Open = Callable[[], Awaitable[DeadLetterStore]]
"""Another store object on the same letters, with a connection of its own where there is one."""


@pytest.fixture(params=PARTS)
async def open_store(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database_name: str
) -> AsyncIterator[Open]:
    memory = MemoryDeadLetterStore()
    with replicas(
        request.param, memory, MongoDeadLetterStore, mongo.uri, database_name
    ) as connected:
        yield connected


@pytest.fixture
async def store(open_store: Open) -> DeadLetterStore:
    return await open_store()


class TestRecording:
    async def test_new_ids_are_24_hex_digits_and_sort_as_they_were_made(
        self, store: DeadLetterStore
    ) -> None:
        ids = [store.new_id() for _ in range(100)]
        assert ids == sorted(set(ids))
        assert all(len(letter_id) == 24 and int(letter_id, 16) >= 0 for letter_id in ids)

    async def test_nothing_offered_is_nothing_recorded(self, store: DeadLetterStore) -> None:
        assert await store.record([]) == []
        assert await store.find(limit=1) == []

    async def test_new_ones_are_kept_as_they_are_and_answered_with(
        self, store: DeadLetterStore
    ) -> None:
        letters = [a_letter(), a_letter(service=""), a_letter(data=b"", attributes={})]
        assert await store.record(letters) == letters
        assert [await store.get(letter.id) for letter in letters] == letters

    @pytest.mark.proves("quarantine")
    @pytest.mark.parametrize(
        "attributes",
        [
            {"a.b": "1", ".": "2", "a..b.": "3"},
            {"$x": "1", "$": "2", "$set": "3", "a.$b": "4"},
            {"$ref": "a", "$id": "b", "$db": "c"},
            {"": "an empty name"},
            {"a\0b": "c\0d"},
            {"_id": "1", "é": "ü", "\U0001f600": "\U0001f600", "\uffff": "\x7f\x80"},
            {"%24x": "1", "$x": "2", "%": "3", "a b+c/d": "4"},
            {"k" * 256: "v" * 1024},
        ],
        ids=str,
    )
    async def test_no_attribute_is_refused_or_changed(
        self, store: DeadLetterStore, attributes: dict[str, str]
    ) -> None:
        letter = await put(store, a_letter(attributes=attributes))
        assert await stored(store, letter) == letter
        assert await store.find(limit=5) == [letter]

    @pytest.mark.proves("quarantine")
    async def test_the_largest_message_pub_sub_takes_is_kept_whole(
        self, store: DeadLetterStore
    ) -> None:
        data = bytes(range(256)) * 40_000
        letter = await put(store, a_letter(data=data, reason=Reason.TOO_LARGE))
        assert (await stored(store, letter)).data == data

    async def test_the_same_message_of_another_service_is_another_letter(
        self, store: DeadLetterStore
    ) -> None:
        first = await put(store, a_letter())
        second = await put(
            store,
            a_letter(
                service="analytics", message_id=first.message_id, published_at=first.published_at
            ),
        )
        assert await store.find(limit=5) == [second, first]

    async def test_another_topics_message_of_the_same_id_is_another_letter(
        self, store: DeadLetterStore
    ) -> None:
        first = await put(store, a_letter(data=b"refused by a consumer"))
        later = first.published_at + timedelta(minutes=2)
        moved = a_letter(data=b"given up", message_id=first.message_id, published_at=later)
        second = await put(store, moved)
        assert (await stored(store, first)).data == b"refused by a consumer"
        assert (await stored(store, second)).data == b"given up"

    @pytest.mark.parametrize("status", DeadLetterStatus, ids=str)
    async def test_a_message_given_up_again_is_counted_whatever_became_of_it(
        self, store: DeadLetterStore, status: DeadLetterStatus
    ) -> None:
        letter = await put(store, a_letter(delivery_attempt=3))
        await store.mark(letter, status)
        later = again(letter, delivery_attempt=2, reason=Reason.UNDELIVERED, detail="other")
        assert await store.record([later]) == []
        assert await stored(store, letter) == replace(letter.seen_again(later), status=status)
        assert await store.get(later.id) is None

    async def test_the_highest_attempt_and_the_latest_time_stay(
        self, store: DeadLetterStore
    ) -> None:
        letter = await put(store, a_letter(delivery_attempt=1, last_seen_at=LATER))
        await store.record([replace(again(letter), last_seen_at=START, delivery_attempt=4)])
        found = await stored(store, letter)
        assert (found.last_seen_at, found.delivery_attempt, found.count) == (LATER, 4, 2)

    async def test_a_group_answers_for_each_message_of_its_own(
        self, store: DeadLetterStore
    ) -> None:
        known, replayed = await put(store, a_letter()), await put(store, a_letter())
        fresh = [a_letter() for _ in range(3)]
        group = [fresh[0], again(known), replay(replayed), fresh[1], again(known), fresh[2]]
        told = await store.record(group)
        assert {letter.id for letter in told} == {replayed.id, *(letter.id for letter in fresh)}
        assert [await store.get(letter.id) for letter in told] == told
        assert (await stored(store, known)).count == 3

    async def test_one_message_twice_in_a_group_is_one_letter_that_counts_both(
        self, store: DeadLetterStore
    ) -> None:
        letter = a_letter()
        told = await store.record([letter, again(letter)])
        assert told == [letter.seen_again(again(letter))]
        assert await store.find(limit=5) == told

    async def test_repeating_a_call_counts_and_records_nothing_twice(
        self, store: DeadLetterStore
    ) -> None:
        letter = await put(store, a_letter())
        assert await store.record([letter]) == []
        assert await store.find(limit=5) == [replace(letter, count=2)]


class TestReturning:
    @pytest.mark.proves("replay")
    @pytest.mark.parametrize("status", DeadLetterStatus, ids=str)
    async def test_a_replay_that_comes_back_is_joined_and_new_again(
        self, store: DeadLetterStore, status: DeadLetterStatus
    ) -> None:
        """Whatever the status: it may come back before its replay could be marked."""
        letter = await put(store, a_letter())
        await store.mark(letter, status)
        back = replay(letter, reason=Reason.INVALID, detail="other", delivery_attempt=5)
        expected = letter.came_back(back)
        assert await store.record([back]) == [expected]
        assert await store.find(limit=5) == [expected]
        assert (expected.status, expected.returns, expected.count) == (NEW, 1, 2)

    async def test_a_return_delivered_again_is_counted_and_told_of_once(
        self, store: DeadLetterStore
    ) -> None:
        letter = await put(store, a_letter())
        back = replay(letter)
        [joined] = await store.record([back])
        await store.mark(joined, DISCARDED)
        assert await store.record([again(back), again(back)]) == []
        assert await stored(store, letter) == replace(joined, status=DISCARDED, count=4)

    async def test_each_replay_that_comes_back_counts_as_a_return(
        self, store: DeadLetterStore
    ) -> None:
        letter = await put(store, a_letter())
        await store.record([replay(letter)])
        told = await store.record([replay(letter), replay(letter)])
        assert told == [await stored(store, letter)]
        assert (told[0].returns, told[0].count) == (3, 4)

    @pytest.mark.parametrize(
        "values",
        [
            {"attributes": {RECORD_ATTRIBUTE: "0" * 24}},
            {"attributes": {RECORD_ATTRIBUTE: "no id"}},
            {"attributes": {RECORD_ATTRIBUTE: ""}},
            {"service": "analytics"},
            {"service": ""},
            {"data": b"other bytes"},
        ],
        ids=str,
    )
    async def test_what_only_says_it_is_a_replay_is_kept_by_itself(
        self, store: DeadLetterStore, values: dict[str, Any]
    ) -> None:
        """Joined, its bytes would be lost."""
        letter = await put(store, a_letter())
        other = replay(letter, **values)
        assert await store.record([other]) == [other]
        assert await stored(store, other) == other
        assert await stored(store, letter) == letter

    async def test_a_late_redelivery_of_the_first_message_is_no_return(
        self, store: DeadLetterStore
    ) -> None:
        letter = await put(store, a_letter())
        await store.mark(letter, REPLAYED)
        assert await store.record([again(letter)]) == []
        assert (await stored(store, letter)).status is REPLAYED


class TestRacing:
    @pytest.mark.proves("one-letter")
    async def test_of_replicas_with_one_message_exactly_one_answers_with_it(
        self, open_store: Open
    ) -> None:
        stores = [await open_store() for _ in range(6)]
        letters = [a_letter() for _ in range(10)]
        answers = await asyncio.gather(
            *(store.record([again(letter) for letter in letters]) for store in stores)
        )
        told = [letter for answer in answers for letter in answer]
        assert sorted(letter.message_id for letter in told) == sorted(
            letter.message_id for letter in letters
        )
        found = await stores[0].find(limit=100)
        assert {letter.id for letter in found} == {letter.id for letter in told}
        assert [(await stored(stores[0], letter)).count for letter in told] == [len(stores)] * 10

    async def test_of_replicas_with_one_return_exactly_one_answers_with_it(
        self, open_store: Open
    ) -> None:
        stores = [await open_store() for _ in range(6)]
        letter = await put(stores[0], a_letter())
        back = replay(letter)
        answers = await asyncio.gather(*(store.record([again(back)]) for store in stores))
        assert sorted(map(len, answers)) == [0] * 5 + [1]
        found = await stored(stores[0], letter)
        assert (found.returns, found.count) == (1, 7)


class TestMarking:
    @pytest.mark.parametrize("status", DeadLetterStatus, ids=str)
    async def test_only_the_status_is_written(
        self, store: DeadLetterStore, status: DeadLetterStatus
    ) -> None:
        letter, other = await put(store, a_letter()), await put(store, a_letter())
        assert await store.mark(letter, status)
        assert await stored(store, letter) == replace(letter, status=status)
        assert await stored(store, other) == other

    async def test_a_repeat_is_answered_as_the_first_time(self, store: DeadLetterStore) -> None:
        letter = await put(store, a_letter())
        assert [await store.mark(letter, REPLAYED) for _ in range(2)] == [True, True]

    async def test_what_was_given_up_again_meanwhile_is_not_marked(
        self, store: DeadLetterStore
    ) -> None:
        for later in (again, replay):
            letter = await put(store, a_letter())
            await store.record([later(letter)])
            before = await stored(store, letter)
            assert not await store.mark(letter, DISCARDED)
            assert await stored(store, letter) == before

    async def test_what_is_not_there_is_not_marked(self, store: DeadLetterStore) -> None:
        assert not await store.mark(a_letter(), DISCARDED)
        assert await store.find(limit=1) == []


class TestCounting:
    async def test_those_of_one_status_are_counted_up_to_the_limit(
        self, store: DeadLetterStore
    ) -> None:
        letters = [a_letter() for _ in range(4)]
        await store.record(letters)
        await store.mark(letters[0], DISCARDED)
        assert (await store.count(NEW, 10), await store.count(NEW, 2)) == (3, 2)
        assert (await store.count(DISCARDED, 10), await store.count(REPLAYED, 10)) == (1, 0)


class TestReading:
    async def test_what_was_never_recorded_is_not_there(self, store: DeadLetterStore) -> None:
        assert await store.get(store.new_id()) is None

    async def test_the_newest_come_first_and_page_by_page(self, store: DeadLetterStore) -> None:
        letters = [await put(store, a_letter()) for _ in range(7)]
        first = await store.find(limit=3)
        second = await store.find(limit=3, before=first[-1].id)
        third = await store.find(limit=3, before=second[-1].id)
        assert [*first, *second, *third] == letters[::-1]
        assert await store.find(limit=3, before=letters[0].id) == []

    async def test_every_mixture_of_filters_answers_with_what_fits_all(
        self, store: DeadLetterStore
    ) -> None:
        services, reasons = ("conversations", "analytics", ""), (Reason.INVALID, Reason.TOO_LARGE)
        letters = [
            a_letter(service=service, reason=reason, status=status)
            for service, reason, status in product(services, reasons, DeadLetterStatus)
            for _ in range(2)
        ]
        await store.record(letters)
        newest_first = sorted(letters, key=lambda letter: letter.id, reverse=True)
        middle = newest_first[len(letters) // 2].id
        for service, reason, status, before in product(
            (None, *services), (None, *reasons), (None, *DeadLetterStatus), (None, middle)
        ):
            fitting = [
                letter
                for letter in newest_first
                if service in (None, letter.service)
                and reason in (None, letter.reason)
                and status in (None, letter.status)
                and (before is None or letter.id < before)
            ]
            found = await store.find(
                service=service, reason=reason, status=status, before=before, limit=100
            )
            assert found == fitting, (service, reason, status, before)


# --- what only the store on MongoDB promises
