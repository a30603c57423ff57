"""One suite over every `SweepStore`, and what only the one on MongoDB has to show."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from botdel.local.database import EmbeddedMongo
from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import Client, Document, connect
from deletion.adapters.mongo.sweeps import COLLECTION
from deletion.errors import ConfigurationError, LeaseLost, StoreUnavailable
from deletion.sweep import WENT_SILENT, Outcome, Sweep, SweepStatus
from recovery.mongo_sweeps import MongoSweepStore
from recovery.ports import SweepStore
from tests.support.indexed import indexed
from tests.support.memory_stores import MemorySweepStore

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
BOUND = timedelta(seconds=60)


@pytest.fixture
async def mongo_store(client: Client, database_name: str) -> MongoSweepStore:
    return await indexed(MongoSweepStore, client, database_name)


@pytest.fixture(params=["memory", "mongo"])
def store(request: pytest.FixtureRequest) -> SweepStore:
    if request.param == "memory":
        return MemorySweepStore()
    mongo_store: MongoSweepStore = request.getfixturevalue("mongo_store")
    return mongo_store


def new(store: SweepStore, now: datetime = NOW) -> Sweep:
    return Sweep.started(store.new_id(), now)


async def start(store: SweepStore, sweep: Sweep) -> Sweep:
    return await store.start(sweep, silent_since=sweep.started_at - BOUND)


async def test_new_ids_are_24_hex_digits_and_differ(store: SweepStore) -> None:
    ids = {store.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(sweep_id) == 24 and int(sweep_id, 16) >= 0 for sweep_id in ids)


async def test_a_sweep_that_was_never_started_is_not_there(store: SweepStore) -> None:
    assert await store.get(store.new_id()) is None


async def test_the_first_sweep_starts_and_reads_back_as_it_is(store: SweepStore) -> None:
    sweep = new(store)
    assert await start(store, sweep) == sweep
    assert await store.get(sweep.id) == sweep


async def test_while_one_runs_a_second_is_answered_with_it_and_not_stored(
    store: SweepStore,
) -> None:
    running, second = new(store), new(store, NOW + timedelta(seconds=1))
    await start(store, running)
    assert await start(store, second) == running
    assert await store.get(second.id) is None


@pytest.mark.parametrize("end", [Sweep.completed, lambda s, now: s.failed(now, "why")])
async def test_after_an_end_the_next_one_starts_and_the_ended_one_stays(
    store: SweepStore, end: Callable[[Sweep, datetime], Sweep]
) -> None:
    first = new(store)
    await start(store, first)
    ended = end(first.advanced(NOW, [Outcome.RESUMED]), NOW + timedelta(seconds=1))
    await store.save(ended)
    second = new(store)
    assert await start(store, second) == second
    assert await store.get(first.id) == ended


async def test_progress_is_written_and_read_back_whole(store: SweepStore) -> None:
    sweep = new(store)
    await start(store, sweep)
    page = [Outcome.RESUMED, Outcome.RESUMED, Outcome.EXHAUSTED, Outcome.SKIPPED]
    further = sweep.advanced(NOW + timedelta(milliseconds=1), page)
    await store.save(further)
    assert await store.get(sweep.id) == further


async def test_a_running_sweep_keeps_its_place_up_to_the_bound_and_not_beyond(
    store: SweepStore,
) -> None:
    running = new(store)
    await start(store, running)
    assert await start(store, new(store, NOW + BOUND)) == running
    later = new(store, NOW + BOUND + timedelta(milliseconds=1))
    assert await start(store, later) == later
    given_up = await store.get(running.id)
    assert given_up == running.failed(later.started_at, WENT_SILENT)
    assert given_up
    assert given_up.status is SweepStatus.FAILED


async def test_a_heartbeat_keeps_a_running_sweep_its_place(store: SweepStore) -> None:
    running = new(store)
    await start(store, running)
    beating = running.advanced(NOW + BOUND, [])
    await store.save(beating)
    assert await start(store, new(store, NOW + BOUND * 2)) == beating


async def test_a_sweep_that_was_given_up_cannot_write_any_more(store: SweepStore) -> None:
    silent = new(store)
    await start(store, silent)
    successor = new(store, NOW + BOUND * 2)
    await start(store, successor)
    for late in (silent.advanced(NOW, [Outcome.RESUMED]), silent.completed(NOW)):
        with pytest.raises(LeaseLost):
            await store.save(late)
    assert await store.get(silent.id) == silent.failed(successor.started_at, WENT_SILENT)
    assert await store.get(successor.id) == successor


async def test_a_sweep_that_was_never_started_cannot_write(store: SweepStore) -> None:
    with pytest.raises(LeaseLost):
        await store.save(new(store))


async def test_repeating_a_start_or_a_write_whose_answer_was_lost_is_safe(
    store: SweepStore,
) -> None:
    sweep = new(store)
    assert await start(store, sweep) == sweep
    assert await start(store, sweep) == sweep
    ended = sweep.completed(NOW + timedelta(seconds=1))
    await store.save(ended)
    await store.save(ended)
    assert await start(store, sweep) == ended
    assert await store.get(sweep.id) == ended


async def test_of_many_starts_at_once_one_wins_and_all_are_answered_with_it(
    store: SweepStore,
) -> None:
    answers = await asyncio.gather(*(start(store, new(store)) for _ in range(30)))
    assert len({answer.id for answer in answers}) == 1


async def test_of_many_that_find_a_silent_sweep_one_wins(store: SweepStore) -> None:
    silent = new(store)
    await start(store, silent)
    later = NOW + BOUND * 2
    answers = await asyncio.gather(*(start(store, new(store, later)) for _ in range(30)))
    winners = {answer.id for answer in answers}
    assert len(winners) == 1
    assert silent.id not in winners


async def test_separate_processes_clients_start_one_sweep(
    mongo: EmbeddedMongo, mongo_store: MongoSweepStore, database_name: str
) -> None:
    clients = [connect(mongo.uri) for _ in range(6)]
    try:
        stores = [MongoSweepStore(client, database_name) for client in clients for _ in range(4)]
        answers = await asyncio.gather(*(start(store, new(store)) for store in stores))
        found = await clients[0][database_name][COLLECTION].find({}).to_list(None)
    finally:
        for client in clients:
            client.close()
    assert len({answer.id for answer in answers}) == 1
    assert [document["status"] for document in found] == ["running"]


@pytest.mark.proves("one-sweep")
async def test_the_index_refuses_a_second_running_sweep_whoever_writes_it(
    client: Client, mongo_store: MongoSweepStore, database_name: str
) -> None:
    sweep = new(mongo_store)
    await start(mongo_store, sweep)
    await mongo_store.save(sweep.completed(NOW))
    await start(mongo_store, new(mongo_store))
    collection = client[database_name][COLLECTION]
    with pytest.raises(Exception, match="E11000"):
        await collection.update_one({"status": "complete"}, {"$set": {"status": "running"}})


async def test_a_heartbeat_in_the_moment_of_taking_over_wins(mongo_store: MongoSweepStore) -> None:
    running = new(mongo_store)
    await start(mongo_store, running)
    beating = running.advanced(NOW + BOUND * 2, [])
    silence: Callable[[Document, datetime], Awaitable[None]] = mongo_store._silence

    async def beaten(silent: Document, now: datetime) -> None:
        await mongo_store.save(beating)
        await silence(silent, now)

    mongo_store._silence = beaten  # type: ignore[method-assign]
    assert await start(mongo_store, new(mongo_store, NOW + BOUND * 2)) == beating


async def test_the_documents_carry_the_names_others_read(
    client: Client, mongo_store: MongoSweepStore, database_name: str
) -> None:
    sweep = replace(new(mongo_store), resumed=1)
    await start(mongo_store, sweep)
    (document,) = await client[database_name][COLLECTION].find({}).to_list(None)
    assert str(document.pop("_id")) == sweep.id
    assert document == {
        "status": "running",
        "startedAt": NOW,
        "lastModifiedAt": NOW,
        "finishedAt": None,
        "resumed": 1,
        "exhausted": 0,
        "skipped": 0,
        "error": None,
    }


async def test_a_database_that_is_away_is_reported_as_such() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}")
    store = MongoSweepStore(client, "nowhere")
    sweep = new(store)
    calls = (start(store, sweep), store.save(sweep), store.get(sweep.id))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    client.close()
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3


async def test_an_index_of_the_same_name_that_differs_is_not_taken_for_right(
    client: Client, database_name: str
) -> None:
    await client[database_name][COLLECTION].create_index([("status", 1)], name="one_running")
    with pytest.raises(ConfigurationError, match=COLLECTION):
        await indexed(MongoSweepStore, client, database_name)


DAMAGE: dict[str, Document] = {
    "a time that is none": {"$set": {"lastModifiedAt": "just now"}},
    "a missing time": {"$unset": {"lastModifiedAt": ""}},
    "a count of another type": {"$set": {"resumed": "many"}},
    "a missing field": {"$unset": {"startedAt": ""}},
}


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_running_sweep_that_cannot_be_read_is_given_up_and_stops_none(
    client: Client, mongo_store: MongoSweepStore, database_name: str, damage: Document
) -> None:
    damaged, following = new(mongo_store), new(mongo_store)
    await start(mongo_store, damaged)
    sweeps = client[database_name][COLLECTION]
    await sweeps.update_one({"_id": ObjectId(damaged.id)}, damage)
    assert await start(mongo_store, following) == following
    ended = await sweeps.find_one({"_id": ObjectId(damaged.id)})
    assert ended
    assert (ended["status"], ended["finishedAt"]) == ("failed", NOW)
    assert ended["error"].endswith("went silent")
