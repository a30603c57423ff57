"""The lock of `make up`: one in a folder, and none of its files removed meanwhile."""

import os
import sys
from pathlib import Path

import pytest

from botdel.local.lock import FOLDER, AlreadyRuns, locked
from botdel.local.processes import ChildProcess
from tests.support.paths import ROOT
from tests.support.polling import SOON


async def asked(folder: Path) -> tuple[int, list[str]]:
    """What `make clean` asks before it removes anything: exit code and output."""
    command = [sys.executable, "-m", "botdel.local.lock"]
    async with ChildProcess("lock", command, cwd=folder, env={"PYTHONPATH": str(ROOT)}) as process:
        return await process.wait(SOON), list(process.lines)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_second_one_is_told_of_the_first(tmp_path: Path) -> None:
    second, said = locked(tmp_path), rf"already runs here \(pid {os.getpid()}\)"
    with locked(tmp_path), pytest.raises(AlreadyRuns, match=said), second:
        pass


def test_the_next_one_runs_after_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "new"):
            assert (tmp_path / "new" / "lock").read_text() == str(os.getpid())


async def test_nothing_is_removed_under_one_that_runs(tmp_path: Path) -> None:
    with locked(tmp_path / FOLDER):
        code, [line] = await asked(tmp_path)
    assert code == 1
    assert f"(pid {os.getpid()})" in line
    assert await asked(tmp_path) == (0, [])


@pytest.mark.parametrize("folder", [FOLDER / "pubsub", Path("build/kept/here")])
async def test_nothing_is_removed_under_a_broker_that_was_started_by_hand(
    tmp_path: Path, folder: Path
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    with locked(tmp_path / folder):
        code, [line] = await asked(tmp_path)
    assert code == 1
    assert f"a broker keeps its messages in {folder} (pid {os.getpid()}); stop it first" in line
    assert await asked(tmp_path) == (0, [])


async def test_where_none_has_run_nothing_is_created(tmp_path: Path) -> None:
    assert await asked(tmp_path) == (0, [])
    assert names(tmp_path) == []


async def test_a_process_that_outlives_it_does_not_keep_the_lock(tmp_path: Path) -> None:
    child = ChildProcess("child", ["sh", "-c", "echo up; sleep 60"])
    try:
        with locked(tmp_path):
            await child.start()
            await child.wait_for_line(lambda line: line == "up", SOON)
        with locked(tmp_path):
            pass
    finally:
        await child.stop()
