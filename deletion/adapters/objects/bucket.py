"""What the step needs of a provider of objects: its ports, and the values they exchange."""

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
"""A key, and perhaps one version of it, that a listing starts behind."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a bucket lists, and that one request of its own could delete."""

    key: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """At most as many items as were asked for, in the order of their marks.

    The next page begins behind `onward`. Once these items are deleted it begins behind `resume`,
    or without one where this page began. `is_last` says that there is none.
    """

    items: Sequence[Item]
    onward: Mark | None = None
    resume: Mark | None = None
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item was not deleted; `passes` says that it may go the next time."""

    item: Item
    code: str
    passes: bool

    @property
    def text(self) -> str:
        """For people: the key, its version, and the provider's code."""
        version = f" (version {self.item.version})" if self.item.version else ""
        return f"{self.item.key!r}{version}: {self.code}"


class WayEnds(Exception):
    """A way cannot go on from here. The next way lists for itself what is left."""


class Way(Protocol):
    """One way to list and to delete what lies under a prefix.

    Raises `ObjectsUnavailable` for errors that may pass, `ObjectsRefused` for others, and
    `WayEnds` where another way has to take over. What is gone already counts as deleted.
    """

    @property
    def name(self) -> str:
        """Unique within the bucket; cursors are kept under it."""

    @property
    def is_exact(self) -> bool:
        """Whether it lists whatever is there, under its exact key."""

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """At most `limit` of the items whose key begins with `prefix`, in a listing begun anew."""

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete at most `PER_REQUEST` items; returns those that are still there."""


class OpenBucket(Protocol):
    """A bucket with its connections open."""

    async def ways(self) -> Sequence[Way]:
        """The ways that together delete everything, in the order to take them."""

    async def retained_until(self, prefix: str) -> datetime | None:
        """Until when the provider keeps what was deleted under `prefix`; None if it keeps none."""

    async def faults(self, *, accepted: bool) -> Sequence[str]:
        """What in its configuration prevents a deletion. With `accepted`, what the provider keeps
        is no fault.
        """


class Bucket(Protocol):
    """A bucket of one provider, or a folder. Nothing is connected before it is opened."""

    @property
    def url(self) -> str:
        """As the plan names it; it holds no secret."""

    def opened(self) -> AbstractAsyncContextManager[OpenBucket]:
        """Connect, and close at the end of the block."""


async def all_at_once(
    remove: Callable[[Sequence[Item]], Awaitable[Sequence[Refusal]]],
    items: Sequence[Item],
    requests: int,
) -> Sequence[Refusal]:
    """Delete `items` in about equal parts, `requests` of them at once; the first error is raised
    after all have ended.
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
    """Delete each of `items` in a call of its own: a thread that was given up deletes nothing
    further.
    """
    refusals = [await remove(item) for item in items]
    return [refusal for refusal in refusals if refusal]


def may_pass(status: int) -> bool:
    """Whether a call that got this HTTP status may succeed if it is repeated unchanged.

    401 is a token that has expired or could not be had; who is denied for good gets 403.
    """
    passing = (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    return status in passing or status >= HTTPStatus.INTERNAL_SERVER_ERROR
