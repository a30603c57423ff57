"""The step that deletes a bot's objects from one bucket."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from deletion.adapters.objects.bucket import (
    PER_REQUEST,
    Bucket,
    Item,
    Lister,
    ListerEnds,
    Mark,
    OpenBucket,
    Page,
    Refusal,
)
from deletion.adapters.objects.cursor import Cursor
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.ids import BOT_ID
from deletion.pace import Pace
from deletion.plan import Batch

COUNT_SECONDS: Final = 60.0
CALL_SECONDS: Final = 10.0
"""How long one call may take by default."""
SAMPLE: Final = PER_REQUEST
"""Objects that `faults` looks at, in the order of their keys."""
STRONG: Final = "strong"
"""Recorded as the way of reading back: by their documentation, all providers here list with
strong consistency."""
PACE: Final = Pace(target_ms=1000, min_batch=100)
"""A listing and a bulk delete take more than 100 ms however few objects there are, so a target
of 100 ms would keep every batch at its smallest. Requests for a second, then a pause, hurt no
provider."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of the items of one page.

    `busy` is the first that may be deleted later, if there is one; `at` then stays before the page.
    """

    deleted: int
    at: Cursor
    busy: Refusal | None
    is_progress: bool


@dataclass(slots=True)
class ObjectsStep:
    """Lists the objects under the bot's prefix page by page, and deletes each page.

    Every page is a new listing, from the beginning or after a key, so no page token of the provider
    has to survive the deletes. `batch_size` bounds a page, and with it memory and the batch.
    """

    name: str
    bucket: Bucket
    prefix: str
    retained_is_accepted: bool = False
    batch_size: int = PER_REQUEST
    call_seconds: float = CALL_SECONDS
    read_back: str | None = dataclasses.field(default=None, init=False)
    """See `deletion.plan.Verified`: how it was read back, or until when the provider retains
    objects.
    """

    @property
    def default_pace(self) -> Pace:
        """See `deletion.plan.Paced`."""
        return PACE

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete along each of the bucket's listers in turn, from `cursor` on.

        Raises `ObjectsUnavailable` for errors that may pass. Objects that the provider refuses to
        delete do not hold up the others: `ObjectsRefused` names them at the end.
        """
        prefix, at = self._prefix(bot_id), self._at(cursor)
        async with self._opened() as bucket:
            listers = await self._bounded_listers(bucket)
            names = [lister.name for lister in listers]
            if at.lister not in names:
                at = Cursor(self.bucket.url)
            for lister in listers[names.index(at.lister) if at.lister else 0 :]:
                async with aclosing(self._along(lister, prefix, at.on(lister.name))) as batches:
                    async for deleted, at in batches:
                        yield Batch(deleted, at.text)
        if at.refused:
            yield Batch(0, None)  # the next attempt starts over and tries them again
            raise at.error()

    async def is_empty(self, bot_id: str) -> bool:
        """Look once along each lister that reads back, versions and unfinished uploads included.

        Raises `ObjectsRefused` when the provider retains deleted objects and the plan does not
        accept that.
        """
        prefix = self._prefix(bot_id)
        async with self._opened() as bucket:
            for lister in _reading_back(await self._bounded_listers(bucket)):
                if await self._finds(lister, prefix):
                    return False
            async with self._bounded(COUNT_SECONDS):
                until = await bucket.retained_until(prefix)
        if until and not self.retained_is_accepted:
            raise ObjectsRefused(
                f"{self.bucket.url} keeps deleted objects of this bot until {until:%Y-%m-%d}, and "
                "nobody can shorten that",
                "write `retained: accept`, or turn its soft delete off",
            )
        self.read_back = f"retained until {until:%Y-%m-%d}" if until else STRONG
        return True

    async def count(self, bot_id: str) -> int:
        """Count along each lister that reads back, within `COUNT_SECONDS`. Every version counts."""
        prefix, found = self._prefix(bot_id), 0
        async with self._bounded(COUNT_SECONDS), self._opened() as bucket:
            for lister in _reading_back(await bucket.listers()):
                with suppress(ListerEnds):  # nothing is left that it can list
                    page = await lister.page(prefix, None, PER_REQUEST)
                    found += len(page.items)
                    while not page.is_last:
                        page = await lister.page(prefix, page.onward, PER_REQUEST)
                        found += len(page.items)
        return found

    async def faults(self) -> Sequence[str] | None:
        """What is wrong with the bucket's configuration, and whether its keys fit the prefix."""
        try:
            async with self._opened() as bucket:
                async with self._bounded():
                    wrong = [*await bucket.faults(accepted=self.retained_is_accepted)]
                keys = await self._sample(bucket)
        except ObjectsRefused as error:
            return [str(error)]
        if keys and not self._owners(keys):
            wrong.append(
                f"{self.bucket.url}: none of the first {len(keys)} objects under "
                f"{self._literal!r} is below the folder of a bot, {self.prefix}"
            )
        return wrong if keys or wrong else None

    async def bots(self) -> list[str]:
        """The owners of the first `SAMPLE` objects, in the order of their keys."""
        async with self._opened() as bucket:
            return sorted(self._owners(await self._sample(bucket)))

    async def _sample(self, bucket: OpenBucket) -> list[str]:
        """The keys of the first objects of any bot, without the marker of the folder above them."""
        lister = _reading_back(await self._bounded_listers(bucket))[0]
        page = await self._page(lister, self._literal, None, SAMPLE)
        return [item.key for item in page.items if item.key != self._literal]

    def _owners(self, keys: Sequence[str]) -> set[str]:
        before, _, behind = self.prefix.partition(BOT_ID)
        owner = re.compile(f"{re.escape(before)}([0-9a-f]{{24}}){re.escape(behind)}")
        return {found[1] for key in keys if (found := owner.match(key))}

    @property
    def _literal(self) -> str:
        """What the prefixes of all bots begin with."""
        return self.prefix.partition(BOT_ID)[0]

    async def _along(
        self, lister: Lister, prefix: str, at: Cursor
    ) -> AsyncGenerator[tuple[int, Cursor], None]:
        """Delete page by page through one lister, until it finds nothing more or cannot go on.

        Yields the number deleted and the next cursor for each page that makes progress. Raises
        `ObjectsUnavailable` when a page is still listed after this run deleted it, or has items
        that can only be deleted later.
        """
        has_deleted = was_empty = False
        with suppress(ListerEnds):
            while True:
                # `batch_size` may change between batches; after an empty page, look further ahead
                size = PER_REQUEST if was_empty else min(self.batch_size, PER_REQUEST)
                page = await self._page(lister, prefix, at.behind, size)
                items = _whole(page, prefix)[:size]
                was_empty = not items
                if items:
                    if has_deleted and at.is_at(items):
                        raise ObjectsUnavailable(
                            f"{self.bucket.url} still lists {items[0].key!r} after it was deleted"
                        )
                    removed = await self._remove(lister, page, items, at)
                    has_deleted, at = True, removed.at
                    if removed.is_progress:
                        yield removed.deleted, at
                    if busy := removed.busy:
                        raise ObjectsUnavailable(
                            f"{self.bucket.url} did not delete, but may later: {busy.text}"
                        )
                if page.is_last and len(page.items) <= size:
                    return
                if was_empty:
                    at = at.beyond(page)
                    yield 0, at

    async def _remove(
        self, lister: Lister, page: Page, items: Sequence[Item], at: Cursor
    ) -> Removed:
        """Delete the `items` of `page`, to which `at` has come.

        A page that an earlier run deleted, but that is still listed, is no progress.
        """
        async with self._bounded():
            refusals = await lister.remove(items)
        busy = next((refusal for refusal in refusals if refusal.passes), None)
        deleted = len(items) - len(refusals)
        return Removed(
            deleted,
            at.at(items) if busy else at.past(page, items, refusals),
            busy,
            is_progress=not at.is_at(items) and (deleted > 0 or not busy),
        )

    def _at(self, cursor: str | None) -> Cursor:
        """The parsed `cursor`; the beginning if it cannot be read, because deleting again is
        harmless.
        """
        if cursor is None:
            return Cursor(self.bucket.url)
        if found := Cursor.read(self.bucket.url, cursor):
            return found
        log.warning("unreadable cursor: the step begins again", step=self.name)
        return Cursor(self.bucket.url)

    async def _finds(self, lister: Lister, prefix: str) -> bool:
        """Whether anything is left. An empty page need not be the last one."""
        page = await self._page(lister, prefix, None, 1)
        while not (page.items or page.is_last):
            page = await self._page(lister, prefix, page.onward, 1)
        return bool(page.items)

    async def _page(self, lister: Lister, prefix: str, behind: Mark | None, limit: int) -> Page:
        async with self._bounded():
            return await lister.page(prefix, behind, limit)

    async def _bounded_listers(self, bucket: OpenBucket) -> Sequence[Lister]:
        async with self._bounded():
            return await bucket.listers()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[OpenBucket]:
        """Open the bucket within the bound of one call: credentials may have to be fetched."""
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
    """The items that may be deleted.

    A lister that strips a trailing slash lists the folder marker `bots/7/` as `bots/7`, which may
    be another object: it is never deleted.
    """
    return [item for item in page.items if item.key.startswith(prefix)]


def _reading_back(listers: Sequence[Lister]) -> Sequence[Lister]:
    return [lister for lister in listers if lister.reads_back]
