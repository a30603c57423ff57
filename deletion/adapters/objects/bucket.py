"""The ports that the objects step needs from a provider, and the values they exchange."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol

PER_REQUEST: Final = 1000
"""Objects in one page, and in one batch: the most that S3 lists or deletes in a request."""

Mark = tuple[str, str | None]
"""A key, and for some listers a version: a listing starts after it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a listing: an object, a version of one, or an unfinished upload."""

    key: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """At most as many items as were asked for, in the order of their marks.

    The next page begins after `onward`. Once these items are deleted it begins after `resume`, or,
    without `resume`, where this page began. `is_last` means that there is no next page.
    """

    items: Sequence[Item]
    onward: Mark | None = None
    resume: Mark | None = None
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item was not deleted; `passes` means that a later try may succeed."""

    item: Item
    code: str
    passes: bool

    @property
    def text(self) -> str:
        """For people: the key, its version, and the provider's code."""
        version = f" in version {self.item.version}" if self.item.version else ""
        return f"{self.item.key!r}{version} ({self.code})"


class ListerEnds(Exception):
    """This lister cannot continue. The next one lists what is left."""


class Lister(Protocol):
    """Lists and deletes the objects under a prefix, through one API.

    Raises `ObjectsUnavailable` for errors that may pass, `ObjectsRefused` for others, and
    `ListerEnds` where another one has to take over. An item that is already gone counts as deleted.
    """

    @property
    def name(self) -> str:
        """Unique within the bucket; cursors are kept under it."""

    @property
    def reads_back(self) -> bool:
        """Whether the read-back and the count use it.

        Together, those of a bucket list everything that can be seen in it.
        """

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """Begin a new listing. Returns at most `limit` items whose key begins with `prefix`."""

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete at most `PER_REQUEST` items; returns those that are still there."""


class OpenBucket(Protocol):
    """A bucket with its connections open."""

    async def listers(self) -> Sequence[Lister]:
        """The listers that together delete everything, in the order to use them."""

    async def retained_until(self, prefix: str) -> datetime | None:
        """Until when the provider retains what was deleted under `prefix`; None if it does not."""

    async def faults(self, *, accepted: bool) -> Sequence[str]:
        """Settings of the bucket that prevent a deletion.

        With `accepted`, that the provider retains deleted objects is not reported.
        """


class Bucket(Protocol):
    """A bucket of one provider, or a folder. Nothing is connected before it is opened."""

    @property
    def url(self) -> str:
        """The URL as in the plan. It holds no secret."""

    def opened(self) -> AbstractAsyncContextManager[OpenBucket]:
        """Connect, and close at the end of the block."""


async def all_at_once(
    remove: Callable[[Sequence[Item]], Awaitable[Sequence[Refusal]]],
    items: Sequence[Item],
    requests: int,
) -> Sequence[Refusal]:
    """Delete `items` in up to `requests` parts of about equal size, all at once.

    Returns the refusals. Raises the first error after all parts have ended.
    """
    size = max(1, -(-len(items) // requests))
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    results = await asyncio.gather(*(remove(part) for part in parts), return_exceptions=True)
    refusals: list[Refusal] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        refusals.extend(result)
    return refusals


async def one_by_one(
    remove: Callable[[Item], Awaitable[Refusal | None]], items: Sequence[Item]
) -> Sequence[Refusal]:
    """Delete each of `items` in a separate call.

    A call that timed out still runs in its thread, but deletes no other item.
    """
    refusals = [await remove(item) for item in items]
    return [refusal for refusal in refusals if refusal]


def may_pass(status: int) -> bool:
    """Whether a call that got this HTTP status may succeed if it is repeated unchanged.

    401 means that a token has expired or could not be obtained; a lasting denial is 403.
    """
    passing = (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    return status in passing or status >= HTTPStatus.INTERNAL_SERVER_ERROR
