"""A consumer gets SIGKILL or SIGTERM at each point of a deletion: nothing is ever lost."""

import signal
from typing import Any

import pytest

from botdel.local.processes import ChildProcess
from tests.faults.faulty_consumer import (
    BEFORE_ACK,
    BEFORE_CLAIM,
    BEFORE_COMPLETE,
    BEFORE_RECORD,
    BEFORE_RUN,
    BETWEEN_BATCHES,
    POINTS,
    faulty_consumer,
)
from tests.support.pipeline import (
    SERVICE,
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
STANDS: dict[str, set[str | None]] = {
    BEFORE_RECORD: {None},
    BEFORE_ACK: {"pending", "in_progress"},  # a worker that polls may have been quicker
    BEFORE_CLAIM: {"pending", "in_progress"},
}
"""Where the job of a killed consumer may stand; everywhere else it is in progress."""
ENDED: dict[str, list[list[str]]] = {BEFORE_RUN: [[]], BETWEEN_BATCHES: [["interrupted"]]}
"""How the attempts ended that a terminated consumer leaves in the record of its job: none if it has
tried no batch. Before the claim, either may be, because the worker polls.
"""


def consumer_at(pipeline: Pipeline, point: str, number: signal.Signals) -> ChildProcess:
    return faulty_consumer(pipeline, "broken consumer", "--at", point, "--signal", number.name)


async def stored(pipeline: Pipeline, bot: str) -> dict[str, Any]:
    """The job of the bot, which has one."""
    job = await pipeline.job_of(bot)
    assert job is not None
    return job


@pytest.mark.proves("crash-between")
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
    stood = await pipeline.status_of(bot)
    assert stood in STANDS.get(point, {"in_progress"})

    recovery = pipeline.process("recovery", "botdel.cli", "recovery", "--port", "0")
    async with pipeline.consumer(), recovery:
        url = await listening(recovery)

        async def swept_until_complete() -> bool:
            assert await sweep(pipeline, url) == 0
            return await pipeline.status_of(bot) == "complete"

        await until(swept_until_complete)
    assert await pipeline.left(bot) == 0
    assert await pipeline.left(other) == OTHERS
    job = await stored(pipeline, bot)
    assert job["attempt"] == (2 if stood == "in_progress" else 1)
    assert [past["reason"] for past in job["pastAttempts"]] == ["stale"] * (job["attempt"] - 1)


@pytest.mark.proves("hand-over")
@pytest.mark.parametrize("point", POINTS)
async def test_a_terminated_consumer_hands_over_and_the_next_goes_on_without_a_sweep(
    pipeline: Pipeline, point: str
) -> None:
    bot, other = await pipeline.fill(MESSAGES, OTHERS)
    async with consumer_at(pipeline, point, signal.SIGTERM) as broken:
        await publish(pipeline, request_placed(bot))
        assert await broken.wait(WITHIN) == 0

    job = await stored(pipeline, bot)
    if point == BEFORE_COMPLETE:
        assert job["status"] == "complete"
    else:
        if job["status"] == "pending":  # it had not been claimed yet
            assert point in (BEFORE_RECORD, BEFORE_ACK, BEFORE_CLAIM)
        else:
            assert (job["status"], job["failure"]["interrupted"]) == ("failed", True)
            ends = [past["reason"] for past in job["pastAttempts"]]
            assert ends in ENDED.get(point, [[], ["interrupted"]])
        assert job["attempt"] == 0, "an interruption is no fault of the job"
        assert (job["queue"], job["due"]) == (SERVICE, job["createdAt"]), "due, before newer ones"
        under_way = {BETWEEN_BATCHES: 20}.get(point, 0)
        assert MESSAGES - under_way <= await pipeline.left(bot), "it stopped between two batches"

    async with pipeline.consumer():

        async def complete() -> bool:
            return await pipeline.status_of(bot) == "complete"

        await until(complete)
    assert await pipeline.left(bot) == 0
    assert await pipeline.left(other) == OTHERS
    job = await stored(pipeline, bot)
    assert job["attempt"] == 1
    assert job["pastAttempts"] == [], "it has got further since"


@pytest.mark.proves("hand-over")
async def test_a_consumer_terminated_in_a_batch_that_takes_long_hands_over_within_its_grace(
    pipeline: Pipeline,
) -> None:
    """The batch is cut short, and its job is the next replica's at once."""
    pipeline.settings["BOTDEL_SHUTDOWN_GRACE_SECONDS"] = "4"
    (bot,) = await pipeline.fill(MESSAGES)
    async with faulty_consumer(pipeline, "slow", "--pace", "600") as slow:
        await listening(slow)
        await publish(pipeline, request_placed(bot))
        await until(lambda: pipeline.has_status(bot, "in_progress"))
        slow.terminate()
        assert await slow.wait(within=WITHIN) == 0
    job = await stored(pipeline, bot)
    assert (job["status"], job["failure"]["interrupted"], job["attempt"]) == ("failed", True, 0)
    async with pipeline.consumer():
        await until(lambda: pipeline.has_status(bot, "complete"))
