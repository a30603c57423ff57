"""What a check finds, and how a check that cannot be made is reported."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import pymongo
from google.api_core.exceptions import GoogleAPICallError
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import OperationFailure, PyMongoError

from deletion.errors import (
    BotDeletionError,
    BusUnavailable,
    StoreUnavailable,
    TransientError,
)

DATABASE_SECONDS = 10
"""How long all calls to the database in one check may take together."""
LOOK_SECONDS = 120.0
"""How long one look may take, whatever it calls: a class of a team's own may have no bounds."""
LOOK_AT_DATABASE = (
    "start MongoDB, or correct BOTDEL_MONGODB_URI (or the plan's `uri`), its user and its rights"
)
LOOK_AT_CLASS = (
    "see whether what it calls answers; if a class of your own is in the plan, correct it there"
)
LOOK_AT_ADDRESS = "make sure that it answers, and that its address is right"
LOOK_AT_PUBSUB = "check whether Pub/Sub can be reached from here, and PUBSUB_EMULATOR_HOST"


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    SKIPPED = "skipped"  # there is no way to look at it
    WARNING = "warning"  # it cannot be checked from here, or it is worth knowing
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, its state, and what to do about it."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    """As it should be."""
    return Finding(check, Status.OK, detail)


def skipped(check: str, detail: str) -> Finding:
    """Not looked at, because there is no way to."""
    return Finding(check, Status.SKIPPED, detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    """Nothing is known to be wrong, but nothing is proven either."""
    return Finding(check, Status.WARNING, detail, remedy)


def failed(check: str, detail: str, remedy: str) -> Finding:
    """Something is wrong."""
    return Finding(check, Status.FAILED, detail, remedy)


async def guarded(
    check: str,
    looking: Awaitable[Sequence[Finding]],
    *,
    seconds: float = DATABASE_SECONDS,
    longest: float | None = None,
) -> Sequence[Finding]:
    """What `looking` finds; any error of it becomes a failed finding of `check`, also one that
    nobody foresaw: a class of a team's own raises what its client does.

    `seconds` bounds its calls to the database; those to Pub/Sub have bounds of their own. A look
    that has not ended after `longest` seconds, or `LOOK_SECONDS`, is given up.
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
            raise  # of the block itself
        raise TransientError(f"no answer within {seconds:g} s") from error


async def together(*groups: Awaitable[Sequence[Finding]]) -> list[Finding]:
    """The findings of all groups, which run side by side, in the order given.

    When it is cancelled it waits until each has tidied up: what they use is closed after that.
    """
    looks = [asyncio.ensure_future(group) for group in groups]
    try:
        return list(chain.from_iterable(await asyncio.gather(*looks)))
    finally:
        if looks:
            await asyncio.wait(looks)


def could_not(check: str, error: Exception) -> Finding:
    """The finding for `error`. It never quotes a URI, which may hold secrets."""
    match error:
        case StoreUnavailable():
            detail, remedy = str(error), LOOK_AT_DATABASE
        case BusUnavailable() | GoogleAPICallError():
            detail, remedy = str(error), LOOK_AT_PUBSUB
        case OperationFailure():
            detail = (error.details or {}).get("errmsg", type(error).__name__)
            remedy = LOOK_AT_DATABASE
        case MongoConfigurationError():
            detail, remedy = f"not a MongoDB URI: {type(error).__name__}", LOOK_AT_DATABASE
        case PyMongoError():
            detail, remedy = f"MongoDB: {type(error).__name__}", LOOK_AT_DATABASE
        case TransientError():
            detail, remedy = error.what, error.remedy or LOOK_AT_ADDRESS
        case BotDeletionError():
            detail, remedy = " ".join(error.what.split()), error.remedy or "correct it"
        case _:
            detail, remedy = " ".join(f"{type(error).__name__}: {error}".split()), LOOK_AT_CLASS
    return failed(check, detail, remedy)
