"""Deletion: documents per second, and the consumer's memory, against bare `delete_many` calls.

Two equal collections of 400,000 documents of 40 bots, 20 of which are deleted: from one by a
`delete_many` for each bot, one after the other; from the other by a consumer in a process of
its own, events, jobs, checkpoints and reading back included. The consumer first deletes two
bots, then the other eighteen, to compare its memory.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import psutil
from bson import ObjectId

from tests.bench.own_pipeline import own_pipeline
from tests.support.pipeline import (
    Pipeline,
    listening,
    publish,
    request_placed,
    until,
)

BOTS, DELETED, DOCUMENTS = 40, 20, 10_000
"""`DOCUMENTS` for each bot."""
FIRST: Final = 2
"""Bots deleted before the memory is looked at for the first time."""
WITHIN: Final = 300.0
MEGABYTE: Final = 1_000_000


async def bench(emulator_host: str, mongo_uri: str) -> dict[str, float]:
    """Documents per second of each, the ratio, and the consumer's peak memory in MB."""
    pace = "{busy_share: 1, min_batch: 1000}"
    async with own_pipeline(emulator_host, mongo_uri, batch_size=1000, pace=pace) as pipeline:
        bots = [ObjectId() for _ in range(BOTS)]
        bare: Any = pipeline.client[pipeline.database]["bare"]
        for collection in (bare, pipeline.messages):
            await _fill(collection, bots)
        doomed = bots[:DELETED]
        bare_seconds = await _bare(bare, doomed)
        return await _ours(pipeline, doomed, bare_seconds)


async def _fill(collection: Any, bots: Sequence[ObjectId]) -> None:
    """Documents of all bots in turn, as a service would have written them."""
    await collection.create_index([("botId", 1), ("_id", 1)])
    for _ in range(DOCUMENTS // 100):
        await collection.insert_many(
            [{"botId": bot, "text": "a line of dialogue"} for _ in range(100) for bot in bots],
            ordered=False,
        )


async def _bare(collection: Any, bots: Sequence[ObjectId]) -> float:
    began = time.perf_counter()
    for bot in bots:
        await collection.delete_many({"botId": bot})
    return time.perf_counter() - began


async def _ours(
    pipeline: Pipeline, bots: Sequence[ObjectId], bare_seconds: float
) -> dict[str, float]:
    async with pipeline.consumer() as consumer:
        await listening(consumer)
        first_seconds, first_peak = await _delete(pipeline, consumer.pid, bots[:FIRST])
        rest_seconds, rest_peak = await _delete(pipeline, consumer.pid, bots[FIRST:])
    for bot in bots:
        assert await pipeline.left(str(bot)) == 0
    documents = DELETED * DOCUMENTS
    ours_seconds = first_seconds + rest_seconds
    return {
        "bare": documents / bare_seconds,
        "ours": documents / ours_seconds,
        "of the bare": bare_seconds / ours_seconds,
        f"peak MB, {FIRST * DOCUMENTS:,} documents": first_peak / MEGABYTE,
        f"peak MB, {documents:,} documents": rest_peak / MEGABYTE,
    }


async def _delete(pipeline: Pipeline, pid: int, bots: Sequence[ObjectId]) -> tuple[float, int]:
    """Seconds from the first event to the last job's end, and the peak resident bytes."""
    process, peak = psutil.Process(pid), 0
    ids = [str(bot) for bot in bots]

    async def complete() -> bool:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        query = {"status": "complete", "botId": {"$in": list(bots)}}
        return bool(await pipeline.jobs.count_documents(query) == len(bots))

    began = time.perf_counter()
    await publish(pipeline, *(request_placed(bot) for bot in ids))
    await until(complete, WITHIN)
    return time.perf_counter() - began, peak
