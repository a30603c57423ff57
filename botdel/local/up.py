"""`botdel local up`: the pipeline on this machine until Ctrl-C."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from rich.text import Text

from botdel.local.installation import Installation, OnLine, default_ports
from botdel.local.lock import FOLDER, locked
from botdel.terminal import Terminal, console, printable
from deletion.errors import Interrupted
from deletion.process.signals import stop_on_signals, unless_stopped

COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue", "bright_red")

CHATTY: Final = ("pubsub",)
"""Processes whose log is shown only with `--verbose`: the emulator logs every connection."""

SET_ASIDE: Final = "what the embedded broker has kept stays in {folder} until it is used again"

IDLE: Final = (
    "registered, but with no consumer here: {services}; each request stays open until it deletes "
    'its share: start its consumer, or `botdel services retire NAME --why "tried out"`'
)

TRY: Final = """\
curl -X DELETE "$GATEWAY/v1/bots/0123456789abcdef01234567" -H "Authorization: Bearer $GATEWAY_TOKEN"
botdel jobs list
botdel requests list
echo "token: ${BOTDEL_CONSOLE_USERS##*:}"; botdel console --port 8090
botdel recover --url "$RECOVERY" --wait
"""
"""Commands to try in a shell that has read `.local/env`; README.md has more."""


async def up(*, verbose: bool) -> int:
    """Start everything, print the addresses, show the logs until a signal, and stop everything.

    A signal during the start ends it at once. Returns 0. Raises ProcessFailed if a process ends by
    itself, and AlreadyRuns if another `up` runs in this folder. The broker's log is shown only if
    `verbose`, but an error of the broker quotes it anyway.
    """
    out = console()

    def show(name: str, line: str) -> None:
        if verbose or name not in CHATTY:
            out.print(shown(name, line), soft_wrap=True)

    with locked(FOLDER), stop_on_signals() as stopping, suppress(Interrupted):
        await unless_stopped(_run(out, show), stopping)
    return 0


async def _run(out: Terminal, show: OnLine) -> None:
    """Run everything until this is cancelled, or a process ends by itself."""
    async with Installation(FOLDER, show, ports=default_ports()) as installation:
        path = write_environment(installation)
        try:
            out.rule("ready")
            out.print(f"broker: {installation.broker}", soft_wrap=True)
            if kept := installation.set_aside:
                out.print(SET_ASIDE.format(folder=kept), soft_wrap=True)
            if idle := installation.idle:
                out.print(printable(IDLE.format(services=", ".join(idle))), soft_wrap=True)
            for name, url in installation.urls.items():
                out.print(f"{name:>22}   {url}", soft_wrap=True)
            out.print(
                f"\nIn another shell:\n\n. {path}\n{TRY}\nCtrl-C ends everything.",
                soft_wrap=True,
            )
            await installation.watch()
        finally:
            path.unlink(missing_ok=True)
            out.rule("stopping")


def shown(name: str, line: str) -> Text:
    """Return a log line after the name of its process, which has its own colour. The lines of a
    traceback follow below.
    """
    colour = COLOURS[sum(name.encode()) % len(COLOURS)]
    sentence, *trace = readable(line)
    text = Text.assemble((f"{name:>22}", colour), " │ ", printable(sentence, keep="\t"))
    for below in trace:
        text.append(f"\n{'':>22} │ ").append(printable(below, keep="\t"))
    return text


def readable(line: str) -> list[str]:
    """Return a JSON log line as a sentence with its fields, followed by the lines of its traceback;
    any other line unchanged.
    """
    try:
        fields = json.loads(line)
        event, level = fields.pop("event"), fields.pop("level")
    except (ValueError, KeyError, AttributeError, TypeError):
        return [line]
    trace = str(fields.pop("exception", "")).split("\n")
    for noise in ("timestamp", "logger"):
        fields.pop(noise, None)
    others = " ".join(f"{name}={value}" for name, value in fields.items())
    return [f"{level:<7} {event} {others}", *filter(None, trace)]


def write_environment(installation: Installation) -> Path:
    """Write `.local/env`, which a shell reads to use this installation. Only its owner may read it.

    It exports the settings of the processes, including those given to `up`, the gateway's URL and a
    token for it, and recovery's URL, and puts `botdel` on the PATH. It leaves out the log format: a
    process started in that shell may log to a terminal.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith("BOTDEL_")}
    offered = (
        given
        | installation.env
        | {
            "GATEWAY": installation.urls["gateway"],
            "GATEWAY_TOKEN": installation.client_token,
            "RECOVERY": installation.urls["recovery"],
        }
    )
    offered.pop("BOTDEL_LOG_FORMAT", None)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "env"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"export {name}={_quoted(value)}\n" for name, value in offered.items())
        file.write(f'export PATH={_quoted(str(Path(sys.executable).parent))}:"$PATH"\n')
    return path


def _quoted(value: str) -> str:
    """Return `value` as one word of a shell."""
    return "'" + value.replace("'", "'\\''") + "'"
