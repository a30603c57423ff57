"""A misspelt setting is not an error, but it is said, once, and without its value."""

from pathlib import Path

import pytest
from structlog.typing import EventDict

from deletion.process.known_settings import UNKNOWN, unknown_settings
from deletion.process.run import serve

pytestmark = pytest.mark.usefixtures("no_settings")


def said_at_start(logs: list[EventDict]) -> list[EventDict]:
    """What a process says of its settings before it ends, at once."""

    async def main() -> None:
        raise OSError("cannot listen")

    with pytest.raises(SystemExit):
        serve(main())
    return [entry for entry in logs if entry["event"] == UNKNOWN]


def test_a_process_warns_of_a_misspelt_setting_in_the_environment_and_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logs: list[EventDict]
) -> None:
    monkeypatch.setenv("BOTDEL_STALE_AFTER_SECOND", "hunter22")
    (tmp_path / ".env").write_text("BOTDEL_MAX_ATEMPTS=hunter22\nBOTDEL_STALE_AFTER_SECOND=5\n")
    warned = {"event": UNKNOWN, "log_level": "warning"}
    assert said_at_start(logs) == [
        warned | {"name": "BOTDEL_MAX_ATEMPTS", "closest": "BOTDEL_MAX_ATTEMPTS"},
        warned | {"name": "BOTDEL_STALE_AFTER_SECOND", "closest": "BOTDEL_STALE_AFTER_SECONDS"},
    ]
    assert "hunter22" not in str(logs)


def test_a_name_that_is_like_no_other_is_said_alone(
    monkeypatch: pytest.MonkeyPatch, logs: list[EventDict]
) -> None:
    monkeypatch.setenv("BOTDEL_X", "1")
    [warned] = said_at_start(logs)
    assert warned == {"event": UNKNOWN, "log_level": "warning", "name": "BOTDEL_X"}


def test_the_settings_of_another_process_and_of_others_are_no_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("BOTDEL_CONSOLE_SECRET", "BOTDEL_LOCAL_SERVERS", "botdel_topic", "BOT_DELETION"):
        monkeypatch.setenv(name, "1")
    (tmp_path / ".env").write_text("BOTDEL_VERSION=dev\nOTHER=1\n")
    assert unknown_settings() == {}
