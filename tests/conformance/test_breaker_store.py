"""One suite over every `BreakerStore`, and what only the one on MongoDB has to show."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from deletion.adapters.mongo.breakers import COLLECTION, MongoBreakerStore
from deletion.adapters.mongo.connection import Client, Document, connect
from deletion.breaker import Breaker, BreakerPolicy, BreakerStore, LocalBreakerStore
from deletion.clock import SystemClock
from deletion.errors import StoreUnavailable
from tests.support.fake_mongo import STANDALONE, FakeMongo, failure

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
HOST, OTHER = "billing.example", "mail.example:8443"
ONE, TWO = "65f0a1b2c3d4e5f607182930", "65f0a1b2c3d4e5f607182931"
POLICY = BreakerPolicy()


@pytest.fixture(params=["local", "mongo"])
def store(request: pytest.FixtureRequest) -> BreakerStore:
    if request.param == "local":
        return LocalBreakerStore(SystemClock())
    client: Client = request.getfixturevalue("client")
    return MongoBreakerStore(client, request.getfixturevalue("database_name"))


def failing(host: str = HOST, stamp: str = "a") -> Breaker:
    return Breaker(host).failed(stamp, ONE, "503", NOW, POLICY)


def opened(host: str = HOST, stamp: str = "b") -> Breaker:
    return failing(host).failed(stamp, TWO, "503", NOW, POLICY)


async def kept(store: BreakerStore, *states: Breaker) -> Breaker:
    """Write one state after the other; the last."""
    before = Breaker(states[0].host)
    for after in states:
        assert await store.apply(before, after)
        before = after
    return before


async def test_a_host_that_nobody_has_called_has_a_closed_breaker(store: BreakerStore) -> None:
    assert await store.get(HOST) == Breaker(HOST)
    assert await store.open_breakers() == []
    assert await store.damaged() == []


async def test_what_was_written_reads_back_as_it_is(store: BreakerStore) -> None:
    probing = opened().probing("c", NOW, timedelta(seconds=15))
    again = probing.failed("d", ONE, "timeout", NOW, POLICY)
    before = Breaker(HOST)
    for state in (failing(), opened(), probing, again, again.closed("e")):
        assert await store.apply(before, state)
        before = state
        assert await store.get(HOST) == state


async def test_a_change_is_refused_when_the_record_has_moved_on(store: BreakerStore) -> None:
    await kept(store, failing(), opened())
    assert not await store.apply(failing(), opened(stamp="x"))
    assert not await store.apply(Breaker(HOST), failing(stamp="y")), "it is not absent any more"
    assert await store.get(HOST) == opened()


async def test_a_change_whose_answer_was_lost_can_be_repeated(store: BreakerStore) -> None:
    await kept(store, failing())
    assert await store.apply(Breaker(HOST), failing())
    assert await store.apply(failing(), opened())
    assert await store.apply(failing(), opened())


async def test_a_record_that_has_vanished_takes_no_change_but_its_first(
    store: BreakerStore,
) -> None:
    assert not await store.apply(failing(), opened())
    assert await store.get(HOST) == Breaker(HOST)


@pytest.mark.proves("one-probe")
@pytest.mark.parametrize("exists", [False, True], ids=["absent", "recorded"])
async def test_of_many_changes_at_once_exactly_one_is_made(
    store: BreakerStore, exists: bool
) -> None:
    before = await kept(store, failing()) if exists else Breaker(HOST)
    afters = [opened(stamp=f"s{number}") for number in range(16)]
    answers = await asyncio.gather(*(store.apply(before, after) for after in afters))
    assert answers.count(True) == 1
    assert await store.get(HOST) == afters[answers.index(True)]


async def test_each_host_has_a_breaker_of_its_own(store: BreakerStore) -> None:
    await kept(store, failing(OTHER), opened(OTHER))
    await kept(store, failing())
    assert await store.get(HOST) == failing()
    assert await store.open_breakers() == [opened(OTHER)]


async def test_the_open_ones_are_listed_in_the_order_of_their_hosts(store: BreakerStore) -> None:
    for host in ("b.example", "c.example", "a.example"):
        await kept(store, failing(host), opened(host))
    assert [each.host for each in await store.open_breakers()] == [
        "a.example",
        "b.example",
        "c.example",
    ]


async def test_it_tells_its_time(store: BreakerStore) -> None:
    assert abs(await store.time() - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_record_that_cannot_be_read_is_a_closed_breaker_and_hides_no_other(
    client: Client, database_name: str
) -> None:
    store = MongoBreakerStore(client, database_name)
    await client[database_name][COLLECTION].insert_one({"_id": HOST, "trips": "many"})
    await kept(store, failing(OTHER), opened(OTHER))
    assert not (await store.get(HOST)).is_open
    assert [each.host for each in await store.open_breakers()] == [OTHER]
    assert await store.damaged() == [HOST]
    assert not await store.apply(Breaker(HOST), failing()), "nobody overwrites it unseen"


DAMAGES: list[Document] = [
    {"$set": {"trips": 1.5}},
    {"$unset": {"stamp": ""}},
    *({"$set": {"stamp": stamp}} for stamp in (None, 7, "", {"$gt": ""}, ["a"], NOW)),
]


@pytest.mark.proves("damaged-breaker")
@pytest.mark.parametrize("damage", DAMAGES, ids=str)
async def test_a_damaged_record_is_replaced_by_the_next_change_whatever_is_damaged(
    client: Client, database_name: str, damage: Document
) -> None:
    """Or else the breaker of its host would never open again."""
    store = MongoBreakerStore(client, database_name)
    await kept(store, failing(stamp="a"))
    await client[database_name][COLLECTION].update_one({"_id": HOST}, damage)
    damaged, late = await store.get(HOST), await store.get(HOST)
    assert not damaged.is_open
    first = damaged.failed("b", ONE, "503", NOW, POLICY)
    assert await store.apply(damaged, first)
    assert await store.apply(damaged, first), "an answer may be lost"
    assert not await store.apply(late, failing(stamp="x")), "by one process alone"
    second = first.failed("c", TWO, "503", NOW, POLICY)
    assert await store.apply(first, second)
    assert await store.open_breakers() == [second]
    assert await store.damaged() == []


async def test_fields_of_a_later_version_are_kept(client: Client, database_name: str) -> None:
    store, collection = (
        MongoBreakerStore(client, database_name),
        client[database_name][COLLECTION],
    )
    await kept(store, failing())
    await collection.update_one({"_id": HOST}, {"$set": {"later": 1}})
    assert await store.apply(failing(), opened())
    found = await collection.find({"_id": HOST}).to_list(1)
    assert found[0]["later"] == 1


async def test_a_database_that_cannot_answer_is_unavailable() -> None:
    async with FakeMongo(STANDALONE, lambda _: failure(91)) as server:
        client = connect(server.uri)
        store = MongoBreakerStore(client, "any", call_seconds=0.5)
        for call in (
            lambda: store.get(HOST),
            lambda: store.apply(Breaker(HOST), failing()),
            lambda: store.apply(failing(), opened()),
            store.open_breakers,
            store.damaged,
        ):
            with pytest.raises(StoreUnavailable):
                await call()
        client.close()
