"""How findings read, for people and for machines."""

import json
from io import StringIO

import pytest

from botdel.doctor.findings import failed, ok, warning
from botdel.doctor.report import show, tabulate
from botdel.terminal import Terminal
from deletion.doctor import Finding
from tests.support.hostile import HOSTILE, SHOWN, harmless


@pytest.fixture
def findings() -> list[Finding]:
    return [ok("one", "fine"), warning("two", "who knows", "look"), failed("three", "bad", "do")]


def test_each_finding_is_a_line_with_its_remedy(
    findings: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    show(findings, as_json=False)
    assert capsys.readouterr().out == "✓ one: fine\n! two: who knows → look\n✗ three: bad → do\n"


def test_on_a_terminal_what_to_do_is_unbroken_below_the_table() -> None:
    command = f"`gcloud {'x' * 200}`"
    out = StringIO()
    tabulate([failed("one", "y" * 100, command), ok("two", "fine")], Terminal(file=out, width=40))
    lines = out.getvalue().splitlines()
    assert lines[-1] == f"one → {command}"
    assert "".join(lines[:-1]).count("y") == 100
    assert not any("two →" in line for line in lines)


def test_what_a_broker_or_a_database_says_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = [failed("one", f"detail {HOSTILE}", f"remedy {HOSTILE}")]
    tabulate(hostile, Terminal(width=1_000))
    show(hostile, as_json=False)
    shown = capsys.readouterr().out
    assert shown.count(f"detail {SHOWN}") == 2
    assert shown.count(f"→ remedy {SHOWN}") == 2
    assert harmless(shown)


def test_machines_get_the_same(findings: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    show(findings, as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"check": "one", "status": "ok", "detail": "fine", "remedy": ""},
        {"check": "two", "status": "warning", "detail": "who knows", "remedy": "look"},
        {"check": "three", "status": "failed", "detail": "bad", "remedy": "do"},
    ]
