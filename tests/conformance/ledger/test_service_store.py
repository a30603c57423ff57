"""One suite for every store of services, and what only the one on MongoDB has to show."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo import services
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.services import COLLECTION, MongoServiceStore
from deletion.errors import ConfigurationError
from deletion.ledger import Service, ServiceStore
from deletion.request import MAX_SERVICES
from tests.conformance.replicas import PARTS, replicas
from tests.support.clock import START
from tests.support.factories import LATER
from tests.support.memory_requests import MemoryServiceStore

Open = Callable[[], Awaitable[ServiceStore]]


@pytest.fixture(params=PARTS)
async def open_store(
    request: pytest.FixtureRequest, mongo: EmbeddedMongo, database_name: str
) -> AsyncIterator[Open]:
    memory = MemoryServiceStore()
    with replicas(request.param, memory, MongoServiceStore, mongo.uri, database_name) as connected:
        yield connected


@pytest.fixture
async def store(open_store: Open) -> ServiceStore:
    return await open_store()


async def test_nothing_is_registered_at_first(store: ServiceStore) -> None:
    assert await store.all() == []
    await store.register([], START)
    assert await store.all() == []


async def test_services_are_registered_once_and_listed_by_name(store: ServiceStore) -> None:
    await store.register(["media", "billing", "media"], START)
    await store.register(["billing", "analytics"], LATER)
    assert await store.all() == [
        Service("analytics", LATER),
        Service("billing", START),
        Service("media", START),
    ]


async def test_a_service_is_retired_once_and_says_by_whom_and_why(store: ServiceStore) -> None:
    await store.register(["media", "billing"], START)
    assert await store.retire("media", "ann", "shut down", LATER)
    assert not await store.retire("media", "ben", "again", LATER)
    assert not await store.retire("nobody", "ben", "never was", LATER)
    assert await store.all() == [
        Service("billing", START),
        Service("media", START, LATER, "ann", "shut down"),
    ]


async def test_a_retired_service_whose_plan_is_back_is_retired_no_more(
    store: ServiceStore,
) -> None:
    await store.register(["media"], START)
    await store.retire("media", "ann", "shut down", LATER)
    await store.register(["media"], LATER)
    assert await store.all() == [Service("media", START)]
    assert await store.retire("media", "ben", "for good", LATER)


async def test_processes_that_register_at_once_register_each_service_once(
    open_store: Open,
) -> None:
    stores = [await open_store() for _ in range(6)]
    names = [f"service-{number:02}" for number in range(20)]
    await asyncio.gather(*(store.register(names, START) for store in stores))
    assert [service.name for service in await stores[0].all()] == names


async def test_the_501st_service_in_use_is_refused_and_all_500_are_read(
    store: ServiceStore,
) -> None:
    names = [f"service-{number:03}" for number in range(MAX_SERVICES)]
    await store.register(names, START)
    with pytest.raises(ConfigurationError, match=r"at most 500 services.*there are 500, and more"):
        await store.register(["more", names[1]], LATER)
    assert [service.name for service in await store.all()] == names
    await store.register(names, LATER)


async def test_a_retired_service_makes_room_for_another_until_it_returns(
    store: ServiceStore,
) -> None:
    names = [f"service-{number:03}" for number in range(MAX_SERVICES)]
    await store.register(names, START)
    for name in names[:2]:
        await store.retire(name, "ann", "shut down", LATER)
    await store.register(["first", "second"], LATER)
    assert len(await store.all()) == MAX_SERVICES + 2, "the record of a retired one stays"
    with pytest.raises(
        ConfigurationError, match=f"there are 500, and {names[0]} would make it 501"
    ):
        await store.register([names[0]], LATER)


# --- what only the store on MongoDB has to show


async def test_a_service_is_stored_under_the_names_that_others_read(
    client: Client, database_name: str
) -> None:
    store = MongoServiceStore(client, database_name)
    await store.register(["media"], START)
    await store.retire("media", "ann", "shut down", LATER)
    assert await client[database_name][COLLECTION].find_one({}) == {
        "_id": "media",
        "registeredAt": START,
        "retiredAt": LATER,
        "retiredBy": "ann",
        "reason": "shut down",
    }


@pytest.mark.proves("unreadable-reported")
async def test_a_service_whose_record_is_damaged_goes_on_owing_until_it_is_retired(
    client: Client, database_name: str
) -> None:
    """Otherwise its requests would be settled without it."""
    store = MongoServiceStore(client, database_name)
    await client[database_name][COLLECTION].insert_many(
        [
            {"_id": "billing", "registeredAt": "long ago", "retiredAt": "no", "reason": 7},
            {"_id": "media"},
        ]
    )
    found = await store.all()
    assert [(service.name, service.retired_at) for service in found] == [
        ("billing", None),
        ("media", None),
    ]
    for service in found:
        assert await store.retire(service.name, "ann", "shut down", LATER)
    assert [service.retired_at for service in await store.all()] == [LATER, LATER]


async def test_more_services_than_may_be_in_use_are_all_read(
    client: Client, database_name: str
) -> None:
    """Requests would be settled without those that were left out, and not recorded without a list.
    So many may come about when a process dies before it has taken its own back.
    """
    store = MongoServiceStore(client, database_name)
    names = [f"service-{number:03}" for number in range(MAX_SERVICES)]
    await store.register(names, START)
    await client[database_name][COLLECTION].insert_one({"_id": "zebra"})
    assert [service.name for service in await store.all()] == [*names, "zebra"]
    await store.register(names, LATER)
    with pytest.raises(ConfigurationError, match="there are 501, and more would make it 502"):
        await store.register(["more"], LATER)
    assert [service.name for service in await store.first(2)] == ["service-000", "service-001"]
    assert await store.retire("zebra", "ann", "by mistake", LATER)
    assert len(await store.all()) == MAX_SERVICES + 1


async def test_more_records_than_are_read_are_refused_with_what_to_remove(
    client: Client, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_RECORDED", 1)
    store = MongoServiceStore(client, database_name)
    await store.register(["billing"], START)
    await store.retire("billing", "ann", "shut down", LATER)
    await store.register(["media"], START)
    with pytest.raises(ConfigurationError, match=r"1 services are recorded.*`retiredAt`"):
        await store.all()
    assert len(await store.first(2)) == 2


class Overtaken(MongoServiceStore):
    """Another process registers `others` after this one has looked, and before it writes."""

    others: Sequence[str] = ()

    async def all(self) -> list[Service]:
        found = await super().all()
        others, self.others = self.others, ()
        if others:
            await MongoServiceStore(self.client, self.database).register(others, LATER)
        return found

    def __init__(self, client: Client, database: str) -> None:
        super().__init__(client, database)
        self.client, self.database = client, database


async def test_of_processes_that_register_too_many_at_once_each_takes_its_own_back(
    client: Client, database_name: str
) -> None:
    store = Overtaken(client, database_name)
    names = [f"service-{number:03}" for number in range(MAX_SERVICES)]
    await store.register(names, START)
    for name in names[:2]:
        await store.retire(name, "ann", "shut down", LATER)
    before = await store.all()
    store.others = ["other"]
    with pytest.raises(ConfigurationError, match=rf"mine, {names[0]} would make it 501"):
        await store.register(["mine", names[0], names[7]], START + timedelta(hours=2))
    assert await store.all() == [Service("other", LATER), *before]
    await store.register(["mine"], LATER)


async def test_what_another_returned_before_it_was_written_is_not_retired_again(
    client: Client, database_name: str
) -> None:
    store = Overtaken(client, database_name)
    names = await filled(store)
    store.others = [names[0], "other"]
    with pytest.raises(ConfigurationError, match="mine would make it 501"):
        await store.register(["mine", names[0]], LATER)
    assert await retired(store) == [names[1]]


class Followed(MongoServiceStore):
    """Others register `others` after this one has written, and before it looks again."""

    others: Sequence[str] = ()

    async def first(self, limit: int) -> list[Service]:
        if limit == services.MOST_RECORDED and self.others:
            collection = self.client[self.database][COLLECTION]
            await MongoServiceStore(self.client, self.database).register(self.others, LATER)
            await collection.insert_one({"_id": "zebra"})
        return await super().first(limit)

    def __init__(self, client: Client, database: str) -> None:
        super().__init__(client, database)
        self.client, self.database = client, database


async def test_what_another_registers_after_it_was_returned_is_not_retired_again(
    client: Client, database_name: str
) -> None:
    store = Followed(client, database_name)
    names = await filled(store)
    store.others = [names[0]]
    with pytest.raises(ConfigurationError, match="501"):
        await store.register([names[0], names[1]], LATER)
    assert await retired(store) == [names[1]]


async def test_what_another_registers_after_it_was_first_registered_stays(
    client: Client, database_name: str
) -> None:
    """The other was told that it is registered, and the ledger waits for it if it is not."""
    store = Followed(client, database_name)
    names = await filled(store)
    store.others = ["mine"]
    with pytest.raises(ConfigurationError, match="501"):
        await store.register(["mine", "yours"], LATER)
    assert await retired(store) == names[:2]
    recorded = {service.name for service in await store.all()}
    assert "mine" in recorded
    assert "yours" not in recorded


async def filled(store: ServiceStore) -> list[str]:
    """Register as many as may be in use, and retire the first two."""
    names = [f"service-{number:03}" for number in range(MAX_SERVICES)]
    await store.register(names, START)
    for name in names[:2]:
        await store.retire(name, "ann", "shut down", LATER)
    return names


async def retired(store: ServiceStore) -> list[str]:
    return [service.name for service in await store.all() if service.retired_at]
