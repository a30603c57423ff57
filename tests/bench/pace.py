"""Pace: how long others' reads and writes take beside a deletion, and how long the deletion takes.

A reader and a writer work on the collection from which a consumer in a process of its own deletes
20,000 documents of one bot: without a pace, and at a busy share of 50, 10 and 1 %. Each is compared
with the time right before it, in which the consumer was idle. A deletion is looked at for
`LOOK_SECONDS` at most, and the time that a longer one would take is projected from what it had
deleted by then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

from bson import ObjectId

from tests.bench.own_pipeline import own_pipeline
from tests.support.pipeline import (
    Pipeline,
    listening,
    publish,
    request_placed,
    until,
)

DOCUMENTS: Final = 20_000
"""Of the bot that is deleted; as many are of others."""
OTHERS: Final = 200
LOOK_SECONDS: Final = 110.0
QUIET_SECONDS: Final = 20.0
PAUSE: Final = 0.02
"""Seconds between two reads, and between two writes."""
UNPACED: Final = "without pace"
PACES: Final[Mapping[str, str]] = {
    UNPACED: "{busy_share: 1, min_batch: 1000}",
    "50 %": "{busy_share: 0.5}",
    "10 %": "{busy_share: 0.1}",
    "1 %": "{busy_share: 0.01}",
}


@dataclass
class Foreground:
    """What the users of the service do, and the seconds that each read and write took."""

    messages: Any
    others: list[ObjectId]
    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    async def read(self, number: int) -> None:
        """The messages of a bot."""
        bot = self.others[number % len(self.others)]
        await self.messages.find({"botId": bot}).to_list(20)

    async def write(self, number: int) -> None:
        """A change of one message."""
        bot = self.others[number % len(self.others)]
        await self.messages.update_one({"botId": bot, "n": number % 100}, {"$inc": {"seen": 1}})

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Measure while the block runs."""
        self.reads, self.writes = [], []
        working = [
            asyncio.create_task(_repeat(self.read, self.reads)),
            asyncio.create_task(_repeat(self.write, self.writes)),
        ]
        try:
            yield
        finally:
            for task in working:
                task.cancel()
            await asyncio.wait(working)

    def percentiles(self) -> dict[str, float]:
        """In milliseconds."""
        return {
            f"{kind} p{percent} ms": _percentile(took, percent) * 1000
            for kind, took in (("read", self.reads), ("write", self.writes))
            for percent in (50, 99)
        }


async def _repeat(call: Callable[[int], Awaitable[None]], took: list[float]) -> None:
    for number in count():
        began = time.perf_counter()
        await call(number)
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)


def _percentile(took: list[float], percent: int) -> float:
    return sorted(took)[min(len(took) - 1, len(took) * percent // 100)]


async def bench(emulator_host: str, mongo_uri: str) -> dict[str, float]:
    """Percentiles of each, their ratios to those without a deletion, and its seconds."""
    async with own_pipeline(emulator_host, mongo_uri, batch_size=1000) as pipeline:
        others = [ObjectId() for _ in range(OTHERS)]
        await pipeline.messages.create_index([("botId", 1), ("_id", 1)])
        await _fill(pipeline, others, DOCUMENTS // OTHERS)
        foreground = Foreground(pipeline.messages, others)
        return await _compared(pipeline, foreground)


async def _compared(pipeline: Pipeline, foreground: Foreground) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, pace in PACES.items():
        pipeline.pace = pace
        bot = ObjectId()
        await _fill(pipeline, [bot], DOCUMENTS)
        async with pipeline.consumer() as consumer:
            await listening(consumer)
            async with foreground.working():
                await asyncio.sleep(QUIET_SECONDS)
            quiet = foreground.percentiles()
            seconds = await _delete(pipeline, foreground, str(bot))
        await pipeline.messages.delete_many({"botId": bot})
        for what, value in foreground.percentiles().items():
            found[f"{name}, {what}, none"] = quiet[what]
            found[f"{name}, {what}"] = value
            found[f"{name}, {what.removesuffix(' ms')} ratio"] = value / quiet[what]
        found[f"{name}, seconds of the deletion"] = seconds
    return found


async def _delete(pipeline: Pipeline, foreground: Foreground, bot: str) -> float:
    """Seconds that the deletion of the bot takes, projected if it is a long one."""
    await publish(pipeline, request_placed(bot))
    await until(partial(_is_taken, pipeline, bot))
    began = time.perf_counter()
    async with foreground.working():
        deleted = await _look(pipeline, bot, began + LOOK_SECONDS)
    seconds = time.perf_counter() - began
    return seconds * DOCUMENTS / max(1, deleted)


async def _is_taken(pipeline: Pipeline, bot: str) -> bool:
    return await pipeline.status_of(bot) in ("in_progress", "complete")


async def _look(pipeline: Pipeline, bot: str, latest: float) -> int:
    """Wait for the end of its job, but not for longer than `latest`; how many are deleted."""
    while True:
        job = await pipeline.job_of(bot)
        assert job is not None
        if job["status"] == "complete" or time.perf_counter() > latest:
            return sum(step["deleted"] for step in job["steps"])
        await asyncio.sleep(0.2)


async def _fill(pipeline: Pipeline, bots: list[ObjectId], each: int) -> None:
    for bot in bots:
        for first in range(0, each, 1000):
            numbers = range(first, min(each, first + 1000))
            await pipeline.messages.insert_many(
                [{"botId": bot, "n": n, "text": "a line"} for n in numbers], ordered=False
            )
