"""The same work asked for many times and by many at once: at most one run owns a job at any time.

What the runs did is read from the ledger, not from what the job says of itself.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import psutil
import pytest
from bson import ObjectId

from botdel.local.processes import ChildProcess
from deletion.adapters.mongo.sweeps import COLLECTION as SWEEPS
from deletion.adapters.pubsub.subscription import PULL_LIMIT
from deletion.adapters.unproxied import unproxied
from deletion.events import BotDeletionSubject
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.job import Status
from tests.faults.faulty_consumer import BEFORE_THIRD_BATCH, BETWEEN_BATCHES, faulty_consumer
from tests.faults.replicas import NEVER_STALE, ledger, recoveries, taken
from tests.support.ledger import Entry, What
from tests.support.pipeline import (
    WITHIN,
    Pipeline,
    listening,
    publish,
    publish_raw,
    request_placed,
    sweep,
    until,
)
from tests.support.recovering import STALE_AFTER, job, seed

REPLICAS = 3
MESSAGES, OTHERS = 45, 30
"""Of a bot that is deleted, in batches of 10, and of one that is not."""
SWEEP_EVERY = 0.5
"""Seconds between two sweeps, each of which is a process of the cron client."""


@asynccontextmanager
async def replicas(pipeline: Pipeline, *options: str) -> AsyncIterator[list[ChildProcess]]:
    """Consumers of one subscription, that listen; all are asked to stop at once."""
    consumers = [faulty_consumer(pipeline, f"consumer {n}", *options) for n in range(REPLICAS)]
    async with AsyncExitStack() as stack:
        for consumer in consumers:
            await stack.enter_async_context(consumer)
        for consumer in consumers:
            await listening(consumer)
        yield consumers
        for consumer in consumers:
            consumer.terminate()


async def abandoned(pipeline: Pipeline, count: int, *, exhausted: int = 0) -> list[str]:
    """Bots with data, and jobs that failed, fell silent, or are exhausted; the ids of the jobs."""
    silent = STALE_AFTER * 2
    kinds = (Status.FAILED, Status.IN_PROGRESS)
    jobs = [job(kinds[n % 2], silent=silent) for n in range(count)]
    jobs += [job(Status.EXHAUSTED, attempt=5, silent=silent) for _ in range(exhausted)]
    bots = await pipeline.fill(*[MESSAGES] * len(jobs))
    return await seed(
        pipeline, [replace(one, bot_id=bot) for one, bot in zip(jobs, bots, strict=True)]
    )


async def all_complete(pipeline: Pipeline) -> bool:
    return await pipeline.jobs.find_one({"status": {"$ne": "complete"}}) is None


async def swept_until(
    pipeline: Pipeline, url: str, condition: Callable[[], Awaitable[bool]]
) -> None:
    """Call the cron client again and again, until the condition holds."""
    async with asyncio.timeout(WITHIN):
        while not await condition():
            assert await sweep(pipeline, url) == 0
            await asyncio.sleep(SWEEP_EVERY)


def claims(entries: Sequence[Entry]) -> Counter[str]:
    """How often each job was claimed."""
    return Counter(entry.job for entry in entries if entry.what is What.CLAIM)


@pytest.mark.proves("duplicates", "one-holder")
async def test_an_event_delivered_to_many_replicas_at_once_is_run_once(pipeline: Pipeline) -> None:
    copies = 10 * PULL_LIMIT  # so many that one replica cannot get them all in one pull
    pipeline.settings |= NEVER_STALE
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    event = request_placed(bot)
    async with replicas(pipeline) as consumers, unproxied(timeout=WITHIN) as http:
        urls = [await listening(consumer) for consumer in consumers]
        await publish(pipeline, *[event] * copies)

        async def all_taken() -> bool:
            each = [await taken(http, url) for url in urls]
            return sum((one.total() for one in each), 0) >= copies

        await until(all_taken)
        await until(lambda: all_complete(pipeline))
        outcomes = [await taken(http, url) for url in urls]
    assert sum(outcome["recorded"] for outcome in outcomes) == 1
    assert sum(outcome["known"] for outcome in outcomes) >= copies - 1
    assert sum(1 for outcome in outcomes if outcome.total()) > 1, "only one of them got any"
    assert list(claims(ledger(pipeline)).values()) == [1]
    done = await pipeline.job_of(bot)
    assert done
    assert (done["attempt"], done["steps"][0]["deleted"]) == (1, MESSAGES)
    assert (await pipeline.left(bot), await pipeline.left(other)) == (0, OTHERS)


@pytest.mark.proves("one-holder")
async def test_jobs_that_several_sweeps_make_pending_at_once_are_run_once_each(
    pipeline: Pipeline,
) -> None:
    pipeline.settings |= NEVER_STALE
    jobs = await abandoned(pipeline, 12)
    async with recoveries(pipeline, 2) as urls, replicas(pipeline):
        for _ in range(2):
            assert await asyncio.gather(*(sweep(pipeline, url) for url in urls * 2)) == [0] * 4
        await until(lambda: all_complete(pipeline))
    sweeps = await pipeline.client[pipeline.database][SWEEPS].find().to_list()
    assert sum(one["resumed"] for one in sweeps) == len(jobs), "each was moved once"
    assert claims(ledger(pipeline)) == dict.fromkeys(jobs, 1)
    assert await pipeline.messages.count_documents({}) == 0


@pytest.mark.proves("heartbeat")
async def test_a_run_longer_than_the_stale_threshold_is_not_disturbed_by_sweeps(
    pipeline: Pipeline,
) -> None:
    pipeline.settings["BOTDEL_STALE_AFTER_SECONDS"] = "8"
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    async with replicas(pipeline, "--pace", "2.5"), recoveries(pipeline, 1) as (url,):
        await publish(pipeline, request_placed(bot))
        await until(lambda: pipeline.has_status(bot, "in_progress"))
        await swept_until(pipeline, url, lambda: pipeline.has_status(bot, "complete"))
    sweeps = await pipeline.client[pipeline.database][SWEEPS].find().to_list()
    assert len(sweeps) > 2
    assert {one["resumed"] for one in sweeps} == {0}
    assert list(claims(ledger(pipeline)).values()) == [1]
    assert (await pipeline.left(bot), await pipeline.left(other)) == (0, OTHERS)


@pytest.mark.proves("one-holder")
async def test_jobs_retried_by_an_operator_during_a_sweep_are_run_once_each(
    pipeline: Pipeline,
) -> None:
    pipeline.settings |= NEVER_STALE
    jobs = await abandoned(pipeline, 3, exhausted=3)

    async def retry(job_id: str) -> int:
        async with pipeline.process("retry", "botdel.cli", "jobs", "retry", job_id) as process:
            return await process.wait(WITHIN)

    async with replicas(pipeline), recoveries(pipeline, 2) as urls:
        ended = await asyncio.gather(
            *(sweep(pipeline, url) for url in urls), *(retry(job_id) for job_id in jobs * 2)
        )
        await until(lambda: all_complete(pipeline))
    assert ended[:2] == [0, 0]
    assert set(ended) <= {0, 1}, "1 says that the job is pending, runs or has ended by now"
    assert claims(ledger(pipeline)) == dict.fromkeys(jobs, 1)
    assert await pipeline.messages.count_documents({}) == 0


@pytest.mark.proves("redelivery-costs-nothing")
async def test_several_old_events_at_once_use_up_no_attempts_of_a_job_that_rests(
    pipeline: Pipeline,
) -> None:
    """Copies of its event, requests for resumption of an older version, and newer requests."""
    pipeline.settings |= NEVER_STALE | {"BOTDEL_REST_SECONDS": "3600"}
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    shared = {"botId": [ObjectId(bot), ObjectId(other)]}  # fails: it is not this bot's alone
    await pipeline.messages.insert_one(shared)
    event, newer = request_placed(bot), [request_placed(bot) for _ in range(5)]
    async with replicas(pipeline), recoveries(pipeline, 1) as (url,):
        await publish(pipeline, event)
        await until(lambda: pipeline.has_status(bot, "failed"))
        await publish(pipeline, *[event] * 30, *newer)
        await publish_raw(pipeline, *(_resume_requested(event) for _ in range(10)))

        async def taken_in() -> bool:
            job = await pipeline.job_of(bot)
            letters = await pipeline.client[pipeline.database]["dead_letters"].find().to_list(99)
            assert {letter["reason"] for letter in letters} <= {"too_new"}
            return bool(job and len(job["eventIds"]) == 6 and len(letters) == 10)

        await until(taken_in)
        for _ in range(5):
            assert await sweep(pipeline, url) == 0
        marker = request_placed(other)
        await publish(pipeline, marker)
        await until(lambda: pipeline.has_status(other, "failed"))  # of the shared document as well
        job = await pipeline.job_of(bot)
        assert job
        assert (job["status"], job["attempt"], job["pastAttempts"]) == ("failed", 1, [])
        assert set(claims(ledger(pipeline)).values()) == {1}

        await pipeline.messages.delete_one(shared)
        retry = ("botdel.cli", "jobs", "retry", "--status", "failed")
        async with pipeline.process("retry", *retry) as retried:
            assert await retried.wait(WITHIN) == 0
        await until(lambda: all_complete(pipeline))
    assert await pipeline.messages.count_documents({}) == 0


def _resume_requested(event: BotDeletionSubject) -> bytes:
    """What an older version asked recovery's resumption with: type 2 and field 11, now reserved."""
    subject = pb.BotDeletionSubject(event_id=str(uuid4()), version=1, bot_id=event.bot_id)
    subject.event_type = 2  # type: ignore[assignment]
    subject.timestamp.FromDatetime(datetime.now(UTC))
    field_11 = bytes([11 << 3 | 2, 26, 1 << 3 | 2, 24]) + str(ObjectId()).encode()
    return subject.SerializeToString() + field_11


