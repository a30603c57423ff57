"""One more service is added as docs/add-a-service.md says, and nothing else changes."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from botdel.local.installation import PLANS
from botdel.local.processes import ChildProcess
from tests.support.commands import has_started, local_up, typed
from tests.support.paths import ROOT
from tests.support.pipeline import WITHIN
from tests.support.polling import eventually, runs

DOCUMENT = ROOT / "docs" / "add-a-service.md"
BOT, OTHER = "65f0a1b2c3d4e5f607182940", "65f0a1b2c3d4e5f607182941"
FOLLOWED_WITHIN = 150.0
"""Seconds for all commands of the page; alone on two cores they take about 20."""
WRITTEN = ["Dockerfile", "avatars_step.py", "plan.yaml", "pytest.ini", "test_avatars_step.py"]


def commands() -> Iterator[str]:
    """What the page tells to type into the second shell, in its order."""
    yield from re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)


def content_of_the_project() -> dict[str, str]:
    """Every source file of the gateway, the contract, and all the other parts, by its hash."""
    folders = ("botdel", "console", "consumers", "deletion", "gateway", "proto", "recovery")
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_first_shell_types_what_the_tests_start() -> None:
    assert "\n```\nmake up\n```\n" in DOCUMENT.read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^up: .*\n\t@\$\(BIN\)/botdel local up ", makefile, re.M)


@pytest.mark.proves("further-service")
@pytest.mark.timeout(FOLLOWED_WITHIN + 3 * WITHIN)
async def test_the_page_is_followed_as_it_is_written_and_nobody_else_notices(
    tmp_path: Path,
) -> None:
    before = content_of_the_project()
    async with local_up(tmp_path) as up:
        await has_started(up)
        others = psutil.Process(up.pid).children(recursive=True)
        said = await followed(tmp_path)
        assert all(runs(other.pid) for other in others), "none was restarted"
        jobs = await jobs_of_the_bot(tmp_path)
        [listed] = await typed(". .local/env; botdel services list --json", tmp_path)
        owing = [each["service"] for each in json.loads(listed) if not each["retired_at"]]
        assert owing == list(PLANS), "nothing is left behind"

    assert content_of_the_project() == before
    files = tmp_path / "avatars"
    assert sorted(path.name for path in files.iterdir() if path.is_file()) == [
        *(WRITTEN[:2]),
        "consumer.log",
        *(WRITTEN[2:]),
    ]
    assert "passed" in said
    assert "failed" not in said
    assert re.search(r"avatars-files +3", said), "the preview"
    assert list((files / "data" / BOT).iterdir()) == []
    assert [path.name for path in (files / "data" / OTHER).iterdir()] == ["1.png"]
    assert {job["service"] for job in jobs} == {"avatars", *PLANS}
    assert len({job["eventId"] for job in jobs}) == 1, "one event, whoever listens"
    await eventually(lambda: not any(runs(other.pid) for other in others))


async def followed(folder: Path) -> str:
    """What all commands of the page say; none of them fails."""
    script = "set -eu\n" + "".join(commands())
    bin_folder = Path(sys.executable).parent
    assert (bin_folder / "botdel").exists(), "the script that .local/env puts on the path"
    env = {"PYTHONPATH": str(ROOT)}
    async with ChildProcess("shell", ["sh", "-c", script], cwd=folder, env=env) as shell:
        code = await shell.wait(FOLLOWED_WITHIN)
    assert code == 0, list(shell.lines)
    return "\n".join(shell.lines)


async def jobs_of_the_bot(folder: Path) -> list[dict[str, str]]:
    """Of all services, as the command line lists them once all are complete."""
    listed = f"botdel jobs list --bot {BOT} --status complete --json"
    script = f"""
        . .local/env
        until [ "$({listed} | grep -o '"eventId"' | wc -l)" = {len(PLANS) + 1} ]; do sleep 0.2; done
        {listed}
    """
    found: list[dict[str, str]] = json.loads("\n".join(await typed(script, folder)))
    return found
