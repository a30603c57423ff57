"""Motor: imported here and nowhere else, with the one thread pool that all its clients share.

Motor runs each call in a thread. A call that a server does not answer keeps its thread until it
times out. When such calls take all threads, calls to other servers wait as well: a data server that
hangs would stop the heartbeats of every job.
"""

import os
from collections.abc import Mapping

from deletion.errors import ConfigurationError

VARIABLE = "MOTOR_MAX_WORKERS"

try:
    from motor.core import AgnosticBaseCursor
    from motor.frameworks import asyncio as _framework
    from motor.motor_asyncio import (
        AsyncIOMotorClient,
        AsyncIOMotorCollection,
        AsyncIOMotorDatabase,
    )
except ValueError as error:  # Motor reads its variable while it is imported
    raise ConfigurationError(f"{VARIABLE}: expected a whole number above 0; {error}") from error

__all__ = [
    "AgnosticBaseCursor",
    "AsyncIOMotorClient",
    "AsyncIOMotorCollection",
    "AsyncIOMotorDatabase",
    "calls_of",
    "reserve_threads",
]

CALLS_OF_A_RUN = 2
"""The most calls that one run has under way: one to its data, one to its job."""
OTHER_CALLS = 8
"""Calls of intake, claims, grouped heartbeats, dead letters, metrics and probes."""


def calls_of(runs: int) -> int:
    """The most calls that a process with this many runs has under way."""
    return CALLS_OF_A_RUN * runs + OTHER_CALLS


def reserve_threads(runs: int, environ: Mapping[str, str] = os.environ) -> None:
    """Make the pool large enough for `runs` runs; threads start only when they are used.

    Raises `ConfigurationError` when `MOTOR_MAX_WORKERS` asks for fewer.
    """
    needed, given = calls_of(runs), environ.get(VARIABLE)
    if given is not None and int(given) < needed:
        raise ConfigurationError(
            f"{VARIABLE}: expected at least {needed} for {runs} jobs at once, found {given}",
            "unset it, and it is sized automatically",
        )
    if _framework.max_workers < needed:
        # As Motor itself does after a fork. Calls under way end in the old pool's threads.
        _framework.max_workers = needed
        _framework._reset_global_executor()  # type: ignore[no-untyped-call]
