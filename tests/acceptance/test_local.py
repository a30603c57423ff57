"""The two commands of a newcomer: everything on this machine, and the demo."""

import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.installation import default_ports
from botdel.local.processes import ChildProcess, is_free
from botdel.local.server import LocalBroker
from consumers.main import NOT_PROVIDED
from deletion.adapters.unproxied import unproxied
from deletion.process.run import LOCAL_SERVERS
from tests.support.commands import has_started, local_up, typed
from tests.support.paths import ROOT
from tests.support.pipeline import WITHIN
from tests.support.polling import eventually, runs

DEMO_WITHIN = 240.0
"""Seconds for the sample data, and for all else; alone on two cores a demo takes about a minute."""

CHAT = """
service: chat
steps:
  - name: messages
    mongo: {database: chat, collection: messages, field: botId}
"""

pytestmark = pytest.mark.usefixtures("broker")  # it says which one they start


@pytest.mark.proves("no-process-left")
async def test_local_up_serves_and_leaves_no_process_when_a_consumer_dies_or_on_ctrl_c(
    broker: LocalBroker, tmp_path: Path
) -> None:
    (tmp_path / "chat.yaml").write_text(CHAT)
    async with local_up(tmp_path) as up:
        await has_started(up)
        assert "registered, but" not in "\n".join(up.lines)
        await typed(". .local/env; botdel topology apply --plan chat.yaml", tmp_path)
        children = psutil.Process(up.pid).children(recursive=True)
        [consumer] = [child for child in children if "analytics.yaml" in str(child.cmdline())]
        consumer.kill()
        assert await up.wait(WITHIN) == 1
        await eventually(lambda: not any(runs(child.pid) for child in children))
    said = [line for line in up.lines if line.startswith("botdel: ")]
    assert said == ["botdel: consumer analytics ended (SIGKILL); its last output:"]

    taken = {port for port in default_ports().values() if not is_free(port)}  # by another test
    async with local_up(tmp_path) as up:
        await has_started(up)
        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 10, "four servers, gateway, recovery, four consumers"
        urls = dict(line.rsplit(maxsplit=1) for line in up.lines if "│" not in line and ":" in line)
        for name, port in default_ports().items():
            is_default = urls[f"{name:>22}"].endswith(f":{port}")
            assert is_default or port in taken or not is_free(port), urls
        await _serves(up, tmp_path)

        async with local_up(tmp_path) as second:
            assert await second.wait(WITHIN) == 1
        assert f"already runs here (pid {up.pid})" in "".join(second.lines)

        up.signal(signal.SIGINT)
        assert await up.wait(WITHIN) == 0
        kept = ["pubsub"] if isinstance(broker, EmbeddedBroker) else []
        assert await typed("ls .local", tmp_path) == ["lock", "mongodb", *kept]
        await eventually(lambda: not any(runs(child.pid) for child in children))
    said_now = 'registered, but with no consumer here: chat; .*`botdel services retire NAME --why "'
    assert re.search(said_now, "\n".join(up.lines))


async def _serves(up: ChildProcess, folder: Path) -> None:
    """The settings and commands that it prints work in another shell, and a bot is deleted."""
    said = "\n".join(up.lines)
    assert NOT_PROVIDED not in said
    assert "Detected HTTP/2 connection" not in said, "the emulator's log, which nobody asked for"
    [offered] = await typed('. .local/env; echo "$GATEWAY $GATEWAY_TOKEN"', folder)
    url, token = offered.split()
    async with unproxied(headers={"Authorization": f"Bearer {token}"}, timeout=WITHIN) as http:
        answer = await http.delete(f"{url}/v1/bots/{'ab' * 12}")
    assert answer.status_code == 202
    await up.wait_for_line(lambda line: "run ended" in line and "complete" in line, WITHIN)
    assert token not in "\n".join(up.lines)
    [printed] = [line for line in up.lines if line.startswith("botdel jobs list")]
    assert "ab" * 12 in "\n".join(await typed(f". .local/env; {printed}", folder))
    [printed] = [line for line in up.lines if line.startswith("botdel recover")]
    await typed(f". .local/env; {printed}", folder)


@pytest.mark.proves("nobody-else", "no-process-left")
@pytest.mark.timeout(2 * DEMO_WITHIN + 60)
async def test_the_demo_proves_itself_and_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "botdel.cli", "demo"]
    ended = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1:2/"}
    env = {
        "PYTHONPATH": str(ROOT),
        "BOTDEL_GATEWAY_TOKENS": f"billing:{'s' * 16},ops:{'t' * 16}",
        **ended,  # of a shell that has read the file of an earlier `local up`
        LOCAL_SERVERS: " ".join(ended.values()),
    }
    async with ChildProcess("demo", command, cwd=tmp_path, env=env) as demo:
        await demo.wait_for_line(lambda line: "items of" in line, DEMO_WITHIN)
        children = psutil.Process(demo.pid).children(recursive=True)
        code = await demo.wait(DEMO_WITHIN)
    said = "\n".join(demo.lines)
    assert code == 0, said
    assert "✓" in said
    assert "✗" not in said
    await eventually(lambda: not any(runs(child.pid) for child in children))
