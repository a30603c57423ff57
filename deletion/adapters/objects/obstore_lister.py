"""The fast lister: obstore's synchronous API, in threads.

obstore cannot name a version, nor a key with an empty segment, `.`, `..` or a trailing slash (which
it strips). Where the provider has its own API, the lister of that API follows.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
)

from deletion.adapters.objects.bucket import (
    Item,
    ListerEnds,
    Mark,
    Page,
    Refusal,
    all_at_once,
    one_by_one,
)
from deletion.adapters.objects.provider_endpoint import is_plain
from deletion.errors import ObjectsRefused, ObjectsUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
REQUESTS: Final = 4
"""Requests of one batch that are under way at once."""
ERRORS: Final = (BaseError, OSError, ValueError)
"""What a call may raise."""
HELD: Final = (PermissionDeniedError, AlreadyExistsError, PreconditionError)
"""Answers 403, 409 and 412 to the delete of an object that is locked or held."""


def once(call_seconds: float, endpoint: str | None) -> dict[str, Any]:
    """Options of a store: each call is bounded, and not retried, because the runner retries."""
    seconds = timedelta(seconds=call_seconds)
    return {
        "client_options": {"timeout": seconds, "allow_http": is_plain(endpoint)},
        "retry_config": {"max_retries": 0, "retry_timeout": seconds},
    }


@dataclass(frozen=True, slots=True)
class ObstoreLister:
    """`is_alone` means that no other lister follows: errors are then raised, not left to the next
    one, and it reads back what it can see.
    """

    url: str
    store: "ObjectStore"
    threads: Executor
    is_alone: bool = False
    name: str = "obstore"

    @property
    def reads_back(self) -> bool:
        """See the port."""
        return self.is_alone

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """List keys as obstore shows them, without a trailing slash.

        An empty object may be a folder marker that lost its slash. It is left to the next lister,
        so that only objects that were deleted are counted.
        """
        offset = behind[0] if behind else None

        def listed() -> Page:
            chunk = next(
                iter(obstore.list(self.store, prefix, offset=offset, chunk_size=limit)), ()
            )
            if not chunk:
                return Page(())
            keys = [meta["path"] for meta in chunk if meta["size"] or self.is_alone]
            last = chunk[-1]["path"]
            if offset is not None and last <= offset:  # only stripped markers are left
                raise ListerEnds
            mark = (last, None)
            return Page([Item(key) for key in keys], mark, mark, len(chunk) < limit)

        return await self._call(listed)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete in up to `REQUESTS` requests at once."""
        return await all_at_once(self._remove, items, REQUESTS)

    async def _remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete in bulk, or one by one when the error may concern a single object.

        Such an error does not say which of the other objects are gone.
        """
        try:
            await self._run(partial(obstore.delete, self.store, [item.key for item in items]))
        except ERRORS as error:
            if not isinstance(error, self._of_one):
                raise self._translated(error) from None
            return await one_by_one(self._delete, items)
        return ()

    async def _delete(self, item: Item) -> Refusal | None:
        try:
            await self._run(partial(obstore.delete, self.store, item.key))
        except FileNotFoundError:
            return None
        except ERRORS as error:
            if not isinstance(error, self._of_one):
                raise self._translated(error) from None
            return Refusal(item, type(error).__name__, passes=False)
        return None

    @property
    def _of_one(self) -> tuple[type[Exception], ...]:
        """Errors that may concern one object alone."""
        return (FileNotFoundError, *HELD) if self.is_alone else (FileNotFoundError,)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, function)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await self._run(function)
        except ERRORS as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> ObjectsUnavailable | ObjectsRefused | ListerEnds:
        """Classifies errors by their type only: their text is for people, and may change."""
        if not self.is_alone:
            return ListerEnds()
        if isinstance(error, PermissionDeniedError):
            return ObjectsRefused(
                f"{self.url} may not be used with these credentials",
                "give them the right to list and to delete",
            )
        if isinstance(error, FileNotFoundError):
            return ObjectsRefused(f"{self.url} does not exist", "correct the plan")
        return ObjectsUnavailable(f"{self.url} cannot be used now ({type(error).__name__})")
