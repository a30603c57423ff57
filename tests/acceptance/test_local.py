"""The two commands of a newcomer: everything on this machine, and the demo."""

import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from botdel.local.installation import default_ports
from botdel.local.processes import ChildProcess, is_free
from tests.support.pipeline import WITHIN
from tests.support.polling import eventually, runs

DEMO_WITHIN = 240.0
"""Seconds for the sample data, and for the rest; alone on two cores a demo takes about a minute."""
ROOT = Path(__file__).parents[2]


async def test_local_up_serves_until_ctrl_c_and_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "botdel.cli", "local", "up"]
    env = {"PYTHONPATH": str(ROOT)}
    async with ChildProcess("up", command, cwd=tmp_path, env=env) as up:
        await up.wait_for_line(lambda line: "Ctrl-C ends everything" in line, WITHIN)
        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 6, "emulator, database, gateway, recovery, two consumers"

        environment = (tmp_path / ".local" / "env").read_text()
        token = environment.split("BOTDEL_GATEWAY_TOKENS='")[1].split("'")[0]
        urls = dict(line.rsplit(maxsplit=1) for line in up.lines if "│" not in line and ":" in line)
        url = urls[f"{'gateway':>22}"]
        for name, port in default_ports().items():
            assert urls[f"{name:>22}"].endswith(f":{port}") or not is_free(port), urls
        said = "\n".join(up.lines)
        assert "not provided for" not in said
        assert "Detected HTTP/2 connection" not in said, (
            "the emulator's log, which nobody asked for"
        )
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
            answer = await http.delete(f"{url}/v1/bots/{'ab' * 12}")
        assert answer.status_code == 202
        await up.wait_for_line(lambda line: "run ended" in line and "complete" in line, WITHIN)
        assert token not in "\n".join(up.lines)

        up.signal(signal.SIGINT)
        assert await up.wait(WITHIN) == 0
        await eventually(lambda: not any(runs(child.pid) for child in children))


@pytest.mark.timeout(2 * DEMO_WITHIN + 60)
async def test_the_demo_proves_itself_and_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "botdel.cli", "demo"]
    env = {"PYTHONPATH": str(ROOT)}
    async with ChildProcess("demo", command, cwd=tmp_path, env=env) as demo:
        await demo.wait_for_line(lambda line: "documents of" in line, DEMO_WITHIN)
        children = psutil.Process(demo.pid).children(recursive=True)
        code = await demo.wait(DEMO_WITHIN)
    said = "\n".join(demo.lines)
    assert code == 0, said
    assert "✓" in said
    assert "✗" not in said
    await eventually(lambda: not any(runs(child.pid) for child in children))
