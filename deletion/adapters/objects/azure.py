"""Containers of Azure through obstore, which shows neither versions nor soft-deleted blobs.

The plan has to accept that with `retained: accept`. Nor can obstore name a blob whose key ends in a
slash: the read-back finds it, and the job fails.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from obstore.store import AzureStore

from deletion.adapters.objects.bucket import Lister
from deletion.adapters.objects.obstore_lister import ObstoreLister, once
from deletion.adapters.objects.provider_endpoint import endpoint

ENDPOINTS: Final = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
THREADS: Final = 8


class AzureBucket:
    """Account and credentials come from `AZURE_STORAGE_ACCOUNT_NAME` and related variables."""

    def __init__(
        self, name: str, call_seconds: float, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises `PlanError` for an endpoint that may not be used."""
        self._name = name
        self._call_seconds = call_seconds
        self._endpoint = endpoint(environ, *ENDPOINTS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        self._lister: ObstoreLister | None = None

    @property
    def url(self) -> str:
        """The container, without its account."""
        return f"az://{self._name}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenAzure"]:
        """Connect once; obstore keeps its connections."""
        if self._lister is None:
            store = AzureStore(self._name, **once(self._call_seconds, self._endpoint))
            self._lister = ObstoreLister(self.url, store, self._threads, is_alone=True)
        yield OpenAzure(self._lister)


@dataclass(frozen=True, slots=True)
class OpenAzure:
    """One container."""

    lister: ObstoreLister

    async def listers(self) -> Sequence[Lister]:
        """The only lister: obstore."""
        return [self.lister]

    async def retained_until(self, prefix: str) -> datetime | None:  # noqa: ARG002
        """None: obstore does not show it."""
        return None

    async def faults(self, *, accepted: bool) -> Sequence[str]:  # noqa: ARG002
        """None: obstore shows no configuration."""
        return []
