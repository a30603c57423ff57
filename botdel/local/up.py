"""`botdel local up`: the pipeline on this machine until Ctrl-C."""

import json
import os
from pathlib import Path
from typing import Final

from rich.text import Text

from botdel.local.installation import Installation, default_ports
from botdel.terminal import console, printable
from deletion.process.signals import stop_on_signals

FOLDER: Final = Path(".local")
"""Data and credentials of this installation, below the working directory."""
COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue", "bright_red")

CHATTY: Final = ("pubsub",)
"""Whose log is shown only when it is asked for: the emulator's Java notes every connection."""


async def up(*, verbose: bool) -> int:
    """Start everything, say where it listens, show the logs, and take all down. Returns 0.

    The broker's log is shown only when `verbose`; whether or not, an error that ends the start
    quotes it.
    """
    out = console()

    def show(name: str, line: str) -> None:
        if verbose or name not in CHATTY:
            out.print(shown(name, line), soft_wrap=True)

    with stop_on_signals() as stopping:
        async with Installation(FOLDER, show, ports=default_ports()) as installation:
            environment = _write_environment(installation.env)
            out.rule("ready")
            for name, url in installation.urls.items():
                out.print(f"{name:>22}   {url}", soft_wrap=True)
            out.print(
                f"\nsource {environment}\n"
                f"curl -X DELETE {installation.urls['gateway']}/v1/bots/0123456789abcdef01234567 "
                '-H "Authorization: Bearer $BOTDEL_GATEWAY_TOKENS"\n'
                f"botdel jobs list; botdel recover --url {installation.urls['recovery']} --wait\n"
                "Ctrl-C ends everything.",
                soft_wrap=True,
            )
            await stopping.wait()
            out.rule("stopping")
    return 0


def shown(name: str, line: str) -> Text:
    """A line of a process's log behind the name of the process, which has a colour of its own."""
    colour = COLOURS[sum(name.encode()) % len(COLOURS)]
    return Text.assemble((f"{name:>22}", colour), " │ ", printable(readable(line), keep="\t"))


def readable(line: str) -> str:
    """A JSON log line as a sentence with its fields; any other line as it is."""
    try:
        fields = json.loads(line)
        event, level = fields.pop("event"), fields.pop("level")
    except (ValueError, KeyError, AttributeError, TypeError):
        return line
    for noise in ("timestamp", "logger"):
        fields.pop(noise, None)
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{level:<7} {event} {rest}"


def _write_environment(env: dict[str, str]) -> Path:
    """What a shell needs to talk to this installation, readable by its owner alone."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "env"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"export {name}='{value}'\n" for name, value in env.items())
    return path
