"""Old and new code read what the other has written, as long as both run, and after a rollback."""

import json
from typing import Any

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Direction, Status
from deletion.sweep import SweepStatus
from tests.upgrade.goldens import (
    WITHIN,
    Documents,
    documents_of,
    fill,
    golden_folder,
    read_goldens,
)
from tests.upgrade.release_fixture import NotReleased, keep
from tests.upgrade.releases import HOME, TODAY, Code, Release, releases


async def problems(code: Code, mongo: EmbeddedMongo, database: str) -> dict[str, Any]:
    """What this code cannot read of the database."""
    reader = code.program("reader", HOME / "reader.py", mongo.uri, database, env={})
    async with reader:
        status = await reader.wait(WITHIN)
    assert status == 0, list(reader.lines)
    read: dict[str, dict[str, str | None]] = json.loads(reader.lines[-1])
    assert all(read.values()), "nothing was read"
    return {
        f"{name} {id_}": problem
        for name, records in read.items()
        for id_, problem in records.items()
        if problem
    }


def values(documents: Documents, collection: str, field: str) -> set[Any]:
    return {document[field] for document in documents[collection]}


@pytest.mark.parametrize("release", releases(), ids=lambda release: release.version)
def test_a_release_is_kept_as_it_was(release: Release) -> None:
    assert release.is_genuine
    assert golden_folder(release).is_dir()


def test_a_release_is_never_kept_twice(last_release: Release) -> None:
    with pytest.raises(NotReleased, match="a release does not change"):
        keep(last_release.wheel)


@pytest.mark.parametrize("release", releases(), ids=lambda release: release.version)
def test_goldens_have_records_of_every_kind(release: Release) -> None:
    goldens = read_goldens(golden_folder(release))

    assert values(goldens, "deletion_jobs", "status") == {*map(str, Status)}
    assert values(goldens, "deletion_jobs", "direction") == {*map(str, Direction)}
    assert values(goldens, "dead_letters", "status") == {*map(str, DeadLetterStatus)}
    assert values(goldens, "dead_letters", "reason") == {*map(str, Reason)}
    assert values(goldens, "recovery_sweeps", "status") == {*map(str, SweepStatus)}


async def test_the_goldens_are_what_the_release_writes(
    old: Code, last_release: Release, mongo: EmbeddedMongo, database_name: str
) -> None:
    written = await documents_of(old, mongo.uri, database_name)

    assert written == read_goldens(golden_folder(last_release))


@pytest.mark.proves("mixed-versions")
@pytest.mark.parametrize("release", releases(), ids=lambda release: release.version)
async def test_what_a_release_has_written_is_read_today(
    release: Release, mongo: EmbeddedMongo, database_name: str
) -> None:
    await fill(mongo.uri, database_name, read_goldens(golden_folder(release)))

    assert await problems(TODAY, mongo, database_name) == {}


@pytest.mark.proves("mixed-versions")
async def test_what_is_written_today_is_read_by_the_last_release(
    old: Code, mongo: EmbeddedMongo, database_name: str
) -> None:
    await documents_of(TODAY, mongo.uri, database_name)

    assert await problems(old, mongo, database_name) == {}
