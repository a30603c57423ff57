"""Running a command: one event loop, and errors as a sentence and an exit code."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import uvloop

from deletion.errors import BotDeletionError, ConfigurationError

T = TypeVar("T")
FAILED = 1
MISUSED = 2
"""As for a usage error: a setting, an option or a file is wrong, and trying again is useless."""


def run(work: Coroutine[None, None, T]) -> T:
    """Run `work` to its end on the fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def exit_code(error: BotDeletionError) -> int:
    """What a command that ends on `error` exits with."""
    return MISUSED if isinstance(error, ConfigurationError) else FAILED
