"""`botdel local pubsub`: the embedded broker as a process."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from botdel.local.broker import remedies
from botdel.local.broker.journal import Journal
from botdel.local.broker.server import Server
from botdel.local.lock import locked
from deletion.errors import ConfigurationError
from deletion.process.signals import stop_on_signals

STOP_WITHIN: Final = 2.0
"""Seconds for calls in flight; streams and pulls end at once."""
NOTICE: Final = "embedded Pub/Sub broker: for tests, demos and development, not for production"
HELD: Final = "another broker keeps its messages in this folder"
REMEDY: Final = "use that broker, or name another folder than {folder}"
THIS_MACHINE: Final = "name 127.0.0.1, ::1 or localhost"


async def pubsub(host: str, port: int, folder: str | None) -> None:
    """Serve until a signal. Raises ConfigurationError or OSError if it cannot start, and
    AlreadyRuns if another broker uses the folder.
    """
    address = loopback(host)
    path = _folder(folder)
    _check_free(address, port)
    with ExitStack() as stack:
        if path is not None:
            stack.enter_context(_held(path))
        stopping = stack.enter_context(stop_on_signals())
        server = Server(Journal(path))
        chosen = await server.start(_joined(address, port))
        where = f"keeps everything in {path or 'memory'}"
        print(f"{NOTICE}; {where}", flush=True)
        print(f"listening on {_joined(address, chosen)}", flush=True)
        try:
            await server.run(stopping)
        finally:
            await server.stop(STOP_WITHIN)


def loopback(host: str) -> str:
    """Return the loopback address that `host` names; an IPv6 address may have brackets.

    Raises ConfigurationError for any other address: the broker has no authentication and no
    encryption.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address("127.0.0.1" if bare == "localhost" else bare)
    except ValueError:
        raise ConfigurationError(
            f"--host {host}: expected a loopback address", THIS_MACHINE
        ) from None
    if not address.is_loopback:
        raise ConfigurationError(
            f"--host {host}: the embedded broker has no authentication, so it listens on a "
            "loopback address only",
            THIS_MACHINE,
        )
    return str(address)


def _folder(name: str | None) -> Path | None:
    """Return the folder. Raises ConfigurationError for "", which would be the working directory."""
    if name == "":
        raise ConfigurationError(
            "--folder: expected the name of a folder, found an empty name",
            "leave --folder out to keep everything in memory",
        )
    return None if name is None else Path(name)


def _check_free(address: str, port: int) -> None:
    """Raise OSError, which says why and what to do, if the broker cannot listen there. gRPC's own
    error says neither.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind((address, port))
    except OSError as error:
        of_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "name another with --port" if of_port else "name 127.0.0.1 with --host"
        where = f"cannot listen on {_joined(address, port)}"
        raise OSError(error.errno, f"{where}: {error.strerror}; {remedy}") from error


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing, and keep it for this process alone."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder, HELD, REMEDY))
        except OSError as error:
            raise ConfigurationError(
                f"the broker cannot keep anything in {folder}: {error.strerror}",
                remedies.of_folder(error),
            ) from error
        yield
