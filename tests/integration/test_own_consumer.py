"""A program of a team's own, over a plan made in Python, on the real broker and database."""

import sys
from functools import partial

import pytest
from bson import ObjectId

from botdel.local.processes import ChildProcess
from tests.support.forked import ForkedProcess
from tests.support.paths import ROOT
from tests.support.pipeline import WITHIN, Pipeline, listening, publish, request_placed, until

PROGRAM = """\
import asyncio
from pathlib import Path

from consumers import Batch, Plan, run


class Files:
    name = "files"

    def __init__(self, root):
        self.root = root

    async def delete(self, bot_id, cursor):
        while names := sorted((self.root / bot_id).glob("*"))[:2]:
            for name in names:
                name.unlink()
            yield Batch(len(names), names[-1].name)

    async def is_empty(self, bot_id):
        return not list((self.root / bot_id).glob("*"))


PLAN = Plan("avatars", (Files(Path("data")),))

if __name__ == "__main__":
    run(PLAN)
"""


def own_consumer(pipeline: Pipeline) -> ChildProcess:
    """The program, in the folder of the pipeline."""
    program = pipeline.folder / "program.py"
    program.write_text(PROGRAM)
    env = pipeline.env | {"PYTHONPATH": str(ROOT), "BOTDEL_CONSUMER_PORT": "0"}
    return ChildProcess("program", [sys.executable, program], env=env, cwd=pipeline.folder)


async def run_command(pipeline: Pipeline, *arguments: str) -> None:
    """Run a command of `botdel` where the program is."""
    argv = ["botdel.cli", *arguments]
    async with ForkedProcess("botdel", argv, env=pipeline.env, cwd=pipeline.folder) as command:
        assert await command.wait(WITHIN) == 0, list(command.lines)


async def is_complete(pipeline: Pipeline, bot: str) -> bool:
    return await pipeline.status_of(bot) == "complete"


@pytest.mark.proves("plan-in-python")
async def test_a_plan_made_in_python_needs_no_plan_file(pipeline: Pipeline) -> None:
    bot = str(ObjectId())
    folder = pipeline.folder / "data" / bot
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.png").touch()
    program = own_consumer(pipeline)
    await run_command(pipeline, "topology", "apply", "--plan", "program:PLAN")
    async with program:
        await listening(program)
        await publish(pipeline, request_placed(bot))
        await until(partial(is_complete, pipeline, bot))
        program.terminate()
        assert await program.wait(WITHIN) == 0
    assert list(folder.iterdir()) == []
    job = await pipeline.job_of(bot)
    assert job is not None
    assert [(step["name"], step["deleted"]) for step in job["steps"]] == [("files", 5)]
