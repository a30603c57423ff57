"""Memory: what a consumer takes with a small backlog and with a large one.

A consumer in a process of its own, every slot of which is busy with a deletion that does not end,
while events come and are recorded as pending jobs.
"""

import asyncio
from typing import Final

import psutil
from bson import ObjectId

from tests.bench.endless import SLOTS
from tests.bench.own_pipeline import own_pipeline
from tests.support.pipeline import (
    Pipeline,
    listening,
    publish,
    request_placed,
)

BACKLOGS: Final = (2_000, 20_000)
PUBLISHED_TOGETHER: Final = 1_000
WITHIN: Final = 300.0
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at how many are recorded: each costs the database a scan."""
SETTLED_AFTER: Final = 5.0
"""Seconds from the last record to the look at the memory."""
MEGABYTE: Final = 1_000_000


async def bench(emulator_host: str, mongo_uri: str) -> dict[str, float]:
    """Resident MB of the consumer by the number of pending jobs, and their ratio."""
    settings = {"BOTDEL_CONSUMER_SLOTS": str(SLOTS)}
    async with own_pipeline(emulator_host, mongo_uri, settings) as pipeline:
        command = ("tests.bench.endless", str(pipeline.plan))
        async with pipeline.process("consumer", *command) as consumer:
            await listening(consumer)
            return await _measured(pipeline, psutil.Process(consumer.pid))


async def _measured(pipeline: Pipeline, process: psutil.Process) -> dict[str, float]:
    await _publish(pipeline, SLOTS)
    await _recorded(pipeline, "in_progress", SLOTS)
    taken: list[float] = []
    pending = 0
    for backlog in BACKLOGS:
        await _publish(pipeline, backlog - pending)
        await _recorded(pipeline, "pending", backlog)
        pending = backlog
        await asyncio.sleep(SETTLED_AFTER)
        taken.append(process.memory_info().rss / MEGABYTE)
    figures = {f"{n:,} pending, MB": mb for n, mb in zip(BACKLOGS, taken, strict=True)}
    return figures | {"ratio": taken[-1] / taken[0]}


async def _publish(pipeline: Pipeline, events: int) -> None:
    for first in range(0, events, PUBLISHED_TOGETHER):
        some = range(first, min(first + PUBLISHED_TOGETHER, events))
        await publish(pipeline, *(request_placed(str(ObjectId())) for _ in some))


async def _recorded(pipeline: Pipeline, status: str, jobs: int) -> None:
    async with asyncio.timeout(WITHIN):
        while await pipeline.jobs.count_documents({"status": status}) < jobs:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
