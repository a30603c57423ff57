"""A process requires its unique indexes, and builds none where that could take a day."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from bson import Binary
from pymongo import IndexModel
from pymongo.errors import OperationFailure
from structlog.testing import capture_logs

from deletion.adapters.mongo.connection import Database, build_indexes, connect
from deletion.adapters.mongo.indexes import gap, missing_indexes, prepare, require_indexes
from deletion.adapters.mongo.step import MongoStep
from deletion.errors import BuildInterrupted, ConfigurationError, StoreUnavailable
from tests.support.fake_mongo import REPLICA_SET, FakeMongo, failure

UNIQUE = IndexModel([("botId", 1), ("service", 1)], name="live_unique", unique=True)
PLAIN = IndexModel([("status", 1), ("_id", 1)], name="status_id")
WANTED = (UNIQUE, PLAIN)
PRIMARY_KEY = {"v": 2, "name": "_id_", "key": {"_id": 1}}


class Indexed:
    """A server whose collections have the indexes of `there`; None for none that answers."""

    def __init__(self) -> None:
        self.there: Sequence[dict[str, Any]] | None = ()
        self.building: Sequence[dict[str, Any]] = ()
        self.has_election = False  # during a build
        self.elections = 0  # while its indexes are listed
        self.refuses = 0  # the error code for the option that tells which are being built
        self.server = FakeMongo(REPLICA_SET, self._reply)

    def has(self, *indexes: IndexModel) -> None:
        self.there = [{"v": 2, **index.document} for index in indexes]

    @property
    def created(self) -> list[str]:
        return [command["createIndexes"] for command in self.server.sent("createIndexes")]

    def _reply(self, command: dict[str, Any]) -> dict[str, Any]:
        if "listIndexes" in command and self.elections:
            self.elections -= 1
            return failure(10107)
        if "listIndexes" in command and self.there is not None:
            found = [PRIMARY_KEY, *self.there, *self.building]
            if "includeIndexBuildInfo" in command:
                if self.refuses:
                    return failure(self.refuses)
                found = [{"spec": index} for index in (PRIMARY_KEY, *self.there)]
                state = {"buildUUID": Binary(bytes(16), 4)}
                found += [{"spec": index, "indexBuildInfo": state} for index in self.building]
            return {"cursor": {"id": 0, "ns": "d.$cmd.listIndexes", "firstBatch": found}}
        is_away = self.there is None or (self.has_election and "createIndexes" in command)
        return failure(189) if is_away else {}


@pytest.fixture
async def indexed() -> AsyncIterator[Indexed]:
    indexed = Indexed()
    async with indexed.server:
        yield indexed


@pytest.fixture
async def database(indexed: Indexed) -> AsyncIterator[Database]:
    client = connect(indexed.server.uri)
    yield client["d"]
    client.close()


@pytest.mark.proves("indexes-required")
async def test_without_a_unique_index_a_process_refuses_to_start_and_says_what_to_do(
    indexed: Indexed, database: Database
) -> None:
    indexed.has(PLAIN)
    with pytest.raises(ConfigurationError, match=r"in d\.jobs: live_unique; run `botdel topology"):
        await prepare(database, {"jobs": WANTED}, build=False)
    assert indexed.created == [], "it only looks"


@pytest.mark.proves("indexes-required")
async def test_without_an_index_that_its_loops_walk_a_process_refuses_to_start(
    indexed: Indexed, database: Database
) -> None:
    indexed.has(*WANTED)
    due = IndexModel([("due", 1)], name="due", sparse=True)
    with pytest.raises(ConfigurationError, match=r"in d\.jobs: due; run `botdel topology apply"):
        await prepare(database, {"jobs": [*WANTED, due]}, build=False)


@pytest.mark.proves("indexes-required")
async def test_an_index_that_is_still_being_built_is_missing_and_said_to_be_built(
    indexed: Indexed, database: Database
) -> None:
    indexed.has(PLAIN)
    indexed.building = [{"v": 2, **UNIQUE.document}]
    with pytest.raises(ConfigurationError, match=r"live_unique \(still being built: live_unique\)"):
        await require_indexes(database["jobs"], WANTED)


@pytest.mark.proves("indexes-required")
async def test_a_step_whose_index_is_still_being_built_lacks_it(
    indexed: Indexed, database: Database
) -> None:
    step = MongoStep("messages", database["messages"], "botId")
    indexed.building = [{"v": 2, "name": "owner", "key": {"botId": 1, "_id": 1}}]
    assert "it is still being built" in (await step.missing() or "")
    indexed.there, indexed.building = indexed.building, ()
    assert await step.missing() is None


@pytest.mark.parametrize("code", [9, 72, 115, 238, 323, 40415])
async def test_a_server_that_does_not_tell_what_it_builds_is_asked_for_its_indexes_alone(
    indexed: Indexed, database: Database, code: int
) -> None:
    indexed.has(*WANTED)
    indexed.refuses = code
    assert not await missing_indexes(database["jobs"], WANTED)


async def test_any_other_error_of_a_server_is_not_taken_for_a_refused_option(
    indexed: Indexed, database: Database
) -> None:
    indexed.has(*WANTED)
    indexed.refuses = 13  # Unauthorized
    with pytest.raises(OperationFailure):
        await missing_indexes(database["jobs"], WANTED)


async def test_a_collection_that_does_not_exist_has_no_indexes(
    indexed: Indexed, database: Database
) -> None:
    indexed.refuses = 26
    assert (await missing_indexes(database["jobs"], WANTED)).missing == ("live_unique", "status_id")


@pytest.mark.parametrize(
    "instead",
    [
        IndexModel([("botId", 1), ("service", 1)], name="live_unique"),
        IndexModel([("botId", 1)], name="live_unique", unique=True),
        IndexModel(
            [("botId", 1), ("service", 1)],
            name="live_unique",
            unique=True,
            partialFilterExpression={"live": True},
        ),
    ],
    ids=["not unique", "other keys", "for fewer documents"],
)
async def test_an_index_that_only_has_the_name_is_none(
    indexed: Indexed, database: Database, instead: IndexModel
) -> None:
    indexed.has(PLAIN, instead)
    with pytest.raises(ConfigurationError, match="live_unique"):
        await require_indexes(database["jobs"], WANTED)


async def test_any_other_index_that_is_missing_is_a_warning(
    indexed: Indexed, database: Database
) -> None:
    indexed.has(UNIQUE)
    with capture_logs() as logs:
        await prepare(database, {"jobs": WANTED, "letters": [UNIQUE]}, build=False)
    [warning] = logs
    assert warning["log_level"] == "warning"
    assert (warning["collection"], warning["indexes"]) == ("d.jobs", ["status_id"])
    assert indexed.created == []


async def test_with_every_index_in_place_nothing_is_said(
    indexed: Indexed, database: Database
) -> None:
    indexed.has(*WANTED, IndexModel([("of", 1)], name="somebody_elses"))
    with capture_logs() as logs:
        await prepare(database, {"jobs": WANTED}, build=False)
    assert logs == []
    assert not await missing_indexes(database["jobs"], WANTED)


async def test_the_local_set_up_builds_what_is_missing(
    indexed: Indexed, database: Database
) -> None:
    await prepare(database, {"jobs": WANTED, "letters": [UNIQUE]}, build=True)
    assert indexed.created == ["jobs", "letters"]


async def test_a_database_that_does_not_answer_is_no_missing_index(
    indexed: Indexed, database: Database
) -> None:
    indexed.there = None
    with pytest.raises(StoreUnavailable):
        await prepare(database, {"jobs": WANTED}, build=False)


async def test_one_election_while_the_indexes_are_listed_is_survived(
    indexed: Indexed, database: Database
) -> None:
    """As it is by the driver's own reads; a command of any other kind is sent once."""
    indexed.has(*WANTED)
    indexed.elections = 1
    assert not await missing_indexes(database["jobs"], WANTED)
    indexed.elections = 2
    with pytest.raises(StoreUnavailable):
        await missing_indexes(database["jobs"], WANTED)


async def test_an_election_during_a_build_is_told_from_a_database_that_was_away_before(
    indexed: Indexed, database: Database
) -> None:
    indexed.has_election = True
    with pytest.raises(BuildInterrupted):
        await build_indexes(database["jobs"], WANTED)
    indexed.there = None
    with pytest.raises(StoreUnavailable) as away:
        await build_indexes(database["jobs"], WANTED)
    assert not isinstance(away.value, BuildInterrupted)


def test_a_gap_names_what_is_missing_apart_from_what_differs() -> None:
    found = {"status_id": {"key": [("status", 1)]}}
    assert gap(WANTED, found).missing == ("live_unique",)
    assert gap(WANTED, found).differing == ("status_id",)
