"""Running a command or a process: one event loop, and errors as a sentence and an exit code."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import uvloop

from deletion.errors import (
    BotDeletionError,
    BusUnavailable,
    ConfigurationError,
    StoreUnavailable,
)
from deletion.process.open_files import raise_limit

T = TypeVar("T")
FAILED = 1
MISUSED = 2
"""The exit code when a setting, an option or a file is wrong, so that a repeat does not help."""

LOCAL_SERVERS = "BOTDEL_LOCAL_SERVERS"
"""The variable with the addresses of the servers that an installation started itself.

A shell that has read `.local/env` keeps these addresses after the servers have ended. The next
installation in that shell ignores them, and starts its own servers.
"""


def run(work: Coroutine[None, None, T]) -> T:
    """Run `work` to its end on the fast event loop. Ctrl-C cancels it, unless it handles that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    finally:
        signal.signal(signal.SIGINT, before)


def serve(work: Coroutine[None, None, None]) -> NoReturn:
    """Run a long-running process to its clean end, then exit at once.

    Raises the limit on open files first, and warns of unknown settings. An expected error is
    `reported`. The interpreter's own exit would wait, beyond the grace period, for a database call
    that hangs in a thread.
    """
    from deletion.process.known_settings import warn_of_unknown_settings

    raise_limit()
    warn_of_unknown_settings()
    with reported():
        run(work)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


@contextmanager
def reported() -> Iterator[None]:
    """Print an expected error as one sentence on standard error, and exit with its code."""
    try:
        yield
    except (BotDeletionError, OSError) as error:
        print(escaped(f"botdel: {error}{advice(error)}", keep="\n\t"), file=sys.stderr)
        sys.exit(exit_code(error))


def escaped(text: str, *, keep: str = "") -> str:
    """`text` with every unprintable character that is not in `keep` as a Python escape.

    Makes text from outside safe for a terminal and for a line of a log.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def advice(error: Exception) -> str:
    """What to check after `error`, to append to its message; empty when the message says it."""
    variable = _names_it(error)
    if variable and os.environ.get(variable) in os.environ.get(LOCAL_SERVERS, "").split():
        return "; `make up` started it: is that running? Then run `. .local/env` again"
    if isinstance(error, StoreUnavailable):
        return "; is it running, and does BOTDEL_MONGODB_URI name it?"
    if isinstance(error, BusUnavailable):
        return "; is it reachable? Check PUBSUB_EMULATOR_HOST, GOOGLE_CLOUD_PROJECT and credentials"
    return ""


def _names_it(error: Exception) -> str | None:
    """The variable with the address of the server that did not answer."""
    if isinstance(error, StoreUnavailable):
        return "BOTDEL_MONGODB_URI"
    return "PUBSUB_EMULATOR_HOST" if isinstance(error, BusUnavailable) else None


def exit_code(error: Exception) -> int:
    """The exit code of a command that ends with `error`."""
    return MISUSED if isinstance(error, ConfigurationError) else FAILED
