"""Google's own API, for what obstore cannot handle: some keys, and generations."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError, TransportError
from requests.exceptions import RequestException

from deletion.adapters.objects.bucket import (
    PER_REQUEST,
    Item,
    Mark,
    Page,
    Refusal,
    all_at_once,
    may_pass,
    one_by_one,
)
from deletion.errors import ObjectsRefused, ObjectsUnavailable

T = TypeVar("T")
THREADS: Final = 8
"""Deletes under way at once; the JSON API deletes one object in a request."""
PER_PAGE: Final = 200
"""Generations in one batch, few enough to be deleted within the time of one call."""
Generation = tuple[str, int]
"""A key, and the number of one of its generations."""


@dataclass(frozen=True, slots=True)
class Api:
    """Calls google-cloud-storage in threads, and turns its errors into ours."""

    url: str
    threads: Executor
    call_seconds: float

    @property
    def once(self) -> dict[str, Any]:
        """Options of each call: bounded in time, and not retried, because the runner retries."""
        return {"retry": None, "timeout": self.call_seconds}

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` in a thread. Raises `ObjectsUnavailable` and `ObjectsRefused`."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, function)
        except (GoogleAPICallError, GoogleAuthError, RequestException) as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> ObjectsUnavailable | ObjectsRefused:
        if isinstance(error, GoogleAPICallError):
            if may_pass(int(error.code or 0)):
                return ObjectsUnavailable(f"{self.url} answered {error.code}")
            remedy = (
                "correct the plan, because it does not exist"
                if isinstance(error, NotFound)
                else "give this identity storage.buckets.get, storage.objects.list and "
                "storage.objects.delete"
            )
            return ObjectsRefused(f"{self.url} answered {error.code}", remedy)
        if isinstance(error, RequestException | TransportError):
            return ObjectsUnavailable(f"{self.url} does not answer ({type(error).__name__})")
        return ObjectsUnavailable(  # no credentials: the bucket itself refused nothing
            f"{self.url} cannot be used now ({type(error).__name__}); if this persists, set "
            "GOOGLE_APPLICATION_CREDENTIALS"
        )


@dataclass(frozen=True, slots=True)
class Generations:
    """Every generation, live or not, by its exact key."""

    bucket: str
    client: Any
    api: Api
    name: str = "generations"
    reads_back: bool = True

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """List in the order of keys, and for each key from its oldest generation to its newest.

        A mark is a generation, or the API's page token while nothing is deleted.
        """
        if behind and behind[1]:
            return await self._behind(prefix, (behind[0], int(behind[1])), min(limit, PER_PAGE))
        token = behind[0] if behind else None
        found, token = await self._listed(prefix, min(limit, PER_PAGE), page_token=token)
        return Page(_items(found), (token, None) if token else None, is_last=token is None)

    async def _behind(self, prefix: str, mark: Generation, limit: int) -> Page:
        """The page after a generation.

        A listing can begin at a key, but not after one of its generations, so the earlier ones are
        read and skipped, however many there are.
        """
        found, token = await self._listed(prefix, PER_REQUEST, start_offset=mark[0])
        while not (left := [each for each in found if each > mark]) and token:
            found, token = await self._listed(prefix, PER_REQUEST, page_token=token)
        return Page(_items(left[:limit]), is_last=token is None and len(left) <= limit)

    async def _listed(
        self, prefix: str, limit: int, **begin: str | None
    ) -> tuple[list[Generation], str | None]:
        """One page, and the token of the next."""

        def listed() -> tuple[list[Generation], str | None]:
            found = self.client.list_blobs(
                self.bucket,
                prefix=prefix,
                versions=True,
                page_size=limit,
                fields="items(name,generation),nextPageToken",
                **begin,
                **self.api.once,
            )
            blobs = sorted((blob.name, int(blob.generation)) for blob in next(found.pages, ()))
            return blobs, found.next_page_token

        return await self.api.call(listed)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete the items, `THREADS` at a time."""
        return await all_at_once(partial(one_by_one, self._remove), items, THREADS)

    async def _remove(self, item: Item) -> Refusal | None:
        return await self.api.call(partial(self._delete_now, item))

    def _delete_now(self, item: Item) -> Refusal | None:
        bucket = self.client.bucket(self.bucket)
        try:
            bucket.delete_blob(item.key, generation=int(item.version or 0), **self.api.once)
        except NotFound:
            return None
        except GoogleAPICallError as error:
            return Refusal(item, str(error.code), may_pass(int(error.code or 0)))
        return None


def _items(generations: Sequence[Generation]) -> Sequence[Item]:
    return [Item(key, str(number)) for key, number in generations]
