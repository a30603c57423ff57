"""Far more events than slots, and a job that kills its process among many that do not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from botdel.local.processes import ChildProcess
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.adapters.unproxied import unproxied
from deletion.job import SUSPECT_ENDS
from tests.faults.faulty_consumer import KILLED, faulty_consumer
from tests.faults.replicas import NEVER_STALE, ledger, recoveries, taken
from tests.faults.supervised import OnLine, Supervised
from tests.support.ledger import What
from tests.support.pipeline import (
    ACK_DEADLINE,
    SERVICE,
    WITHIN,
    Pipeline,
    listening,
    publish,
    pubsub,
    request_placed,
    sweep,
    until,
)

SLOTS, BACKLOG = 2, 400
RECORDED_WITHIN = 20.0
"""Seconds; on an idle machine it takes one."""
INNOCENT, LATE = 50, 20
"""Bots beside the killer: asked for with it, and while it kills."""
SWEEP_EVERY = 2.0
"""Seconds between the end of one sweep and the next."""
FATAL_WITHIN = 300.0
"""Seconds; each attempt of the killer costs a start, the stale threshold and a sweep."""


@pytest.mark.proves("recorded-in-seconds")
@pytest.mark.timeout(600)
async def test_a_backlog_is_recorded_within_seconds_while_every_slot_is_busy(
    pipeline: Pipeline,
) -> None:
    pipeline.settings |= NEVER_STALE | {"BOTDEL_CONSUMER_SLOTS": str(SLOTS)}
    pipeline.settings["BOTDEL_SHUTDOWN_GRACE_SECONDS"] = "4"
    long = await pipeline.fill(*[5] * SLOTS)
    bots = [str(ObjectId()) for _ in range(BACKLOG)]
    busy = faulty_consumer(pipeline, "busy", "--pace", "3600")
    async with busy, unproxied(timeout=WITHIN) as http:
        url = await listening(busy)
        await publish(pipeline, *(request_placed(bot) for bot in long))
        await until(lambda: _count(pipeline, SLOTS, status="in_progress"))

        began = time.monotonic()
        await publish(pipeline, *(request_placed(bot) for bot in bots))
        claimable = {"status": "pending", "queue": SERVICE, "attempt": 0}
        await until(lambda: _count(pipeline, BACKLOG, **claimable), RECORDED_WITHIN)

        async def acked() -> bool:  # counted once the ack is confirmed
            return (await taken(http, url))["recorded"] == SLOTS + BACKLOG

        await until(acked, RECORDED_WITHIN)
        print(f"{BACKLOG} events were recorded and acked in {time.monotonic() - began:.1f} s")
        assert await _count(pipeline, SLOTS, status="in_progress")
        busy.terminate()
        assert await busy.wait(RECORDED_WITHIN) == 0

    assert await _is_empty_for(pipeline, ACK_DEADLINE + 2), "an ack was lost, or an event not taken"
    assert await _count(pipeline, SLOTS, status="failed", attempt=0, queue=SERVICE)
    pipeline.settings["BOTDEL_CONSUMER_SLOTS"] = "16"
    idle = faulty_consumer(pipeline, "idle")
    async with idle:
        everything = SLOTS + BACKLOG
        await until(lambda: _count(pipeline, everything, status="complete"), FATAL_WITHIN)
    jobs = await pipeline.jobs.find().to_list(None)
    assert {job["attempt"] for job in jobs} == {1}
    in_order = [entry.job for entry in ledger(pipeline) if entry.what is What.CLAIM][SLOTS:]
    handed_over = [str(job["_id"]) for job in jobs if str(job["botId"]) in long]
    assert max(in_order.index(job) for job in handed_over) < BACKLOG / 4, "old before new"


@pytest.mark.proves("killer-job")
@pytest.mark.timeout(600)
async def test_a_job_that_ends_its_process_is_exhausted_alone_among_fifty_on_two_replicas(
    pipeline: Pipeline,
) -> None:
    pipeline.settings |= {
        "BOTDEL_STALE_AFTER_SECONDS": "6",  # a slow machine is not to make a run lose its job
        "BOTDEL_CONSUMER_SLOTS": "4",
        "BOTDEL_MAX_ATTEMPTS": "5",
        "BOTDEL_REST_SECONDS": "0.1",
    }
    killer, *innocent = await pipeline.fill(*[20] * (1 + INNOCENT + LATE))
    async with recoveries(pipeline, 1) as (url,), _replicas(pipeline, killer) as replicas:
        async with _sweeping(pipeline, url):
            asked_for = [innocent[0], killer, *innocent[1:INNOCENT]]
            await publish(pipeline, *(request_placed(bot) for bot in asked_for))
            for bot in innocent[INNOCENT:]:  # the load goes on while processes die
                await publish(pipeline, request_placed(bot))
                await asyncio.sleep(0.5)  # one by one
            await until(lambda: _count(pipeline, len(innocent), status="complete"), FATAL_WITHIN)
            await until(lambda: pipeline.has_status(killer, "exhausted"), FATAL_WITHIN)
        killed = sum(replica.ends[KILLED] for replica in replicas)

    jobs = await pipeline.jobs.find().to_list(None)
    by_bot = {str(job["botId"]): job for job in jobs}
    guilty = by_bot.pop(killer)
    assert (guilty["status"], guilty["attempt"], killed) == ("exhausted", 5, 5)
    assert [past["reason"] for past in guilty["pastAttempts"]] == ["stale"] * 5
    assert {job["status"] for job in by_bot.values()} == {"complete"}
    silences = [len(job["pastAttempts"]) for job in by_bot.values()]
    # Whoever shared a process with it twice is a suspect as well, and shares none with it again.
    assert max(silences) <= SUSPECT_ENDS, sorted(silences)
    longest = max(job["finishedAt"] - job["createdAt"] for job in by_bot.values())
    print(f"silent attempts of the fifty: {sum(silences)}; the longest took {longest}")
    assert longest < timedelta(seconds=FATAL_WITHIN / 2), "somebody starved"
    assert await pipeline.messages.count_documents({"botId": {"$ne": ObjectId(killer)}}) == 0
    ledger(pipeline)


@asynccontextmanager
async def _replicas(pipeline: Pipeline, killer: str) -> AsyncIterator[Sequence[Supervised]]:
    """Two consumers that are started again whenever they die."""

    def make(name: str) -> Callable[[float, OnLine], ChildProcess]:
        options = ("--pace", "0.2", "--killer", killer)
        return lambda _, on_line: faulty_consumer(pipeline, name, *options, on_line=on_line)

    names = ("replica-1", "replica-2")
    replicas = [Supervised(n, make(n), 0.0, pipeline.folder / f"{n}.log") for n in names]
    async with AsyncExitStack() as stack:
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas


@asynccontextmanager
async def _sweeping(pipeline: Pipeline, url: str) -> AsyncIterator[None]:
    """A sweep every few seconds; one that fails ends the test."""

    async def call() -> None:
        while True:
            assert await sweep(pipeline, url) == 0
            await asyncio.sleep(SWEEP_EVERY)

    async with asyncio.TaskGroup() as group:
        calling = group.create_task(call())
        yield
        calling.cancel()


async def _is_empty_for(pipeline: Pipeline, seconds: float) -> bool:
    """Whether nothing comes from the subscription for so long."""
    until = time.monotonic() + seconds
    async with pubsub(pipeline) as (_, subscriber):
        subscription = PullSubscription(subscriber, pipeline.names.subscription(SERVICE))
        while time.monotonic() < until:
            if await subscription.pull(1):
                return False
    return True


async def _count(pipeline: Pipeline, number: int, **fields: Any) -> bool:
    return int(await pipeline.jobs.count_documents(fields)) == number
