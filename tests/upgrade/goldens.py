"""The records that a release leaves in the database, kept as MongoDB's extended JSON."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from bson import json_util
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from tests.upgrade.releases import HOME, Code, Release

GOLDENS: Final = HOME / "goldens"
SCRIBE: Final = HOME / "scribe.py"
WITHIN: Final = 60.0
OPTIONS: Final = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True)
MOST: Final = 1_000
"""Documents of a collection."""
UNSETTLED: Final = {"write_checks": ("at",)}
"""Fields that hold the time of the run."""

Documents = dict[str, list[dict[str, Any]]]
"""By collection, sorted by `_id`."""


def golden_folder(release: Release) -> Path:
    """Where the goldens of a release are."""
    return GOLDENS / release.version


async def documents_of(code: Code, uri: str, database: str) -> Documents:
    """What the scribe writes with this code into an empty database."""
    async with code.program("scribe", SCRIBE, uri, database, env={}) as scribe:
        status = await scribe.wait(WITHIN)
    if status:
        raise RuntimeError("\n".join(scribe.lines))
    return await stored(uri, database)


async def stored(uri: str, database: str) -> Documents:
    """All documents of a database."""
    async with _database(uri, database) as stands:
        found: Documents = {
            name: await stands[name].find().sort("_id").to_list(MOST)
            for name in sorted(await stands.list_collection_names())
        }
    return {name: [_settled(name, each) for each in content] for name, content in found.items()}


@asynccontextmanager
async def _database(uri: str, name: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, timeoutMS=30_000, tz_aware=True
    )
    async with client:
        yield client[name]


def _settled(collection: str, document: Mapping[str, Any]) -> dict[str, Any]:
    hidden = UNSETTLED.get(collection, ())
    return {name: value for name, value in document.items() if name not in hidden}


async def fill(uri: str, database: str, documents: Documents) -> None:
    """Store them in a database."""
    async with _database(uri, database) as filled:
        for name, content in documents.items():
            await filled[name].insert_many(content)


def write_goldens(folder: Path, documents: Documents) -> None:
    """Write a file for each collection. Raises `FileExistsError` for a repeat."""
    folder.mkdir(parents=True)
    for name, content in documents.items():
        text = json_util.dumps(content, json_options=OPTIONS, indent=1)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def read_goldens(folder: Path) -> Documents:
    """Read them back, with times in UTC."""
    return {
        path.stem: json_util.loads(path.read_text(encoding="utf-8"), json_options=OPTIONS)
        for path in sorted(folder.glob("*.json"))
    }
