"""Settings and credentials: each that is missing or wrong is named, and its value never shown."""

import json
from pathlib import Path

import pytest

from botdel.doctor.command import doctor, examine
from botdel.doctor.environment import environment_findings
from botdel.doctor.report import line
from deletion.doctor import Finding, Verdict
from tests.unit.botdel.doctor.installation import NEEDED, TOKEN, by_check


def test_settings_and_credentials_that_are_there_are_fine_and_alerts_worth_a_warning() -> None:
    found = by_check(environment_findings())
    for process in ("gateway", "consumer", "recovery"):
        assert found[f"settings of {process}"].status is Verdict.OK
    assert found["alerts"].status is Verdict.WARNING
    assert "BOTDEL_ALERT_WEBHOOK_URL" in found["alerts"].remedy


def test_a_misspelt_setting_is_a_warning_with_the_name_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "unknown settings" not in by_check(environment_findings())
    monkeypatch.setenv("BOTDEL_STALE_AFTER_SECOND", "hunter22")
    monkeypatch.setenv("BOTDEL_X", "hunter22")
    found = by_check(environment_findings())["unknown settings"]
    assert found.status is Verdict.WARNING
    names = "BOTDEL_STALE_AFTER_SECOND (BOTDEL_STALE_AFTER_SECONDS?), BOTDEL_X"
    assert found.detail == f"ignored: {names}"
    assert "hunter22" not in line(found)


def test_a_file_of_settings_that_is_not_text_is_found(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"BOTDEL_X=\xff")
    found = by_check(environment_findings())
    assert ".env: expected UTF-8 text" in found["settings of gateway"].detail


def test_a_console_is_checked_once_it_has_users_and_several_need_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found() -> Finding:
        return by_check(environment_findings())["settings of console"]

    assert "settings of console" not in by_check(environment_findings())
    monkeypatch.setenv("BOTDEL_CONSOLE_USERS", "hunter22")
    assert found().status is Verdict.FAILED
    one = f"vera:viewer:{TOKEN}1,vera:viewer:{TOKEN}2"
    monkeypatch.setenv("BOTDEL_CONSOLE_USERS", one)
    assert found().status is Verdict.OK
    monkeypatch.setenv("BOTDEL_CONSOLE_USERS", f"{one},otto:operator:{TOKEN}3")
    assert found().status is Verdict.WARNING
    assert "BOTDEL_CONSOLE_SECRET is not set" in found().detail
    monkeypatch.setenv("BOTDEL_CONSOLE_SECRET", TOKEN)
    assert found().status is Verdict.OK


def test_where_alerts_go_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTDEL_ALERT_WEBHOOK_URL", "https://hooks.example/hunter22")
    found = by_check(environment_findings())["alerts"]
    assert found.status is Verdict.OK
    assert "hunter22" not in line(found)


@pytest.mark.parametrize(
    ("name", "value", "process"),
    [
        ("BOTDEL_GATEWAY_TOKENS", "", "gateway"),
        ("BOTDEL_GATEWAY_TOKENS", "hunter22", "gateway"),
        ("BOTDEL_RECOVERY_TOKEN", "", "recovery"),
        ("BOTDEL_RECOVERY_TOKEN", "hunter22", "recovery"),
        ("BOTDEL_MONGODB_URI", "hunter22", "consumer"),
        ("BOTDEL_ALERT_WEBHOOK_URL", "hunter22", "alerts"),
    ],
)
def test_a_missing_or_wrong_setting_is_named_and_not_shown(
    name: str, value: str, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    found = by_check(environment_findings())
    finding = found[process if process == "alerts" else f"settings of {process}"]
    assert finding.status is Verdict.FAILED
    assert f"{name}: " in finding.detail
    assert "openssl rand -hex 32" in finding.remedy
    assert "hunter22" not in "".join(map(line, found.values()))


async def test_without_any_setting_everything_that_can_be_said_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name)
    assert await doctor([], 60, as_json=True) == 1
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert "GOOGLE_CLOUD_PROJECT: not set; " in found["Pub/Sub"]["detail"]
    assert "BOTDEL_MONGODB_URI: not set; " in found["MongoDB"]["detail"]
    assert {found[each]["status"] for each in ("Pub/Sub", "MongoDB")} == {"failed"}
    assert "canary" not in found


async def test_a_database_whose_uri_is_wrong_is_one_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://user:hunt@er22@host:port:port/")
    found = by_check(await examine([], 60, lambda _: None))
    assert found["MongoDB"].status is Verdict.FAILED
    assert "er22" not in "".join(map(line, found.values()))
