"""The data of two services: what each bot has there, what comes back, and what is left."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from deletion.adapters.mongo.owner import FieldType
from tests.support.pipeline import WITHIN

DOCUMENTS: Final = (20, 60)
"""Of each bot in each service, at the least and at the most."""
BATCH_SIZE: Final = 5
"""Documents: most runs are long enough to be hit in the middle."""
TRY_EVERY: Final = 0.5
"""Seconds between two tries while the database is away."""

Document = dict[str, Any]
Census = Mapping[tuple[str, str], frozenset[Any]]
"""For each service and bot, the `_id`s of its documents."""


@dataclass(frozen=True, slots=True)
class Owned:
    """The one collection of a service, and the field of it that holds the bot."""

    service: str
    collection: str
    field: str
    field_type: FieldType

    def plan(self, database: str) -> str:
        """The service's plan file."""
        return (
            f"service: {self.service}\n"
            "steps:\n"
            f"  - name: {self.collection}\n"
            f"    mongo: {{database: {database}, collection: {self.collection}, "
            f"field: {self.field}, field_type: {self.field_type}, batch_size: {BATCH_SIZE}}}\n"
        )

    def documents(self, bot: str, rng: random.Random) -> list[Document]:
        """New ones of the bot, some dozens."""
        owner = ObjectId(bot) if self.field_type == "objectid" else bot
        return [{self.field: owner, "n": n} for n in range(rng.randint(*DOCUMENTS))]


OWNED: Final = (
    Owned("conversations", "messages", "botId", "objectid"),
    Owned("analytics", "events", "bot", "string"),
)
SERVICES: Final = tuple(owned.service for owned in OWNED)


class Data:
    """All of it, in one database."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database

    async def fill(self, bots: int, rng: random.Random) -> list[str]:
        """Documents of so many bots in both services; the ids of the bots.

        Those of one bot lie among the others': a range of its `_id`s is not its alone.
        """
        ids = [str(ObjectId()) for _ in range(bots)]
        for owned in OWNED:
            collection = self._database[owned.collection]
            await collection.create_index([(owned.field, 1), ("_id", 1)])
            documents = [document for bot in ids for document in owned.documents(bot, rng)]
            rng.shuffle(documents)
            await collection.insert_many(documents)  # in this order the `_id`s are given
        return ids

    async def write_again(self, bot: str, rng: random.Random) -> None:
        """More data of a bot that is being deleted, however often the database goes away."""
        async with asyncio.timeout(WITHIN):
            for owned in OWNED:
                for document in owned.documents(bot, rng):
                    await self._write(owned, {"_id": ObjectId()} | document)

    async def _write(self, owned: Owned, document: Document) -> None:
        while True:
            with suppress(PyMongoError):
                await self._database[owned.collection].replace_one(
                    {"_id": document["_id"]}, document, upsert=True
                )
                return
            await asyncio.sleep(TRY_EVERY)

    async def census(self) -> Census:
        """Every document there is."""
        found: dict[tuple[str, str], set[Any]] = {}
        for owned in OWNED:
            async for document in self._database[owned.collection].find({}, {owned.field: True}):
                bot = str(document[owned.field])
                found.setdefault((owned.service, bot), set()).add(document["_id"])
        return {owner: frozenset(ids) for owner, ids in found.items()}
