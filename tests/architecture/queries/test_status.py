"""Every query of a status walks an index."""

from uuid import uuid4

from console.mongo_jobs import MongoDeletionJobs
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.job import Job, Status
from tests.conformance.job_store.jobs import SILENT
from tests.support.measured import Watched, public


async def look(seen: MongoDeletionJobs, job: Job) -> None:
    """The job of a request among those of other services and requests; and its place."""
    found = await seen.covering(job.bot_id, [job.service, "media"], [job.event_id, str(uuid4())])
    assert [each.job.id for each in found] == [job.id]
    await seen.count_due(job.service, SILENT, 100)


async def test_every_query_of_a_status_walks_an_index(
    watched: Watched, store: MongoJobStore
) -> None:
    assert public(MongoDeletionJobs) == {"covering", "count_due"}
    [job] = await store.find(status=Status.PENDING, limit=1)
    assert isinstance(job, Job)
    watched.watch()
    await look(MongoDeletionJobs(watched.client, watched.database.name), job)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 2


async def test_it_is_seen_when_an_index_of_a_status_is_missing(
    watched: Watched, bare_store: MongoJobStore
) -> None:
    [job] = await bare_store.find(status=Status.FAILED, limit=1)
    assert isinstance(job, Job)
    watched.watch()
    await look(MongoDeletionJobs(watched.client, watched.database.name), job)
    assert len(await watched.scans()) == 2
