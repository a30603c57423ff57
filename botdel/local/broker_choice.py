"""Pub/Sub on this machine: Google's emulator if it and Java are installed, or the embedded broker.

`BOTDEL_LOCAL_BROKER` chooses one of them. Without it, Google's emulator comes first.
`tests/support/brokers.py` says which of them a test runs over.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator
from botdel.local.server import LocalBroker, OnLine
from deletion.errors import ConfigurationError
from deletion.process.settings import Settings, load

GOOGLE: Final = "google"
EMBEDDED: Final = "embedded"
INSTALL: Final = (
    "apt-get install google-cloud-cli-pubsub-emulator openjdk-17-jre-headless, or see README.md"
)
NEEDS_NEITHER: Final = (
    "unset BOTDEL_LOCAL_BROKER, or set it to embedded, which needs neither the emulator nor Java"
)


class LocalSettings(Settings):
    """Which servers run on this machine."""

    local_broker: Literal["google", "embedded"] | None = None
    """Which broker `make demo`, `make up` and the tests start: `google` (the emulator) or
    `embedded`. If it is not set: the emulator if it and Java are installed, else the embedded
    broker. Tests of a broker itself use the embedded one; with EACH_BROKER=1 they, the acceptance
    tests and the fault suite run over each that is installed.
    """


def brokers() -> list[str]:
    """Return the names of the brokers that tests may run over, the chosen one first.

    Raises `ConfigurationError` if BOTDEL_LOCAL_BROKER names none of them.
    """
    return [name for name in (GOOGLE, EMBEDDED) if not why_left_out(name)]


def why_left_out(name: str) -> str:
    """Return in one line why no test runs over this broker; "" if tests may run over it."""
    if wanted := load(LocalSettings).local_broker:
        return "" if name == wanted else f"not over {name}, because BOTDEL_LOCAL_BROKER={wanted}"
    if name == EMBEDDED:
        return ""
    try:
        PubSubEmulator()
    except ConfigurationError as missing:
        return f"{missing.what}; {INSTALL}"
    return ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A broker that is not started yet, and why it was chosen, for people."""

    broker: LocalBroker
    why: str

    def __str__(self) -> str:
        return f"{self.broker.described} ({self.why})"


def choose_broker(
    port: int | None = None, on_line: OnLine | None = None, *, folder: Path | None = None
) -> Chosen:
    """Return the broker that BOTDEL_LOCAL_BROKER names or, if it is not set, the first installed.

    The embedded broker keeps its messages in `folder`; without one it forgets them when it ends, as
    the emulator does. Raises `ConfigurationError` if the named broker is unknown or not installed.
    """
    wanted = load(LocalSettings).local_broker
    by_setting = f"BOTDEL_LOCAL_BROKER={wanted}"
    if wanted == EMBEDDED:
        return Chosen(EmbeddedBroker(port, on_line, folder=folder), by_setting)
    try:
        emulator = PubSubEmulator(port, on_line)
    except ConfigurationError as missing:
        if wanted == GOOGLE:
            remedy = f"{NEEDS_NEITHER}; {missing.remedy}"
            raise ConfigurationError(f"{by_setting}: {missing.what}", remedy) from None
        return Chosen(EmbeddedBroker(port, on_line, folder=folder), missing.what)
    return Chosen(emulator, by_setting if wanted else "it and Java are installed")
