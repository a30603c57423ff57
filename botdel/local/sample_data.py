"""Where the sample services keep their data: collections, a bucket, and a third-party API."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

import httpx
from aiobotocore.session import get_session
from bson import ObjectId

from botdel.local.billing import Account, Mood
from botdel.local.s3 import KEY, REGION, SECRET
from deletion.adapters.mongo.connection import Collection, Document
from deletion.adapters.unproxied import unproxied

INSERT_BATCH: Final = 2_000
"""Documents in one insert."""
UPLOADS: Final = 8
"""Files that are uploaded at a time."""

Census = Mapping[str, frozenset[Any]]
"""What each bot has in one place, by its id."""


class Data(Protocol):
    """One place where a service keeps data of bots."""

    async def census(self) -> Census:
        """Return everything there."""

    async def left(self, bots: Sequence[str]) -> int:
        """Return how many items there belong to `bots`."""

    async def clear(self) -> None:
        """Remove everything."""


@dataclass(frozen=True, slots=True)
class Documents:
    """A collection whose `field` is the bot's id, as an ObjectId or as text."""

    collection: Collection
    field: str = "botId"
    as_text: bool = False

    def owner(self, bot: str) -> ObjectId | str:
        """Return the id as it is stored."""
        return bot if self.as_text else ObjectId(bot)

    async def fill(self, documents: Iterable[Document]) -> None:
        """Replace everything there."""
        await self.clear()
        await self.collection.create_index([(self.field, 1), ("_id", 1)])
        remaining = iter(documents)
        while batch := list(islice(remaining, INSERT_BATCH)):
            await self.collection.insert_many(batch, ordered=False)

    async def census(self) -> Census:
        """Return the `_id`s."""
        found: dict[str, set[Any]] = {}
        async for document in self.collection.find({}, {self.field: 1}):
            found.setdefault(str(document[self.field]), set()).add(document["_id"])
        return {bot: frozenset(ids) for bot, ids in found.items()}

    async def left(self, bots: Sequence[str]) -> int:
        """See `Data`."""
        owners = [self.owner(bot) for bot in bots]
        return await self.collection.count_documents({self.field: {"$in": owners}})

    async def clear(self) -> None:
        """See `Data`."""
        await self.collection.delete_many({})


@dataclass(frozen=True, slots=True)
class Files:
    """A bucket of the S3 server at `url`, with a folder for each bot."""

    url: str
    bucket: str

    async def create(self) -> None:
        """Create the bucket."""
        async with self._client() as s3:
            await s3.create_bucket(Bucket=self.bucket)

    async def fill(self, files: Mapping[str, bytes]) -> None:
        """Put every file under its key."""
        limit = asyncio.Semaphore(UPLOADS)
        async with self._client() as s3:

            async def put(key: str, body: bytes) -> None:
                async with limit:
                    await s3.put_object(Bucket=self.bucket, Key=key, Body=body)

            await asyncio.gather(*(put(key, body) for key, body in files.items()))

    async def census(self) -> Census:
        """Return the keys."""
        found: dict[str, set[str]] = {}
        async with self._client() as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
            async for page in pages:
                for each in page.get("Contents", ()):
                    found.setdefault(each["Key"].split("/")[1], set()).add(each["Key"])
        return {bot: frozenset(keys) for bot, keys in found.items()}

    async def left(self, bots: Sequence[str]) -> int:
        """See `Data`."""
        census = await self.census()
        return sum(len(census.get(bot, ())) for bot in bots)

    async def clear(self) -> None:
        """Nothing to do: the server ends with the installation, and its objects with it."""

    def _client(self) -> Any:
        return get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of the billing API at `url`."""

    url: str

    async def fill(self, accounts: Mapping[str, Account]) -> None:
        """Replace everything there."""
        stored = {bot: account.model_dump() for bot, account in accounts.items()}
        await self._control("PUT", "accounts", json=stored)

    async def census(self) -> Census:
        """Return the state of each account, so that a changed account is seen as another."""
        accounts = (await self._control("GET", "accounts")).json()
        return {bot: frozenset([Account(**state)]) for bot, state in accounts.items()}

    async def left(self, bots: Sequence[str]) -> int:
        """See `Data`."""
        return len((await self.census()).keys() & set(bots))

    async def clear(self) -> None:
        """See `Files.clear`."""

    async def feel(self, mood: Mood) -> None:
        """Set the mood in which the API answers from now on."""
        await self._control("PUT", "mood", params={"mood": mood.value})

    async def calls(self, mood: Mood) -> int:
        """Return how many calls the API has got in this mood."""
        return int((await self._control("GET", "calls")).json().get(mood.value, 0))

    async def _control(self, method: str, what: str, **given: Any) -> httpx.Response:
        async with unproxied(base_url=self.url) as client:
            answer = await client.request(method, f"/control/{what}", **given)
        return answer.raise_for_status()
