"""`botdel local up`: how it shows the logs of its processes, and what it offers a shell."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from botdel.local import up
from botdel.local.installation import Installation
from botdel.local.lock import FOLDER
from botdel.local.processes import ChildProcess, ProcessFailed
from botdel.local.up import readable, shown, write_environment
from botdel.terminal import Terminal
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.polling import SOON

LOGGED = json.dumps({"event": f"event {HOSTILE}", "level": "info", HOSTILE: HOSTILE, "logger": "x"})


@pytest.mark.parametrize("line", [HOSTILE, LOGGED, json.dumps({"event": "\ud800", "level": "i"})])
def test_no_line_of_a_log_acts_on_the_terminal(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal(width=40).print(shown("gateway", line), soft_wrap=True)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith(f"{'gateway':>22} │ ")
    assert harmless(said)
    assert SHOWN in said or r"\ud800" in said


def test_a_line_of_json_reads_as_a_sentence() -> None:
    line = '{"event":"run ended","level":"info","timestamp":"t","logger":"l","status":"complete"}'
    assert readable(line) == ["info    run ended status=complete"]


def test_a_traceback_has_its_lines_below(capsys: pytest.CaptureFixture[str]) -> None:
    trace = f'Traceback:\n  File "a.py", line 1\nValueError: {HOSTILE}'
    line = json.dumps({"event": "run failed", "level": "error", "exception": trace})
    Terminal(width=40).print(shown("gateway", line), soft_wrap=True)
    said = capsys.readouterr().out
    first, *below = said.splitlines()
    assert first == f"{'gateway':>22} │ error   run failed "
    assert all(each.startswith(f"{'':>22} │ ") for each in below)
    assert below[1].endswith(' │   File "a.py", line 1')
    assert harmless(said)


@pytest.mark.parametrize("line", ["", "plain", "[]", '{"event":"no level"}', "3"])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == [line]


def test_a_shell_that_reads_the_file_has_the_settings_the_gateway_and_botdel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = Installation(tmp_path, lambda *_: None)
    monkeypatch.setenv("BOTDEL_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://of-an-earlier-one/")
    parts.env = {
        "BOTDEL_LOG_FORMAT": "json",
        "BOTDEL_GATEWAY_TOKENS": f"billing:{'s' * 16}",
        "GOOGLE_CLOUD_PROJECT": "local",
        "BOTDEL_MONGODB_URI": 'mongodb://it\'s:"$HOME"@host/?a=1&b=2',
    }
    parts.urls = {"gateway": "http://127.0.0.1:8080", "recovery": "http://127.0.0.1:8082"}
    path = write_environment(parts)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "BOTDEL_LOG_FORMAT" not in path.read_text()
    names = ("GATEWAY", "GATEWAY_TOKEN", "RECOVERY", "BOTDEL_MAX_ATTEMPTS", "BOTDEL_MONGODB_URI")
    script = f". {path}; for name in {' '.join(names)}; do printenv $name; done; echo $PATH"
    said = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
    *values, paths = said.splitlines()
    assert values == [
        "http://127.0.0.1:8080",
        "s" * 16,
        "http://127.0.0.1:8082",
        "2",
        parts.env["BOTDEL_MONGODB_URI"],
    ]
    assert paths.split(":")[0] == str(Path(sys.executable).parent)


class Ending(Installation):
    """An installation that starts at once, and whose gateway then ends by itself."""

    async def __aenter__(self) -> "Ending":
        self.env = {"BOTDEL_GATEWAY_TOKENS": "s" * 16, "GOOGLE_CLOUD_PROJECT": "local"}
        self.urls = {"gateway": "http://127.0.0.1:8080", "recovery": "http://127.0.0.1:8082"}
        return self

    async def watch(self) -> None:
        assert (FOLDER / "env").exists()
        raise ProcessFailed(ChildProcess("gateway", []), "ended (SIGKILL)")


async def test_the_file_goes_with_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(up, "Installation", Ending)
    with pytest.raises(ProcessFailed, match="gateway ended"):
        await up.up(verbose=False)
    assert not (tmp_path / FOLDER / "env").exists()


class Starting(Installation):
    """An installation whose start takes for ever, during which somebody presses Ctrl-C."""

    async def __aenter__(self) -> "Starting":
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        return self


async def test_ctrl_c_during_the_start_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(up, "Installation", Starting)
    async with asyncio.timeout(SOON):
        assert await up.up(verbose=False) == 0
    assert "ready" not in capsys.readouterr().out
