"""The counts of the live jobs, and of those that are due, walk an index."""

from deletion.adapters.mongo.census import UNFINISHED, MongoCensus
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.job import Status
from tests.conformance.job_store.jobs import SILENT
from tests.support.factories import SERVICE, new_job
from tests.support.measured import Watched, public


async def test_the_count_of_the_live_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore
) -> None:
    census = MongoCensus(watched.client, watched.database.name)
    assert public(MongoCensus) == {"unfinished", "due"}
    watched.watch()
    found = await census.unfinished()
    assert {group.status for group in found} == set(UNFINISHED)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 1


async def test_the_count_of_the_due_jobs_walks_an_index_once_for_each_service(
    watched: Watched, store: MongoJobStore
) -> None:
    census = MongoCensus(watched.client, watched.database.name)
    services = {SERVICE, "billing", "media"}
    await store.record([new_job(status=Status.PENDING, service="billing") for _ in range(3)])
    watched.watch()
    found = await census.due(services, SILENT, 10_000)
    assert found["billing"] == 3
    assert found.keys() == services
    assert await watched.scans() == []
    assert len(watched.listener.queries) == len(services)
