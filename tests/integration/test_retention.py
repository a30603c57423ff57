"""The TTL index of complete jobs on the real server: opt-in, and never changed once it exists."""

import pytest

from deletion.adapters.mongo.connection import Client, Database
from deletion.adapters.mongo.jobs import COLLECTION
from deletion.adapters.mongo.retention import (
    FINISHED,
    apply_retention,
    retention_difference,
)

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
    assert dict(index["partialFilterExpression"]) == {"status": "complete"}
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
