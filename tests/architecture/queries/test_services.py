"""Services are read and written along their names."""

from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.mongo.services import SPARE, MongoServiceStore
from deletion.request import MAX_SERVICES
from tests.support.clock import START
from tests.support.factories import LATER
from tests.support.measured import CROWD, Watched, public


async def test_a_service_is_written_by_its_name_and_all_are_read_at_once(
    watched: Watched,
) -> None:
    """There are at most 500, which registering reads too. `_id` always has its index."""
    assert public(MongoServiceStore) == {"register", "all", "retire"}
    services = MongoServiceStore(watched.client, watched.database.name)
    crowd = [{"_id": f"service-{number}"} for number in range(CROWD)]
    await watched.database[SERVICES].insert_many(crowd)
    watched.watch()
    await services.register(["service-1"], START)
    assert await services.retire("service-1", "ann", "shut down", LATER)
    assert [query for query in await watched.scans() if query["filter"]] == []
    reads = [query for query in watched.listener.queries if not query["filter"]]
    assert [query["limit"] for query in reads] == [MAX_SERVICES + SPARE]
    assert len(watched.listener.queries) == 3
