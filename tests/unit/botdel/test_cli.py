"""The console script: what a person reads of an error."""

import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence

import pytest
from pydantic_settings import BaseSettings

from botdel import cli
from botdel.local.processes import ChildProcess
from consumers.settings import ConsumerSettings
from deletion import __version__
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import BotDeletionError, BusUnavailable, ConfigurationError, StoreUnavailable
from deletion.job import Status
from deletion.operating.jobs import BY_STATUS
from deletion.process.run import serve
from gateway.settings import GatewaySettings
from recovery.client import Exit
from recovery.settings import RecoverySettings
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.polling import SOON


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The tests' own again, after `main` has set those of the command."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def said_by(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    """Exit code and standard error of a command that raises `error`."""

    def app() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def test_an_error_is_a_sentence_that_does_not_act_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = said_by(BotDeletionError(f"one {HOSTILE}\n  two"), monkeypatch, capsys)
    assert (code, said) == (1, f"botdel: one {SHOWN}\n  two\n")
    assert harmless(said)


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (StoreUnavailable("MongoDB cannot be used now (x)"), "BOTDEL_MONGODB_URI"),
        (BusUnavailable("Pub/Sub does not answer (x)"), "PUBSUB_EMULATOR_HOST"),
    ],
)
def test_what_does_not_answer_is_told_with_the_setting_to_look_at(
    error: Exception,
    setting: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = said_by(error, monkeypatch, capsys)
    assert code == 1
    assert setting in said


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (StoreUnavailable("x"), "BOTDEL_MONGODB_URI"),
        (BusUnavailable("x"), "PUBSUB_EMULATOR_HOST"),
    ],
)
def test_a_server_that_make_up_started_may_listen_elsewhere_by_now(
    error: Exception,
    setting: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(setting, "127.0.0.1:1")
    monkeypatch.setenv("BOTDEL_LOCAL_SERVERS", "127.0.0.1:2 127.0.0.1:1")
    _, said = said_by(error, monkeypatch, capsys)
    assert said.startswith("botdel: x; `make up` started it: is that running?")
    assert said.endswith("`. .local/env` again\n")
    monkeypatch.setenv("BOTDEL_LOCAL_SERVERS", "127.0.0.1:2")
    assert ".local/env" not in said_by(error, monkeypatch, capsys)[1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (OSError(98, "cannot listen on h, port 1"), 1),
        (StoreUnavailable("x"), 1),
    ],
)
def test_a_process_with_a_main_of_its_own_ends_as_a_command_does(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        serve(main())
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(f"botdel: {error}")


def test_an_error_that_nobody_expects_keeps_its_trace() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve(main())


def test_what_is_set_wrong_has_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said_by(ConfigurationError("x"), monkeypatch, capsys) == (2, "botdel: x\n")


@pytest.mark.parametrize("typed", [(), ("jobs",), ("jobs", "list")])
def test_an_argument_that_cannot_be_is_quoted_as_it_is(
    typed: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["botdel", *typed, "[/v1] [bold]b"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "[/v1] [bold]b" in capsys.readouterr().err


def printed(typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints that works, on one line and without the frames of a help."""
    monkeypatch.setattr(sys, "argv", ["botdel", *typed.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed("--version", monkeypatch, capsys) == f"botdel {__version__}"


@pytest.mark.parametrize("settings", [GatewaySettings, ConsumerSettings, RecoverySettings])
def test_the_help_of_a_process_names_settings_and_defaults_of_its_address(
    settings: type[BaseSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = settings.__name__.removesuffix("Settings").lower()
    said = printed(f"{process} --help", monkeypatch, capsys)
    for name in (f"{process}_host", f"{process}_port"):
        default = settings.model_fields[name].default
        assert f"BOTDEL_{name.upper()} ({default})" in said


def test_the_help_of_the_cron_client_names_its_token_and_every_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = printed("recover --help", monkeypatch, capsys).partition("Exit codes: ")
    assert "BOTDEL_RECOVERY_TOKEN" in said[0]
    codes = said[2].partition(" ╭")[0]
    assert [int(code) for code in re.findall(r"\b\d\b", codes)] == [*Exit]


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        ("jobs list", "--status", Status),
        ("jobs retry", "--status", BY_STATUS),
        ("dead-letters list", "--status", DeadLetterStatus),
        ("dead-letters list", "--reason", Reason),
        ("dead-letters replay", "--reason", Reason),
        ("dead-letters discard", "--reason", Reason),
    ],
)
def test_the_help_of_a_filter_lists_what_it_takes(
    command: str,
    option: str,
    names: Iterable[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By hand, because help is printed without loading what knows the names."""
    said = printed(f"{command} --help", monkeypatch, capsys)
    listed = said.partition(f" {option} ")[2].partition(": ")[2].partition(".")[0]
    assert set(re.findall(r"\w+", re.sub(r"\(.*?\)", "", listed))) - {"or"} == set(names)


def test_the_help_says_where_settings_come_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["botdel", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "BOTDEL_* variables and .env" in " ".join(capsys.readouterr().out.split())


async def test_ctrl_c_before_a_command_runs_ends_it_without_a_traceback() -> None:
    imports = "import time; cli.app = lambda: (print('importing'), time.sleep(60))"
    script = f"from botdel import cli; {imports}; cli.main()"
    async with ChildProcess("botdel", [sys.executable, "-c", script]) as process:
        await process.wait_for_line(lambda line: line == "importing", SOON)
        process.signal(signal.SIGINT)
        assert await process.wait(SOON) == -signal.SIGINT
    assert list(process.lines) == ["importing"]
