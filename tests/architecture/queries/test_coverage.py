"""Every query of the ledger for jobs walks an index."""

from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.adapters.mongo.coverage import ASKED, MongoCoverageStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.silence import EPOCH
from tests.support.factories import LATER, new_job
from tests.support.measured import Watched, public


@pytest.fixture
def coverage(watched: Watched, store: MongoJobStore) -> MongoCoverageStore:
    """The jobs of `store` as the ledger sees them."""
    return MongoCoverageStore(watched.client, watched.database.name)


@pytest.mark.proves("every-query-indexed")
async def test_every_query_of_the_ledger_for_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore, coverage: MongoCoverageStore
) -> None:
    assert public(MongoCoverageStore) == {"unreported", "mark_reported", "covering"}
    jobs = [new_job() for _ in range(10)]
    await store.record(jobs)
    for job in jobs:
        await store.apply(job.complete(LATER))
    watched.watch()
    assert len(await coverage.unreported(LATER, LATER, 5)) == 5
    assert await coverage.unreported(EPOCH, EPOCH, 100) == []
    await coverage.mark_reported([job.id for job in jobs])
    asked = [(job.bot_id, job.event_id) for job in jobs]
    assert len(await coverage.covering(asked)) == 10
    unknown = [(str(ObjectId()), str(uuid4())) for _ in range(2 * ASKED + 1)]
    assert await coverage.covering(unknown) == []
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 7
    asked_for = [len(query["filter"]["eventIds"]["$in"]) for query in watched.listener.queries[-3:]]
    assert asked_for == [ASKED, ASKED, 1]
