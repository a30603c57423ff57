"""A consumer gets SIGKILL or SIGTERM at each point of a deletion: nothing is ever lost."""

import signal

import pytest

from botdel.local.processes import ChildProcess
from tests.faults.faulty_consumer import (
    BEFORE_COMPLETE,
    BEFORE_RECORD,
    BETWEEN_BATCHES,
    POINTS,
    faulty_consumer,
)
from tests.support.pipeline import (
    WITHIN,
    Pipeline,
    listening,
    publish,
    request_placed,
    sweep,
    until,
)

MESSAGES, OTHERS = 45, 30
"""Of the bot that is deleted, in batches of 10, and of one that is not."""


def consumer_at(pipeline: Pipeline, point: str, number: signal.Signals) -> ChildProcess:
    return faulty_consumer(pipeline, "broken consumer", "--at", point, "--signal", number.name)


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_consumer_leaves_the_message_or_the_job_and_both_are_enough(
    pipeline: Pipeline, point: str
) -> None:
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    async with consumer_at(pipeline, point, signal.SIGKILL) as broken:
        await publish(pipeline, request_placed(bot))
        assert await broken.wait(WITHIN) == -signal.SIGKILL

    deleted = {BETWEEN_BATCHES: 10, BEFORE_COMPLETE: MESSAGES}.get(point, 0)
    assert await pipeline.left(bot) == MESSAGES - deleted
    assert await pipeline.status_of(bot) == (None if point == BEFORE_RECORD else "in_progress")

    recovery = pipeline.process("recovery", "botdel.cli", "recovery", "--port", "0")
    async with pipeline.consumer(), recovery:
        url = await listening(recovery)

        async def swept_until_complete() -> bool:
            assert await sweep(pipeline, url) == 0
            return await pipeline.status_of(bot) == "complete"

        await until(swept_until_complete)
    assert await pipeline.left(bot) == 0
    assert await pipeline.left(other) == OTHERS
    job = await pipeline.job_of(bot)
    assert job is not None
    assert job["attempt"] == (1 if point == BEFORE_RECORD else 2)


@pytest.mark.parametrize("point", POINTS)
async def test_a_terminated_consumer_hands_over_and_the_next_goes_on_without_a_sweep(
    pipeline: Pipeline, point: str
) -> None:
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    async with consumer_at(pipeline, point, signal.SIGTERM) as broken:
        await publish(pipeline, request_placed(bot))
        assert await broken.wait(WITHIN) == 0

    job = await pipeline.job_of(bot)
    assert job is not None
    if point == BEFORE_COMPLETE:
        assert job["status"] == "complete"
    else:
        assert (job["status"], job["failure"]["interrupted"]) == ("failed", True)
        assert job["attempt"] == 0, "an interruption is no fault of the job"
        left = await pipeline.left(bot)
        under_way = 20 if point == BETWEEN_BATCHES else 0
        assert MESSAGES - under_way <= left, "it stopped between two batches"

    async with pipeline.consumer():

        async def complete() -> bool:
            return await pipeline.status_of(bot) == "complete"

        await until(complete)
    assert await pipeline.left(bot) == 0
    assert await pipeline.left(other) == OTHERS
    job = await pipeline.job_of(bot)
    assert job is not None
    assert job["attempt"] == 1
