"""What a check finds, and the finding for a check that could not be made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from itertools import chain

import pymongo
from google.api_core.exceptions import GoogleAPICallError
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import OperationFailure, PyMongoError

from deletion.doctor import Finding, Verdict
from deletion.errors import (
    BotDeletionError,
    BusUnavailable,
    StoreUnavailable,
    TransientError,
    with_type,
)

DATABASE_SECONDS = 10
"""Seconds for all calls to the database in one check together."""
LOOK_SECONDS = 120.0
"""Seconds for one check, whatever it calls: a team's own class may have no bounds."""
LOOK_AT_DATABASE = (
    "start MongoDB, or correct BOTDEL_MONGODB_URI (or the plan's `uri`), its user and its rights"
)
LOOK_AT_CLASS = (
    "check that what it calls answers; if the error comes from your own class, correct the class"
)
LOOK_AT_ADDRESS = "make sure that it answers, and that its address is right"
LOOK_AT_PUBSUB = "check PUBSUB_EMULATOR_HOST, and that Pub/Sub can be reached from here"


def ok(check: str, detail: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Verdict.OK, detail)


def skipped(check: str, detail: str) -> Finding:
    """Return a finding that there is no way to check this."""
    return Finding(check, Verdict.SKIPPED, detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    """Return a finding that nothing is known to be wrong, but nothing is proven either."""
    return Finding(check, Verdict.WARNING, detail, remedy)


def failed(check: str, detail: str, remedy: str) -> Finding:
    """Return a finding that something is wrong."""
    return Finding(check, Verdict.FAILED, detail, remedy)


async def guarded(
    check: str,
    looking: Awaitable[Sequence[Finding]],
    *,
    seconds: float = DATABASE_SECONDS,
    longest: float | None = None,
) -> Sequence[Finding]:
    """Return what `looking` finds, or a failed finding of `check` for any error that it raises.

    That includes unexpected errors: a team's own class raises whatever its client raises. `seconds`
    bounds calls to the database; calls to Pub/Sub have their own bounds. `looking` is cancelled
    after `longest` seconds, by default `LOOK_SECONDS`.
    """
    try:
        async with within(LOOK_SECONDS if longest is None else longest):
            with pymongo.timeout(seconds):
                return await looking
    except Exception as error:  # noqa: BLE001
        return [could_not(check, error)]


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raises `TransientError` when the block has not ended within `seconds`."""
    try:
        async with asyncio.timeout(seconds) as bound:
            yield
    except TimeoutError as error:
        if not bound.expired():
            raise  # the block itself raised it
        raise TransientError(f"no answer within {seconds:g} s") from error


async def together(*groups: Awaitable[Sequence[Finding]]) -> list[Finding]:
    """Run all groups side by side, and return their findings in the order given.

    When cancelled, it waits until each group has cleaned up: what they use is closed after that.
    """
    checks = [asyncio.ensure_future(group) for group in groups]
    try:
        return list(chain.from_iterable(await asyncio.gather(*checks)))
    finally:
        if checks:
            await asyncio.wait(checks)


def could_not(check: str, error: Exception) -> Finding:
    """Return the finding for `error`. It never quotes a URI, which may hold secrets."""
    match error:
        case StoreUnavailable():
            detail, remedy = str(error), LOOK_AT_DATABASE
        case BusUnavailable() | GoogleAPICallError():
            detail, remedy = str(error), LOOK_AT_PUBSUB
        case OperationFailure():
            detail = (error.details or {}).get("errmsg", type(error).__name__)
            remedy = LOOK_AT_DATABASE
        case MongoConfigurationError():
            detail, remedy = f"not a MongoDB URI ({type(error).__name__})", LOOK_AT_DATABASE
        case PyMongoError():
            detail, remedy = f"MongoDB cannot be used ({type(error).__name__})", LOOK_AT_DATABASE
        case TransientError():
            detail, remedy = error.what, error.remedy or LOOK_AT_ADDRESS
        case BotDeletionError():
            detail, remedy = " ".join(error.what.split()), error.remedy or "correct it"
        case _:
            detail, remedy = " ".join(with_type(error).split()), LOOK_AT_CLASS
    return failed(check, detail, remedy)
