"""A saga over a real API, in consumers that get real signals: forward to its end, or all undone."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from botdel.local.processes import ChildProcess
from tests.support.api import Api, Call, Reply
from tests.support.pipeline import SERVICE, WITHIN, Pipeline, publish, request_placed, until
from tests.support.recovering import recovering, swept_until

UNDONE = ["POST publish", "POST resume"]


def what(call: Call) -> str:
    """Method and last part of the path."""
    return f"{call.method} {call.bot}"


def write_plan(pipeline: Pipeline, api: Api) -> Path:
    """pause → unpublish → [no return] → messages."""
    messages = {"database": pipeline.database, "collection": "messages", "field": "botId"}

    def post(verb: str) -> dict[str, object]:
        return {"http": {"method": "POST", "url": f"{api.url}/{verb}"}}

    steps = [
        {"name": "pause", **post("pause"), "compensation": post("resume")},
        {"name": "unpublish", **post("unpublish"), "compensation": post("publish")},
        {"name": "messages", "mongo": messages, "point_of_no_return": True},
    ]
    path = pipeline.folder / "plan-saga.yaml"
    path.write_text(json.dumps({"service": SERVICE, "steps": steps}))
    return path


def refusing(verb: str) -> Callable[[Call], Reply | None]:
    return lambda call: Reply(409) if call.bot == verb else Reply(204)


@pytest.mark.proves("saga-ends")
async def test_what_was_begun_is_undone_in_reverse_and_nothing_is_deleted(
    pipeline: Pipeline,
) -> None:
    [bot] = await pipeline.fill(5)
    async with (
        Api(behave=refusing("unpublish")) as api,
        pipeline.consumer(plan=write_plan(pipeline, api)) as process,
    ):
        await publish(pipeline, request_placed(bot))
        await until(lambda: pipeline.has_status(bot, "compensated"))
        await process.wait_for_line(lambda line: '"job_compensated"' in line, WITHIN)
    assert [what(call) for call in api.calls] == ["POST pause", "POST unpublish", *UNDONE]
    assert await pipeline.left(bot) == 5
    job = await pipeline.job_of(bot)
    assert job
    assert (job["direction"], job["turnedBack"]["type"]) == ("backward", "HttpRefused")
    assert "live" not in job or job["live"] is False
    assert [(each["name"], each["status"]) for each in job["compensations"]] == [
        ("pause", "complete"),
        ("unpublish", "complete"),
    ]


@pytest.mark.proves("saga-ends")
@pytest.mark.parametrize("verb", ["pause", "unpublish", "publish", "resume"])
async def test_a_process_killed_in_any_call_leaves_nothing_half_done(
    pipeline: Pipeline, verb: str
) -> None:
    """Its answer is lost each time: the call may have been made."""
    [bot] = await pipeline.fill(5)
    running: list[ChildProcess] = []

    def behave(call: Call) -> Reply | None:
        if call.bot == verb and sum(each.bot == verb for each in api.calls) == 1:
            os.kill(running[0].pid, signal.SIGKILL)
            return Reply(delay=30)
        return refusing("unpublish")(call)

    async with Api(behave=behave) as api:
        plan = write_plan(pipeline, api)
        async with pipeline.consumer("killed", plan) as killed:
            running.append(killed)
            await publish(pipeline, request_placed(bot))
            assert await killed.wait(WITHIN) == -signal.SIGKILL
        async with pipeline.consumer("heir", plan), recovering(pipeline) as recovery:
            await swept_until(pipeline, bot, "compensated", recovery.url)
    made = [what(call) for call in api.calls]
    assert list(dict.fromkeys(made)) == ["POST pause", "POST unpublish", *UNDONE]
    assert await pipeline.left(bot) == 5
    repeated = [call.key for call in api.calls if call.bot == verb]
    assert len(repeated) == 2
    assert len(set(repeated)) == 1, "one key, so that the API can tell a repetition"


@pytest.mark.proves("saga-ends")
async def test_a_new_request_for_a_bot_that_was_rolled_back_gets_a_job_of_its_own(
    pipeline: Pipeline,
) -> None:
    [bot] = await pipeline.fill(5)
    async with (
        Api(behave=refusing("unpublish")) as api,
        pipeline.consumer(plan=write_plan(pipeline, api)),
    ):
        await publish(pipeline, request_placed(bot))
        await until(lambda: pipeline.has_status(bot, "compensated"))
        api.behave = lambda _: Reply(204)
        await publish(pipeline, request_placed(bot))

        async def complete() -> bool:
            found: int = await pipeline.jobs.count_documents({"status": "complete"})
            return found == 1

        await until(complete)
    assert await pipeline.left(bot) == 0
