"""A sound step over a store in memory, and the suite for it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from functools import cached_property
from itertools import count, islice
from typing import ClassVar

from deletion.errors import TransientError
from deletion.plan import Batch, Step
from deletion.testing import Faults, StepConformance

SIZE = 2


class Items:
    """A data store whose calls take a few turns of the event loop."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = defaultdict(list)
        self.faults = Faults()
        self.numbers = count()

    async def page(self, bot: str, after: int) -> list[int]:
        with self.faults.call():
            await asyncio.sleep(0)
            return [number for number in self.of[bot] if number > after][:SIZE]

    async def drop(self, bot: str, numbers: list[int]) -> int:
        with self.faults.call():
            await asyncio.sleep(0)
            before = len(self.of[bot])
            self.of[bot] = [number for number in self.of[bot] if number not in numbers]
            return before - len(self.of[bot])

    async def number(self, bot: str) -> int:
        with self.faults.call():
            await asyncio.sleep(0)
            return len(self.of[bot])


class Sound:
    """As a step should be."""

    name = "items"

    def __init__(self, items: Items) -> None:
        self.items = items

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        last = int(cursor or -1)
        try:
            while page := await self.items.page(bot_id, last):
                deleted, last = await self.items.drop(bot_id, page), page[-1]
                yield Batch(deleted, str(last), last=len(page) < SIZE)
                if len(page) < SIZE:
                    return
        except ConnectionError as error:
            raise TransientError(str(error)) from error

    async def is_empty(self, bot_id: str) -> bool:
        try:
            return await self.items.number(bot_id) == 0
        except ConnectionError as error:
            raise TransientError(str(error)) from error

    async def count(self, bot_id: str) -> int:
        return await self.items.number(bot_id)

    async def faults(self) -> None:
        return None


class SuiteOfItems(StepConformance):
    """Over one store for each test."""

    tested: ClassVar[type[Sound]] = Sound
    call_seconds = 0.5
    cancel_seconds = 0.2

    @cached_property
    def store(self) -> Items:
        return Items()

    def step(self) -> Step:
        return self.tested(self.store)

    def faulty_step(self, faults: Faults) -> Step:
        faulty = Items()
        faulty.of, faulty.faults = self.store.of, faults
        return self.tested(faulty)

    async def plant(self, bot_id: str, number: int) -> None:
        self.store.of[bot_id].extend(islice(self.store.numbers, number))

    async def count(self, bot_id: str) -> int:
        return len(self.store.of[bot_id])
