"""The step that deletes a bot's objects from one bucket."""

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from deletion.adapters.objects.bucket import (
    PER_REQUEST,
    Bucket,
    Item,
    Mark,
    OpenBucket,
    Page,
    Refusal,
    Way,
    WayEnds,
)
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.plan import Batch

BOT_ID: Final = "{bot_id}"
COUNT_SECONDS: Final = 60.0
CALL_SECONDS: Final = 10.0
"""How long one call may take by default."""
SAMPLE: Final = PER_REQUEST
"""Objects that `faults` looks at, in the order of their keys."""
STRONG: Final = "strong"
"""Every provider here lists what was written before: strong consistency, by their documentation."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deletion goes on: the way it was on, and the key it had come to."""

    way: str | None = None
    behind: Mark | None = None

    @classmethod
    def of(cls, cursor: str | None) -> "Place":
        """The place that `text` was written for."""
        if cursor is None:
            return cls()
        way, behind = json.loads(cursor)
        return cls(way, None if behind is None else (behind, None))

    @property
    def text(self) -> str:
        """The cursor of a checkpoint."""
        return json.dumps([self.way, self.behind and self.behind[0]], ensure_ascii=False)


@dataclass(slots=True)
class ObjectsStep:
    """Lists what lies under the bot's prefix page by page, and deletes each page.

    Every page is a listing begun anew, at the beginning or behind a key: no token of the
    provider's has to outlive the deletes. `batch_size` bounds a page, and so memory and a batch.
    """

    name: str
    bucket: Bucket
    prefix: str
    retained_is_accepted: bool = False
    batch_size: int = PER_REQUEST
    call_seconds: float = CALL_SECONDS
    read_back: str | None = dataclasses.field(default=None, init=False)
    """See `deletion.plan.Verified`: how it was read back, and until when the provider keeps it."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Take each of the bucket's ways in turn, from `cursor` on.

        Raises `ObjectsUnavailable` for what may pass, and `ObjectsRefused`, which names the object,
        for what the provider will not delete.
        """
        prefix, place = self._prefix(bot_id), Place.of(cursor)
        async with self._opened() as bucket:
            ways = await self._bounded_ways(bucket)
            names = [way.name for way in ways]
            first = names.index(place.way) if place.way in names else 0
            behind = place.behind if place.way in names else None
            for way in ways[first:]:
                async with aclosing(self._along(way, prefix, behind)) as batches:
                    async for batch in batches:
                        yield batch
                behind = None

    async def is_empty(self, bot_id: str) -> bool:
        """One look along each exact way, versions and unfinished uploads included.

        Raises `ObjectsRefused` when the provider keeps what was deleted and nobody accepted that.
        """
        prefix = self._prefix(bot_id)
        async with self._opened() as bucket:
            for way in _exact(await self._bounded_ways(bucket)):
                if await self._finds(way, prefix):
                    return False
            async with self._bounded(COUNT_SECONDS):
                until = await bucket.retained_until(prefix)
        if until and not self.retained_is_accepted:
            raise ObjectsRefused(
                f"{self.bucket.url} keeps deleted objects of this bot until {until:%Y-%m-%d}, and "
                "nobody can shorten that: say `retained: accept`, or turn its soft delete off"
            )
        self.read_back = f"retained until {until:%Y-%m-%d}" if until else STRONG
        return True

    async def count(self, bot_id: str) -> int:
        """Along each exact way, within `COUNT_SECONDS`; every version is one."""
        prefix, found = self._prefix(bot_id), 0
        async with self._bounded(COUNT_SECONDS), self._opened() as bucket:
            for way in _exact(await bucket.ways()):
                page = await way.page(prefix, None, PER_REQUEST)
                found += len(page.items)
                while not page.is_last:
                    page = await way.page(prefix, page.onward, PER_REQUEST)
                    found += len(page.items)
        return found

    async def faults(self) -> Sequence[str] | None:
        """What the bucket is set up wrongly for, and whether its keys look like the prefix."""
        try:
            async with self._opened() as bucket:
                async with self._bounded():
                    wrong = [*await bucket.faults(accepted=self.retained_is_accepted)]
                ways = await self._bounded_ways(bucket)
                literal = self.prefix.partition(BOT_ID)[0]
                page = await self._page(_exact(ways)[0], literal, None, SAMPLE)
        except ObjectsRefused as error:
            return [str(error)]
        keys = [item.key for item in page.items if item.key != literal]  # a marker
        pattern = re.compile(re.escape(self.prefix).replace(re.escape(BOT_ID), "[0-9a-f]{24}"))
        if keys and not any(pattern.match(key) for key in keys):
            wrong.append(
                f"{self.bucket.url}: none of the first {len(keys)} objects under {literal!r} is "
                f"below the folder of a bot, {self.prefix}"
            )
        return wrong if keys or wrong else None

    async def _along(
        self, way: Way, prefix: str, behind: Mark | None
    ) -> AsyncGenerator[Batch, None]:
        """Delete page by page along one way, until it finds nothing more or cannot go on."""
        before: Sequence[Item] = ()
        try:
            while True:
                size = min(self.batch_size, PER_REQUEST)  # which may change between two batches
                page = await self._page(way, prefix, behind, size)
                if page.items and page.items == before:
                    raise ObjectsUnavailable(
                        f"{self.bucket.url} still lists {before[0].key!r} after it was deleted"
                    )
                before, items = page.items, _whole(page, prefix)[:size]
                if items:
                    async with self._bounded():
                        refusals = await way.remove(items)
                    place = Place(way.name, behind if refusals else page.resume)
                    yield Batch(len(items) - len(refusals), place.text)
                    self._check(refusals)
                if page.is_last and len(page.items) <= size:
                    return
                behind = page.resume if page.items else page.onward
        except WayEnds:
            return

    def _check(self, refusals: Sequence[Refusal]) -> None:
        """Raise for what was not deleted; what may pass does not hide what will not."""
        for refusal in sorted(refusals, key=lambda refusal: refusal.passes):
            version = f" (version {refusal.item.version})" if refusal.item.version else ""
            which = f"{self.bucket.url}/{refusal.item.key!r}{version}"
            if refusal.passes:
                raise ObjectsUnavailable(f"{which} was not deleted: {refusal.code}")
            raise ObjectsRefused(
                f"{which} cannot be deleted: {refusal.code}; it is locked, held, or this identity "
                "may not delete it: lift that, then retry the job"
            )

    async def _finds(self, way: Way, prefix: str) -> bool:
        """Whether anything is there: an empty page need not be the last one."""
        page = await self._page(way, prefix, None, 1)
        while not (page.items or page.is_last):
            page = await self._page(way, prefix, page.onward, 1)
        return bool(page.items)

    async def _page(self, way: Way, prefix: str, behind: Mark | None, limit: int) -> Page:
        async with self._bounded():
            return await way.page(prefix, behind, limit)

    async def _bounded_ways(self, bucket: OpenBucket) -> Sequence[Way]:
        async with self._bounded():
            return await bucket.ways()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[OpenBucket]:
        """Credentials may have to be fetched, which is a call too."""
        async with AsyncExitStack() as stack:
            async with self._bounded():
                bucket = await stack.enter_async_context(self.bucket.opened())
            yield bucket

    @asynccontextmanager
    async def _bounded(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Bound one call. Never use it around a `yield`: the bound belongs to the awaiting task."""
        seconds = seconds or self.call_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise ObjectsUnavailable(
                f"{self.bucket.url} did not answer within {seconds:g} s"
            ) from None

    def _prefix(self, bot_id: str) -> str:
        return self.prefix.replace(BOT_ID, bot_id)


def _whole(page: Page, prefix: str) -> Sequence[Item]:
    """The items that may be deleted. A way that strips a trailing slash lists the marker `bots/7/`
    as `bots/7`, which may be another's object: it is never deleted.
    """
    return [item for item in page.items if item.key.startswith(prefix)]


def _exact(ways: Sequence[Way]) -> Sequence[Way]:
    return [way for way in ways if way.is_exact]
