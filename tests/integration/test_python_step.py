"""A team's own class in a plan file, in a real consumer that is killed in the middle of it."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from bson import ObjectId

from botdel.local.processes import ChildProcess
from tests.support.pipeline import (
    SERVICE,
    Pipeline,
    listening,
    publish,
    request_placed,
    sweep,
    until,
)

FILES, BEFORE_THE_KILL = 6, 3
STEP = f"""\
import asyncio
from pathlib import Path

from consumers import Batch
from pydantic import BaseModel


class Files:
    class Options(BaseModel):
        root: Path

    def __init__(self, name, options):
        self.name = name
        self.root = options.root

    async def delete(self, bot_id, cursor):
        with (self.root / "began").open("a") as began:
            began.write(f"{{cursor}}\\n")
        done = int(cursor or 0)
        while names := sorted((self.root / bot_id).glob("*"))[:1]:
            if done == {BEFORE_THE_KILL} and not cursor:
                await asyncio.Event().wait()  # until it is killed
            names[0].unlink()
            done += 1
            yield Batch(1, str(done))

    async def is_empty(self, bot_id):
        return not list((self.root / bot_id).glob("*"))
"""


def consumer(pipeline: Pipeline) -> ChildProcess:
    """`botdel consumer`, over a plan whose step stands beside it."""
    folder = pipeline.folder
    (folder / "files_of_a_team.py").write_text(STEP)
    plan = folder / "own.yaml"
    plan.write_text(
        f"service: {SERVICE}\n"
        "steps:\n"
        "  - name: files\n"
        f"    python: {{class: files_of_a_team:Files, options: {{root: {folder}}}}}\n"
    )
    return pipeline.consumer(plan=plan)


def planted(pipeline: Pipeline) -> tuple[str, Path]:
    """A bot, and the folder with its files."""
    bot = str(ObjectId())
    folder = pipeline.folder / bot
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.png").touch()
    return bot, folder


async def has_deleted(pipeline: Pipeline, bot: str, number: int) -> bool:
    """Whether a checkpoint says so."""
    job = await pipeline.job_of(bot)
    return job is not None and [step["deleted"] for step in job["steps"]] == [number]


@pytest.mark.proves("step-suite")
async def test_another_process_goes_on_from_the_cursor_of_one_that_was_killed(
    pipeline: Pipeline,
) -> None:
    bot, folder = planted(pipeline)
    async with consumer(pipeline) as first:
        await listening(first)
        await publish(pipeline, request_placed(bot))
        await until(partial(has_deleted, pipeline, bot, BEFORE_THE_KILL))
        first.kill()

    async def is_complete() -> bool:
        if await pipeline.status_of(bot) == "in_progress":
            assert await sweep(pipeline, url) == 0
            await asyncio.sleep(0.2)  # between two sweeps
        return await pipeline.status_of(bot) == "complete"

    async with (
        consumer(pipeline) as second,
        pipeline.process("recovery", "botdel.cli", "recovery") as recovery,
    ):
        url = await listening(recovery)
        await listening(second)
        await until(is_complete)
    assert list(folder.iterdir()) == []
    assert await has_deleted(pipeline, bot, FILES)
    assert (pipeline.folder / "began").read_text() == f"None\n{BEFORE_THE_KILL}\n"
