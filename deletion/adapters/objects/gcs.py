"""Buckets of Google Cloud Storage.

obstore lists and deletes the objects of a bucket without versions. google-cloud-storage handles
what obstore cannot: some keys, generations that are no longer live, soft-deleted objects (kept for
7 days by default), and the read-back.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import google.auth
from google.api_core.exceptions import BadRequest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from obstore.auth.google import GoogleCredentialProvider
from obstore.store import GCSStore

from deletion.adapters.objects.bucket import PER_REQUEST, Lister
from deletion.adapters.objects.gcs_listers import THREADS, Api, Generations
from deletion.adapters.objects.obstore_lister import ObstoreLister, once
from deletion.adapters.objects.provider_endpoint import endpoint
from deletion.clock import Clock, SystemClock
from deletion.errors import PlanError

SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
KEPT_PAGES: Final = 4
"""Pages of soft-deleted objects that are read; each is one call."""


class GcsBucket:
    """Both clients use Google's default credentials, so they have the same identity."""

    def __init__(
        self, name: str, call_seconds: float, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises `PlanError` for endpoints that may not be used, or that do not belong together."""
        self._name = name
        self._call_seconds = call_seconds
        self._json = endpoint(environ, "STORAGE_EMULATOR_HOST")
        self._xml = endpoint(environ, "GOOGLE_BASE_URL")
        if self._xml and not self._json:
            raise PlanError("expected STORAGE_EMULATOR_HOST to be set too", field="GOOGLE_BASE_URL")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        self._client: Any = None
        self._fast: ObstoreLister | None = None

    @property
    def url(self) -> str:
        """The bucket, without its endpoint."""
        return f"gs://{self._name}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenGcs"]:
        """Connect once; the client keeps its connections."""
        api = Api(self.url, self._threads, self._call_seconds)
        if self._client is None:
            self._client, self._fast = await api.call(self._connected)
        yield OpenGcs(self._name, self._client, api, self._fast)

    def _connected(self) -> tuple[Any, ObstoreLister | None]:
        """Both clients; obstore only where it talks to the same server."""
        options: dict[str, Any]
        if self._json:
            client = storage.Client(project="emulated", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
            if not self._xml:
                return client, None
            token = {"token": "emulated", "expires_at": None}
            options = {"base_url": self._xml, "credential_provider": lambda: token}
        else:
            credentials, project = google.auth.default(scopes=SCOPES)
            client = storage.Client(project=project or "", credentials=credentials)
            options = {"credential_provider": GoogleCredentialProvider(credentials)}
        store = GCSStore(self._name, **once(self._call_seconds, self._xml), **options)
        return client, ObstoreLister(self.url, store, self._threads)


@dataclass(frozen=True, slots=True)
class OpenGcs:
    """One bucket over one client."""

    name: str
    client: Any
    api: Api
    fast: ObstoreLister | None
    clock: Clock = field(default_factory=SystemClock)

    async def listers(self) -> Sequence[Lister]:
        """obstore first, unless the bucket is versioned.

        There its deletes would leave generations, which have to be deleted one by one anyway.
        """
        exact = Generations(self.name, self.client, self.api)
        if self.fast is None or (await self._bucket()).versioning_enabled:
            return [exact]
        return [self.fast, exact]

    async def retained_until(self, prefix: str) -> datetime | None:
        """The latest time at which a soft-deleted object will be gone.

        Reads at most `KEPT_PAGES` pages. If there are more, returns at least the time at which an
        object deleted now will be gone by the bucket's policy.
        """
        latest: datetime | None = None
        token: str | None = None
        for _ in range(KEPT_PAGES):
            found, token = await self.api.call(partial(self._kept, prefix, token))
            latest = max((*found, *([latest] if latest else ())), default=None)
            if token is None:
                return latest
        gone = self.clock.now() + timedelta(seconds=_kept_seconds(await self._bucket()))
        return max(latest, gone) if latest else gone

    def _kept(self, prefix: str, token: str | None) -> tuple[list[datetime], str | None]:
        """When each object of one page will be gone, and the token of the next page."""
        try:
            found = self.client.list_blobs(
                self.name,
                prefix=prefix,
                soft_deleted=True,
                page_size=PER_REQUEST,
                page_token=token,
                fields="items(name,generation,hardDeleteTime),nextPageToken",
                **self.api.once,
            )
            times = [blob.hard_delete_time for blob in next(found.pages, ())]
        except BadRequest:  # the bucket has no soft delete
            return [], None
        return [time for time in times if time is not None], found.next_page_token

    async def faults(self, *, accepted: bool) -> Sequence[str]:
        """Report soft delete, unless it is `accepted`, and a retention period."""
        bucket, faults = await self._bucket(), []
        days = _kept_seconds(bucket) / 86_400
        if days and not accepted:
            faults.append(
                f"{self.api.url} keeps deleted objects for {days:g} days, which nobody can "
                "shorten: turn its soft delete off, or write `retained: accept`"
            )
        if bucket.retention_period:
            faults.append(
                f"{self.api.url} lets nobody delete an object younger than "
                f"{bucket.retention_period} s: jobs fail until then"
            )
        return faults

    async def _bucket(self) -> Any:
        return await self.api.call(lambda: self.client.get_bucket(self.name, **self.api.once))


def _kept_seconds(bucket: Any) -> int:
    """Seconds for which the bucket keeps an object deleted now; 0 when it has no soft delete."""
    return int((bucket.soft_delete_policy or {}).get("retentionDurationSeconds") or 0)
