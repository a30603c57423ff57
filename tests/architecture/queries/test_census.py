"""The count of the live jobs walks an index."""

from deletion.adapters.mongo.census import UNFINISHED, MongoCensus
from deletion.adapters.mongo.jobs import MongoJobStore
from tests.support.measured import Watched, public


async def test_the_count_of_the_live_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore
) -> None:
    census = MongoCensus(watched.client, watched.database.name)
    assert public(MongoCensus) == {"unfinished"}
    watched.watch()
    found = await census.unfinished()
    assert {group.status for group in found} == set(UNFINISHED)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 1
