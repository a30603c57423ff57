"""`botdel local pubsub`: the embedded broker as a process."""

import ipaddress
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from botdel.local.broker.journal import Journal
from botdel.local.broker.server import Server
from botdel.local.lock import locked
from deletion.errors import ConfigurationError
from deletion.process.signals import stop_on_signals

STOP_WITHIN: Final = 2.0
"""Seconds for calls that are under way; streams and pulls end at once."""
NOTICE: Final = "embedded Pub/Sub broker: for tests, demos and development, not for production"
HELD: Final = "another broker keeps its messages in this folder"
REMEDY: Final = "use that one, or name another folder than {folder}"


async def pubsub(host: str, port: int, folder: Path | None) -> None:
    """Serve until a signal. Raises ConfigurationError and OSError when it cannot start, and
    AlreadyRuns when another broker has the folder.
    """
    check_host(host)
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(_held(folder))
        stopping = stack.enter_context(stop_on_signals())
        server = Server(Journal(folder))
        chosen = await server.start(_address(host, port))
        kept = f"keeps everything in {folder}" if folder else "keeps everything in memory"
        print(f"{NOTICE}; {kept}", flush=True)
        print(f"listening on {_address(host, chosen)}", flush=True)
        try:
            await server.run(stopping)
        finally:
            await server.stop(STOP_WITHIN)


def check_host(host: str) -> None:
    """Raises ConfigurationError unless it is an address of this machine alone: the broker asks
    nobody who they are, and has no encryption.
    """
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigurationError(
            f"--host {host}: the embedded broker lets everybody read and change everything, so it "
            "listens on this machine alone: 127.0.0.1, ::1 or localhost"
        )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder, created when missing, for this process alone."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder, HELD, REMEDY))
        except OSError as error:
            raise ConfigurationError(
                f"the broker cannot keep anything in {folder}: {error.strerror}. Name a folder "
                "that this user may write to: botdel local pubsub --folder DIR"
            ) from error
        yield