@pytest.mark.proves("one-holder")
@pytest.mark.parametrize("wakes", ["during the next run", "after the next run"])
@pytest.mark.parametrize(("stopped_at", "batches"), [(BETWEEN_BATCHES, 0), (BEFORE_THIRD_BATCH, 1)])
async def test_a_stopped_consumer_that_wakes_when_another_has_its_job_stops_at_its_next_fence(
    pipeline: Pipeline, stopped_at: str, batches: int, wakes: str
) -> None:
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    options = ("--at", stopped_at, "--signal", signal.SIGSTOP.name)
    async with faulty_consumer(pipeline, "stopped", *options) as stopped:
        await publish(pipeline, request_placed(bot))
        await until(lambda: _is_stopped(stopped))
        before = await pipeline.job_of(bot)
        assert before

        async def taken_over() -> bool:
            now = await pipeline.job_of(bot)
            return bool(now and now["claimedBy"] != before["claimedBy"])

        heir = faulty_consumer(pipeline, "heir", "--pace", "0.5")
        async with heir, recoveries(pipeline, 1) as (url,):
            await swept_until(pipeline, url, taken_over)
            if wakes == "after the next run":
                await _completed(pipeline, bot, url)
            stopped.signal(signal.SIGCONT)
            await stopped.wait_for_line(lambda line: '"lease lost"' in line, WITHIN)
            await _completed(pipeline, bot, url)

    entries = ledger(pipeline)
    taken_at = next(entry.ended for entry in entries if entry.before == before["claimedBy"])
    afterwards = [e.what for e in entries if e.owner == before["claimedBy"] and e.began > taken_at]
    assert What.REFUSED in afterwards
    assert What.WRITE not in afterwards
    assert afterwards.count(What.DELETE) <= batches
    assert (await pipeline.left(bot), await pipeline.left(other)) == (0, OTHERS)


