"""Objects: objects per second, and memory, against bare obstore.

moto's S3 server in a process of its own. Bare: obstore lists all keys, a thousand at a time, and
deletes them in four bulk requests at once, in threads. Ours: the step as the runner drives it,
until it has read back that nothing is left. Turn by turn, and the median of all rounds.

`python -m tests.bench.objects BOT_ID` deletes as the step does, and prints its peak memory.
"""

import asyncio
import os
import re
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import obstore
from bson import ObjectId
from obstore.store import S3Store

from botdel.local.processes import ChildProcess
from deletion.adapters.objects.obstore_lister import REQUESTS
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.spec import Connect, StepConnections
from tests.support.s3 import S3, s3_server

OBJECTS, PAGE, ROUNDS = 10_000, 1_000, 3
SMALL, LARGE = 1_000, 50_000
CALL_SECONDS: Final = 60.0
"""moto copies every version that a bucket holds to list one page of them."""
WITHIN: Final = 300.0
MEGABYTE: Final = 1_000_000
BOT: Final = str(ObjectId())
BUCKET: Final = "media"


async def bench() -> dict[str, float]:
    """Objects per second of each, their ratio, and peak MB by the number of objects."""
    async with s3_server() as s3:
        os.environ.update(s3.env)
        async with s3.client() as client:
            await client.create_bucket(Bucket=BUCKET)
        bare, ours = [], []
        await _ours(s3)  # what is loaded once is loaded now
        for _ in range(ROUNDS):
            bare.append(OBJECTS / await _bare(s3))
            ours.append(OBJECTS / await _ours(s3))
        small, large = await _peak(s3, SMALL), await _peak(s3, LARGE)
    return {
        "bare obstore": statistics.median(bare),
        "ours": statistics.median(ours),
        "of the bare": statistics.median(o / b for o, b in zip(ours, bare, strict=True)),
        f"{SMALL:,} objects, MB": small,
        f"{LARGE:,} objects, MB": large,
        "memory ratio": large / small,
    }


async def _bare(s3: S3) -> float:
    s3.fill(BUCKET, _keys(OBJECTS))
    store = S3Store(BUCKET, client_options={"allow_http": True})
    return await asyncio.to_thread(_list_and_delete, store)


def _keys(objects: int) -> list[str]:
    return [f"bots/{BOT}/{n:07}" for n in range(objects)]


def _list_and_delete(store: S3Store) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(REQUESTS) as threads:
        chunks = list(obstore.list(store, f"bots/{BOT}/", chunk_size=PAGE))
        for chunk in chunks:
            keys = [meta["path"] for meta in chunk]
            parts = [keys[n::REQUESTS] for n in range(REQUESTS)]
            list(threads.map(lambda part: obstore.delete(store, part), parts))
    return time.perf_counter() - began


async def _ours(s3: S3) -> float:
    s3.fill(BUCKET, _keys(OBJECTS))
    return await _deleted(_step(BUCKET))


def _step(bucket: str) -> ObjectsStep:
    connect: Connect = None  # type: ignore[assignment]  # there is no database
    spec = ObjectsSpec(url=f"s3://{bucket}", prefix="bots/{bot_id}/")
    return spec.build("media", StepConnections(connect, CALL_SECONDS))


async def _deleted(step: ObjectsStep) -> float:
    began = time.perf_counter()
    async for _ in step.delete(BOT, None):
        pass
    if not await step.is_empty(BOT):
        raise AssertionError("objects are left")
    return time.perf_counter() - began


async def _peak(s3: S3, objects: int) -> float:
    """Peak resident MB of a process that deletes so many."""
    s3.fill(BUCKET, _keys(objects))
    argv = [sys.executable, "-m", "tests.bench.objects", BOT]
    async with ChildProcess("step", argv, env=s3.env) as process:
        line = await process.wait_for_line(lambda line: line.startswith("peak "), WITHIN)
    return float(line.split()[1])


async def _alone(bot: str) -> None:
    step = _step(BUCKET)
    async for _ in step.delete(bot, None):
        pass
    status = Path("/proc/self/status").read_text()  # noqa: ASYNC240
    [kilobytes] = re.findall(r"VmHWM:\s*(\d+) kB", status)
    print(f"peak {int(kilobytes) * 1024 / MEGABYTE}", flush=True)


if __name__ == "__main__":
    asyncio.run(_alone(sys.argv[1]))
