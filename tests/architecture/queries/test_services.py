"""Services are written along their names."""

from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.ledger import Service
from tests.support.clock import START
from tests.support.factories import LATER
from tests.support.measured import CROWD, Watched, public


class Few(MongoServiceStore):
    """Does not read all of the crowd, which is more than an installation may have."""

    async def first(self, _: int) -> list[Service]:
        return []


async def test_a_service_is_written_by_its_name_and_all_are_read_at_once(
    watched: Watched,
) -> None:
    """There are a few. `_id` always has its index."""
    assert public(MongoServiceStore) == {"register", "all", "first", "retire"}
    services = Few(watched.client, watched.database.name)
    crowd = [{"_id": f"service-{number}"} for number in range(CROWD)]
    await watched.database[SERVICES].insert_many(crowd)
    watched.watch()
    await services.register(["media"], START)
    assert await services.retire("media", "ann", "shut down", LATER)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 3