@pytest.mark.proves("deadly-deletion")
async def test_a_job_that_kills_its_process_each_time_is_exhausted_and_its_record_says_where(
    pipeline: Pipeline,
) -> None:
    attempts = 3
    pipeline.settings["BOTDEL_MAX_ATTEMPTS"] = str(attempts)
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    await publish(pipeline, request_placed(bot))
    async with recoveries(pipeline, 1) as (url,):
        for _ in range(attempts):
            async with faulty_consumer(pipeline, "doomed", "--at", BEFORE_THIRD_BATCH) as doomed:

                async def dead(doomed: ChildProcess = doomed) -> bool:
                    return not doomed.running

                await swept_until(pipeline, url, dead)
                assert doomed.returncode == -signal.SIGKILL

        await swept_until(pipeline, url, lambda: pipeline.has_status(bot, "exhausted"))
        job = await pipeline.job_of(bot)
        assert job
        stood = [(p["attempt"], p["step"], p["batch"], p["reason"]) for p in job["pastAttempts"]]
        assert stood == [(n, "messages", 3, "stale") for n in range(1, attempts + 1)]
        owners = [entry.owner for entry in ledger(pipeline) if entry.what is What.CLAIM]
        assert [past["claimedBy"] for past in job["pastAttempts"]] == owners

        async with pipeline.consumer():  # the cause is gone, and an operator says so
            retried = pipeline.process("retry", "botdel.cli", "jobs", "retry", str(job["_id"]))
            async with retried:
                assert await retried.wait(WITHIN) == 0
            await until(lambda: pipeline.has_status(bot, "complete"))
    assert (await pipeline.left(bot), await pipeline.left(other)) == (0, OTHERS)


async def _is_stopped(process: ChildProcess) -> bool:
    return bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


async def _completed(pipeline: Pipeline, bot: str, url: str) -> None:
    await swept_until(pipeline, url, lambda: pipeline.has_status(bot, "complete"))
