"""Buckets of S3, and of servers that speak its protocol.

obstore lists and deletes the objects of an unversioned bucket. aiobotocore handles what obstore
cannot: some keys, versions and delete markers, unfinished uploads, and the read-back.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError
from botocore.loaders import Loader, create_loader
from obstore.store import S3Store

from deletion.adapters.objects.bucket import Lister
from deletion.adapters.objects.obstore_lister import ObstoreLister, once
from deletion.adapters.objects.provider_endpoint import endpoint
from deletion.adapters.objects.s3_listers import (
    ERRORS,
    LACKING,
    Uploads,
    Versions,
    code_of,
    translated,
)
from deletion.errors import ObjectsUnavailable

if TYPE_CHECKING:
    from obstore.store import S3Credential

ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGION: Final = "us-east-1"
THREADS: Final = 8


@cache
def _descriptions(data_path: str | None) -> Loader:
    """botocore's descriptions of its services, 10 MB: read once, not for each bucket."""
    return create_loader(data_path)


class S3Bucket:
    """Both clients use credentials from botocore's chain, so they have the same identity."""

    def __init__(
        self, name: str, call_seconds: float, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises `PlanError` for an endpoint that may not be used."""
        self._name = name
        self._call_seconds = call_seconds
        self._endpoint = endpoint(environ, *ENDPOINTS)
        self._session = get_session()
        data_path = self._session.get_config_variable("data_path")
        self._session.register_component("data_loader", _descriptions(data_path))
        found = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        self._region = found or self._session.get_config_variable("region") or REGION
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        self._fast: ObstoreLister | None = None

    @property
    def url(self) -> str:
        """The bucket, without its endpoint."""
        return f"s3://{self._name}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenS3"]:
        """Open a client for this block only, which closes its connections at the end."""
        config = AioConfig(
            connect_timeout=min(self._call_seconds, 10.0),
            read_timeout=self._call_seconds,
            retries={"total_max_attempts": 1},  # the runner retries
            ignore_configured_endpoint_urls=True,  # obstore would not see them
            s3={"addressing_style": "path"} if self._endpoint else {},
        )
        try:
            async with self._session.create_client(
                "s3", region_name=self._region, endpoint_url=self._endpoint, config=config
            ) as client:
                yield OpenS3(self.url, self._name, client, self._obstore())
        except ERRORS as error:
            raise translated(self.url, error) from None

    def _obstore(self) -> ObstoreLister:
        if self._fast is None:
            session = self._session
            loop = asyncio.get_running_loop()

            def current() -> "S3Credential":
                """Called in obstore's thread before the last credentials expire."""
                asking = asyncio.run_coroutine_threadsafe(_frozen(session), loop)
                return asking.result(self._call_seconds)

            options: dict[str, Any] = {"endpoint": self._endpoint} if self._endpoint else {}
            store = S3Store(
                self._name,
                region=self._region,
                credential_provider=current,
                **once(self._call_seconds, self._endpoint),
                **options,
            )
            self._fast = ObstoreLister(self.url, store, self._threads)
        return self._fast


@dataclass(frozen=True, slots=True)
class OpenS3:
    """One bucket over one client."""

    url: str
    bucket: str
    client: Any
    fast: ObstoreLister

    async def listers(self) -> Sequence[Lister]:
        """obstore first, but only if the bucket was never versioned: elsewhere it leaves delete
        markers.
        """
        exact: list[Lister] = [
            Versions(self.url, self.bucket, self.client),
            Uploads(self.url, self.bucket, self.client),
        ]
        return exact if await self._keeps_versions() else [self.fast, *exact]

    async def retained_until(self, prefix: str) -> datetime | None:  # noqa: ARG002
        """None: S3 retains only versions, which are deleted."""
        return None

    async def faults(self, *, accepted: bool) -> Sequence[str]:  # noqa: ARG002
        """Report a lock on new objects, because locked versions cannot be deleted."""
        try:
            found = await self.client.get_object_lock_configuration(Bucket=self.bucket)
        except ClientError as error:
            if code_of(error) in LACKING | {"ObjectLockConfigurationNotFoundError", "AccessDenied"}:
                return []
            raise translated(self.url, error) from None
        rule = found.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
        return (
            [f"{self.url} locks new objects ({rule['Mode']}): no job can delete them"]
            if rule
            else []
        )

    async def _keeps_versions(self) -> bool:
        """Whether the bucket is or was versioned. True if this identity may not know: that is
        always safe.
        """
        try:
            found = await self.client.get_bucket_versioning(Bucket=self.bucket)
        except ClientError as error:
            if code_of(error) in LACKING:
                return False
            if code_of(error) == "AccessDenied":
                return True
            raise translated(self.url, error) from None
        return "Status" in found


async def _frozen(session: Any) -> "S3Credential":
    """The current credentials, looked up each time, because there may have been none before."""
    credentials = await session.get_credentials()
    if credentials is None:
        raise ObjectsUnavailable("no AWS credentials were found")
    frozen = await credentials.get_frozen_credentials()
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        "expires_at": getattr(credentials, "_expiry_time", None),
    }
