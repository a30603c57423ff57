"""Listing and deleting through obstore, by its synchronous API in threads: the fast way.

It cannot name a key with an empty segment, `.`, `..` or a trailing slash (which it strips), nor a
version, so where the provider has an API of its own, an exact way follows.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from deletion.adapters.objects.bucket import Item, Mark, Page, Refusal, WayEnds, all_at_once
from deletion.errors import ObjectsRefused, ObjectsUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
REQUESTS: Final = 4
"""Requests of one batch that are under way at once."""


@dataclass(frozen=True, slots=True)
class ObstoreWay:
    """`is_exact` where no other way follows: then errors are raised, not left to the next way."""

    url: str
    store: "ObjectStore"
    threads: Executor
    is_exact: bool = False
    name: str = "obstore"

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """Keys as obstore lists them: a trailing slash is stripped.

        An object without content may be such a marker. It is left to the exact way, so that
        nothing is counted that was not deleted.
        """
        offset = behind[0] if behind else None

        def listed() -> Page:
            chunk = next(
                iter(obstore.list(self.store, prefix, offset=offset, chunk_size=limit)), ()
            )
            if not chunk:
                return Page(())
            keys = [meta["path"] for meta in chunk if meta["size"] or self.is_exact]
            last = chunk[-1]["path"]
            if offset is not None and last <= offset:  # only stripped markers are left
                raise WayEnds
            mark = (last, None)
            return Page([Item(key) for key in keys], mark, mark, len(chunk) < limit)

        return await self._call(listed)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete in up to `REQUESTS` requests at once."""
        return await all_at_once(self._remove, items, REQUESTS)

    async def _remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        def deleted() -> None:
            keys = [item.key for item in items]
            try:
                obstore.delete(self.store, keys)
            except FileNotFoundError:  # one is gone already; whether the others are is not said
                for key in keys:
                    with suppress(FileNotFoundError):
                        obstore.delete(self.store, key)

        await self._call(deleted)
        return ()

    async def _call(self, function: Callable[[], T]) -> T:
        """Errors are told apart by their type alone: their text is for people, and may change."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, function)
        except (BaseError, OSError, ValueError) as error:
            if not self.is_exact:
                raise WayEnds from None
            if isinstance(error, PermissionDeniedError | UnauthenticatedError):
                raise ObjectsRefused(
                    f"{self.url} may not be used with these credentials: give them the right to "
                    "list and to delete"
                ) from None
            if isinstance(error, FileNotFoundError):
                raise ObjectsRefused(f"{self.url} does not exist: correct the plan") from None
            raise ObjectsUnavailable(f"{self.url}: {type(error).__name__}") from None
