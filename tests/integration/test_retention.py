"""The TTL indexes on the real server: opt-in, and never changed once they exist."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import Client, Database, Document, connect
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.requests import COLLECTION as REQUESTS
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.mongo.retention import (
    COMPLETE_JOBS,
    SETTLED_REQUESTS,
    Retention,
    apply_retention,
    retention_difference,
)
from deletion.job import Job, Status
from deletion.ledger import RequestChange
from deletion.request import DeletionRequest
from tests.support.factories import a_deletion_request, new_job
from tests.support.indexed import indexed
from tests.support.pipeline import until

DAY = 86_400


@pytest.fixture
def database(client: Client, database_name: str) -> Database:
    return client[database_name]


@pytest.fixture(params=[COMPLETE_JOBS, SETTLED_REQUESTS], ids=lambda kept: kept.collection)
def kept(request: pytest.FixtureRequest) -> Retention:
    assert isinstance(request.param, Retention)
    return request.param


async def index_of(database: Database, kept: Retention) -> Document:
    return dict((await database[kept.collection].index_information())[kept.index])


@pytest.mark.proves("retention")
async def test_without_the_setting_no_record_is_ever_deleted(
    database: Database, kept: Retention
) -> None:
    assert await apply_retention(database, kept, None) is None
    assert kept.index not in await database[kept.collection].index_information()


@pytest.mark.proves("retention")
async def test_it_is_created_once_and_for_what_nobody_needs_alone(
    database: Database, kept: Retention
) -> None:
    for _ in range(2):
        assert await apply_retention(database, kept, 32) is None
    index = await index_of(database, kept)
    assert index["expireAfterSeconds"] == 32 * DAY
    assert dict(index["partialFilterExpression"]) == kept.only
    assert index["key"] == [(kept.field, 1)]


@pytest.mark.parametrize(("days", "said"), [(None, "is not set"), (90, "is 90")])
async def test_one_that_differs_is_told_and_left_as_it_is(
    database: Database, kept: Retention, days: int | None, said: str
) -> None:
    await apply_retention(database, kept, 32)
    difference = await apply_retention(database, kept, days)
    assert difference is not None
    assert difference == await retention_difference(database, kept, days)
    assert f"after 32 days, and {kept.setting} {said}" in difference.what
    assert f'db.{kept.collection}.dropIndex("{kept.index}")' in difference.remedy
    assert ("botdel topology apply" in difference.remedy) is (days is not None)
    assert (await index_of(database, kept))["expireAfterSeconds"] == 32 * DAY


async def test_after_a_drop_it_is_as_the_setting_says(database: Database, kept: Retention) -> None:
    await apply_retention(database, kept, 32)
    await database[kept.collection].drop_index(kept.index)
    assert await apply_retention(database, kept, 90) is None
    assert (await index_of(database, kept))["expireAfterSeconds"] == 90 * DAY


@pytest.mark.proves("retention")
async def test_an_index_that_deletes_what_is_needed_is_reported(
    database: Database, kept: Retention
) -> None:
    await database[kept.collection].create_index(
        [(kept.field, 1)],
        name=kept.index,
        expireAfterSeconds=32 * DAY,
        partialFilterExpression={"status": "complete"},
    )
    difference = await apply_retention(database, kept, 32)
    assert difference is not None
    assert f"it deletes {kept.also_deleted}" in difference.what
    assert f'db.{kept.collection}.dropIndex("{kept.index}")' in difference.remedy
    await database[kept.collection].drop_index(kept.index)
    assert await apply_retention(database, kept, 32) is None


class Sweeping(EmbeddedMongo):
    """A database that looks for what has expired every second: MongoDB does once a minute."""

    def command(self, port: int) -> list[str | Path]:
        _, *options = super().command(port)
        often = "SecantusDBServer.__init__.__kwdefaults__['ttl_sweep_seconds'] = 1"
        started = f"from secantus import cli; cli.{often}; cli.main()"
        return [sys.executable, "-c", started, *options]


@pytest.mark.proves("retention")
async def test_only_complete_jobs_that_the_ledger_has_settled_expire(tmp_path: Path) -> None:
    """On a server that really deletes."""
    old = datetime.now(UTC) - timedelta(days=40)
    async with Sweeping(tmp_path) as server:
        client = connect(server.uri)
        store = await indexed(MongoJobStore, client, "expiring")
        reported, unreported = (new_job(Status.COMPLETE, finished_at=old) for _ in range(2))
        recent = new_job(Status.COMPLETE, finished_at=datetime.now(UTC))
        failed = new_job(Status.FAILED, finished_at=old)
        await store.record([reported, unreported, recent, failed])
        ledger = MongoCoverageStore(client, "expiring")
        await ledger.mark_reported([reported.id, recent.id])
        assert await apply_retention(client["expiring"], COMPLETE_JOBS, 31) is None

        async def left() -> set[str]:
            return {job.id for job in await store.find(limit=9)}

        async def expires(job: Job) -> None:
            async def is_gone() -> bool:
                return job.id not in await left()

            await until(is_gone)

        await expires(reported)
        assert await left() == {unreported.id, recent.id, failed.id}
        await ledger.mark_reported([unreported.id])
        await expires(unreported)
        assert await left() == {recent.id, failed.id}
        client.close()


@pytest.mark.proves("retention")
async def test_only_settled_requests_of_which_everybody_knows_expire(tmp_path: Path) -> None:
    """On a server that really deletes. An open one stays, however old."""
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=400)
    async with Sweeping(tmp_path) as server:
        client = connect(server.uri)
        store = await indexed(MongoRequestStore, client, "expiring")
        settled = a_deletion_request("media", now=old).completed("media", "job", old)
        called, uncalled = settled.announced(None), replace(settled, id=str(uuid4())).announced(old)
        unannounced = replace(settled, id=str(uuid4()))
        is_open = a_deletion_request("media", now=old)
        recent = a_deletion_request("media").completed("media", "job", datetime.now(UTC))
        left = [uncalled, unannounced, is_open, replace(recent, chores={})]
        await store.record([called, *left])
        assert await apply_retention(client["expiring"], SETTLED_REQUESTS, 32) is None

        async def kept() -> set[str]:
            found = await client["expiring"][REQUESTS].find({}).to_list(None)
            return {str(document["_id"]) for document in found}

        async def expires(request: DeletionRequest) -> None:
            async def is_gone() -> bool:
                return request.id not in await kept()

            await until(is_gone)

        await expires(called)
        assert await kept() == {each.id for each in left}
        await store.save([RequestChange(uncalled, uncalled.called())])
        await expires(uncalled)
        assert await kept() == {each.id for each in left[1:]}
        client.close()
