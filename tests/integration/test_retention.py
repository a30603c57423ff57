"""The TTL index of complete jobs on the real server: opt-in, and never changed once it exists."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import Client, Database, connect
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.mongo.retention import (
    FINISHED,
    apply_retention,
    retention_difference,
)
from deletion.job import Job, Status
from tests.support.factories import new_job
from tests.support.indexed import indexed
from tests.support.pipeline import until

DAY = 86_400


@pytest.fixture
def database(client: Client, database_name: str) -> Database:
    return client[database_name]


@pytest.mark.proves("retention")
async def test_without_the_setting_no_job_is_ever_deleted(database: Database) -> None:
    assert await apply_retention(database, None) is None
    assert FINISHED not in await database[COLLECTION].index_information()


@pytest.mark.proves("retention")
async def test_it_is_created_once_and_for_complete_jobs_alone(database: Database) -> None:
    for _ in range(2):
        assert await apply_retention(database, 31) is None
    index = (await database[COLLECTION].index_information())[FINISHED]
    assert index["expireAfterSeconds"] == 31 * DAY
    assert dict(index["partialFilterExpression"]) == {"status": "complete", "unreported": None}
    assert index["key"] == [("finishedAt", 1)]


@pytest.mark.parametrize(("days", "said"), [(None, "is not set"), (90, "is 90")])
async def test_one_that_differs_is_told_and_left_as_it_is(
    database: Database, days: int | None, said: str
) -> None:
    await apply_retention(database, 31)
    difference = await apply_retention(database, days)
    assert difference is not None
    assert difference == await retention_difference(database, days)
    assert f"after 31 days, and BOTDEL_KEEP_COMPLETE_DAYS {said}" in difference.what
    assert f'db.{COLLECTION}.dropIndex("{FINISHED}")' in difference.remedy
    assert ("botdel topology apply" in difference.remedy) is (days is not None)
    index = (await database[COLLECTION].index_information())[FINISHED]
    assert index["expireAfterSeconds"] == 31 * DAY


async def test_after_a_drop_it_is_as_the_setting_says(database: Database) -> None:
    await apply_retention(database, 31)
    await database[COLLECTION].drop_index(FINISHED)
    assert await apply_retention(database, 90) is None
    index = (await database[COLLECTION].index_information())[FINISHED]
    assert index["expireAfterSeconds"] == 90 * DAY


@pytest.mark.proves("retention")
async def test_an_index_of_an_earlier_version_which_forgets_the_ledger_is_reported(
    database: Database,
) -> None:
    await database[COLLECTION].create_index(
        [("finishedAt", 1)],
        name=FINISHED,
        expireAfterSeconds=31 * DAY,
        partialFilterExpression={"status": "complete"},
    )
    difference = await apply_retention(database, 31)
    assert difference is not None
    assert "that the request ledger has not settled yet" in difference.what
    assert f'db.{COLLECTION}.dropIndex("{FINISHED}")' in difference.remedy
    await database[COLLECTION].drop_index(FINISHED)
    assert await apply_retention(database, 31) is None


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
        assert await apply_retention(client["expiring"], 31) is None

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
