"""Steps that are wrong in one way each."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from deletion.errors import Parked, TransientError
from deletion.plan import Batch
from tests.unit.deletion.testing.items import SIZE, Items, Sound


class Unbounded(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        yield Batch(await self.items.drop(bot_id, list(self.items.of[bot_id])), None, last=True)


class Ahead(Sound):
    """Deletes the next batch while nobody has asked for it."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            page = await self.items.page(bot_id, -1)
            self.ahead = asyncio.create_task(self.items.drop(bot_id, page))
            yield batch


class ByPrefix(Sound):
    """Deletes what begins as the bot's id does."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        for other in [other for other in self.items.of if other.startswith(bot_id[:-1])]:
            async for batch in super().delete(other, cursor):
                yield batch


class ByOffset(Sound):
    """Its cursor counts, and what it counts moves up with each batch."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        done = offset = int(cursor or 0)
        while page := self.items.of[bot_id][offset : offset + SIZE]:
            done += await self.items.drop(bot_id, page)
            yield Batch(len(page), str(done))


class CursorOfItsOwn(Sound):
    """Knows where to go on only itself."""

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self.pages: dict[str, list[int]] = {}

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        if cursor is None:
            self.pages[bot_id] = list(self.items.of[bot_id])
        pages = self.pages[bot_id]
        while pages:
            yield Batch(await self.items.drop(bot_id, [pages.pop(0)]), "on")


class CheckpointFirst(Sound):
    """Its cursor is ahead of what was deleted."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        while page := await self.items.page(bot_id, last):
            last = page[-1]
            yield Batch(len(page), str(last))
            await self.items.drop(bot_id, page)


class CursorAhead(Sound):
    """A crash before its checkpoint repeats nothing, and skips a batch that is not done."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        while page := await self.items.page(bot_id, last):
            last = page[-1]
            yield Batch(await self.items.drop(bot_id, page), str(last + SIZE))


class OnceOnly(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        if not self.items.of[bot_id]:
            raise LookupError("there is no such bot")
        async for batch in super().delete(bot_id, cursor):
            yield batch


class Alone(Sound):
    """Takes it for an error that another was faster."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while page := await self.items.page(bot_id, -1):
            await asyncio.sleep(0)
            for number in page:
                self.items.of[bot_id].remove(number)
            yield Batch(len(page), None)


class Miscounting(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            yield Batch(SIZE, batch.cursor)


class AddingUp(Sound):
    """Counts again what is gone already."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            yield batch
        yield Batch(1, cursor)


class LastTooEarly(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, cursor):
            yield Batch(batch.deleted, batch.cursor, last=True)


class Endless(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while True:
            yield Batch(0, cursor)


class Hanging(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        await asyncio.Event().wait()
        yield Batch(0, None)


class LongCursor(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        async for batch in super().delete(bot_id, None):
            yield Batch(batch.deleted, (batch.cursor or "") * 5000)


class AfterTheClose(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            async for batch in super().delete(bot_id, cursor):
                yield batch
        finally:
            self.items.of[bot_id] = self.items.of[bot_id][:1]


class AlwaysEmpty(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        return True


class NeverEmpty(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        return False


class Remembering(Sound):
    """Says what it found once."""

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self.found: dict[str, bool] = {}

    async def is_empty(self, bot_id: str) -> bool:
        if not self.found.get(bot_id):
            self.found[bot_id] = await super().is_empty(bot_id)
        return self.found[bot_id]


class Tidying(Sound):
    """Reads back, and takes away what it finds."""

    async def is_empty(self, bot_id: str) -> bool:
        found = await super().is_empty(bot_id)
        self.items.of[bot_id] = self.items.of[bot_id][1:]
        return found


class WithoutTheLast(Sound):
    """Looks no further than it has deleted."""

    async def is_empty(self, bot_id: str) -> bool:
        return len(self.items.of[bot_id]) <= 1


class Snapshot(Sound):
    """Deletes, and looks for, what there was when it began."""

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self.seen: dict[str, list[int]] = {}

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        self.seen[bot_id] = list(self.items.of[bot_id])
        for number in self.seen[bot_id]:
            yield Batch(await self.items.drop(bot_id, [number]), None)

    async def is_empty(self, bot_id: str) -> bool:
        return not set(self.seen.get(bot_id, self.items.of[bot_id])) & set(self.items.of[bot_id])


class WrongPreview(Sound):
    async def count(self, bot_id: str) -> int:
        return min(SIZE, len(self.items.of[bot_id]))


class DeletingPreview(Sound):
    async def count(self, bot_id: str) -> int:
        return await self.items.drop(bot_id, list(self.items.of[bot_id]))


class SwallowsCancellation(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while page := await self.items.page(bot_id, -1):
            try:
                await asyncio.sleep(0)
                await self.items.drop(bot_id, page)
            except asyncio.CancelledError:
                continue
            yield Batch(len(page), None)


class TurnsCancellation(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await super().is_empty(bot_id)
        except asyncio.CancelledError:
            return False


class WillNotEnd(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await super().is_empty(bot_id)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            raise


class SwallowsErrors(Sound):
    """Ends as if it were done."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            async for batch in super().delete(bot_id, cursor):
                yield batch
        except TransientError:
            return


class SkipsWhatFailed(Sound):
    """Goes on behind the page that it could not delete."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        try:
            while page := await self.items.page(bot_id, last):
                last = page[-1]
                try:
                    deleted = await self.items.drop(bot_id, page)
                except ConnectionError:
                    deleted = 0
                yield Batch(deleted, str(last))
        except ConnectionError as error:
            raise TransientError(str(error)) from error


class NextPage(Sound):
    """Its cursor is what comes next, which a call whose answer was lost has deleted already."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            page = json.loads(cursor) if cursor else await self.items.page(bot_id, -1)
            while page:
                if not set(page) <= set(self.items.of[bot_id]):
                    raise LookupError("gone already")
                deleted = await self.items.drop(bot_id, page)
                page = await self.items.page(bot_id, -1)
                yield Batch(deleted, json.dumps(page))
        except ConnectionError as error:
            raise TransientError(str(error)) from error


class GivesUpForNow(Sound):
    """Parks its job when its client fails: it goes on later, from the same checkpoint."""

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        try:
            async for batch in super().delete(bot_id, cursor):
                yield batch
        except TransientError as error:
            raise Parked(datetime.now(UTC), str(error)) from error


class UnknownErrors(Sound):
    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        while page := await self.items.page(bot_id, -1):
            yield Batch(await self.items.drop(bot_id, page), None)


class EmptyOnError(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await super().is_empty(bot_id)
        except TransientError:
            return True


class UnknownErrorOnReadBack(Sound):
    async def is_empty(self, bot_id: str) -> bool:
        return await self.items.number(bot_id) == 0
