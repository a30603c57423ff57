"""`botdel local up`: how it shows the logs of its processes."""

import json

import pytest

from botdel.local.up import readable, shown
from botdel.terminal import Terminal
from tests.support.hostile import HOSTILE, SHOWN, harmless

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
    assert readable(line) == "info    run ended status=complete"


@pytest.mark.parametrize("line", ["", "plain", "[]", '{"event":"no level"}', "3"])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == line
