"""Run the commands that a person types."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from botdel.local.processes import ChildProcess
from tests.support.paths import ROOT
from tests.support.pipeline import WITHIN, Pipeline


async def botdel(pipeline: Pipeline, *arguments: str) -> tuple[int, list[str]]:
    """Run a command to its end; return its exit code and output."""
    async with pipeline.process("botdel", "botdel.cli", *arguments) as process:
        code = await process.wait(WITHIN)
    return code, list(process.lines)


async def output_of(pipeline: Pipeline, *arguments: str) -> Any:
    """Run a command and return the JSON that it prints."""
    code, lines = await botdel(pipeline, *arguments, "--json")
    assert code == 0, lines
    return json.loads(lines[-1])


def local_up(folder: Path) -> ChildProcess:
    """`botdel local up` in `folder`, not started yet."""
    command = [sys.executable, "-m", "botdel.cli", "local", "up"]
    return ChildProcess("up", command, cwd=folder, env={"PYTHONPATH": str(ROOT)})


async def has_started(up: ChildProcess) -> None:
    """Wait until `local up` has started everything."""
    await up.wait_for_line(lambda line: "Ctrl-C ends everything" in line, WITHIN)


async def typed(script: str, folder: Path) -> list[str]:
    """The output of commands typed into another shell."""
    async with ChildProcess(
        "shell", ["sh", "-c", script], cwd=folder, env={"PYTHONPATH": str(ROOT)}
    ) as shell:
        code = await shell.wait(WITHIN)
    assert code == 0, list(shell.lines)
    return list(shell.lines)


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that finds this repository."""
    found = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    return subprocess.run(
        [sys.executable, *options, "-c", found],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
