"""Pub/Sub on this machine: Google's emulator where it and Java are found, or the embedded broker.

`BOTDEL_LOCAL_BROKER` names one of them; without it Google's emulator comes first.
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


class LocalSettings(Settings):
    """Which servers run on this machine."""

    local_broker: Literal["google", "embedded"] | None = None
    """Which broker `make demo`, `make up` and most tests start: `google` (the emulator) or
    `embedded`. When it is not set: the emulator where it and Java are found, else the embedded
    broker. The conformance, acceptance and fault suites run on each that is found.
    """


def brokers() -> list[str]:
    """The names of those that can be started here."""
    try:
        PubSubEmulator()
    except ConfigurationError:
        return [EMBEDDED]
    return [GOOGLE, EMBEDDED]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A broker, not started yet, and why it is this one, for people."""

    broker: LocalBroker
    why: str

    def __str__(self) -> str:
        return f"{self.broker.described} ({self.why})"


def choose_broker(
    port: int | None = None, on_line: OnLine | None = None, *, folder: Path | None = None
) -> Chosen:
    """The broker that is wanted, or the first that is found. The embedded one keeps its messages in
    `folder`; without one it forgets them when it ends, as the emulator does.

    Raises `ConfigurationError` when the wanted one is not installed, or none has that name.
    """
    wanted = load(LocalSettings).local_broker
    said = f"BOTDEL_LOCAL_BROKER={wanted}"
    if wanted == EMBEDDED:
        return Chosen(EmbeddedBroker(port, on_line, folder=folder), said)
    try:
        emulator = PubSubEmulator(port, on_line)
    except ConfigurationError as missing:
        if wanted == GOOGLE:
            raise
        return Chosen(EmbeddedBroker(port, on_line, folder=folder), _first_sentence(missing))
    return Chosen(emulator, said if wanted else "it and Java are installed")


def local_broker(port: int | None = None, *, folder: Path | None = None) -> LocalBroker:
    """See `choose_broker`."""
    return choose_broker(port, folder=folder).broker


def _first_sentence(error: ConfigurationError) -> str:
    return str(error).partition(". ")[0]
