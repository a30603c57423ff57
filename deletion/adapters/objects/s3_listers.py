"""S3's own API, for what obstore cannot handle: versions, delete markers, some keys, and unfinished
uploads.
"""

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError

from deletion.adapters.objects.bucket import (
    Item,
    Mark,
    Page,
    Refusal,
    all_at_once,
    may_pass,
    one_by_one,
)
from deletion.errors import ObjectsRefused, ObjectsUnavailable

REQUESTS: Final = 4
"""Requests of one batch that are under way at once."""
PASSING: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IDPCommunicationError",
        "InternalError",
        "OperationAborted",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TokenRefreshRequired",
    }
)
"""Codes of errors that may pass, besides every status of 500 and more. Some concern credentials
that are being renewed, or clocks.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"""
LACKING: Final = frozenset({"NotImplemented", "MethodNotAllowed"})
"""Codes of servers that speak S3's protocol, but have no versions or no multipart uploads."""
UNWRITABLE: Final = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML, and so a bulk request, cannot contain:
https://www.w3.org/TR/xml/#charsets"""
GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload"})
SILENT: Final = (HTTPClientError, ConnectionError, ResponseParserError, aiohttp.ClientError)
"""Errors of a server that did not answer, or not completely."""
ERRORS: Final = (ClientError, BotoCoreError, *SILENT)
"""What a call may raise."""
REMEDIES: Final = {
    "NoSuchBucket": "correct the plan or AWS_ENDPOINT_URL, because it does not exist",
    "AccessDenied": (
        "give this identity s3:ListBucket, s3:ListBucketVersions, "
        "s3:ListBucketMultipartUploads, s3:DeleteObject, s3:DeleteObjectVersion and "
        "s3:AbortMultipartUpload"
    ),
}


@dataclass(frozen=True, slots=True)
class Versions:
    """Every version and delete marker, by its exact key; in an unversioned bucket, every object."""

    url: str
    bucket: str
    client: Any
    name: str = "versions"
    reads_back: bool = True

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """List in the order of keys, and for each key from its newest version to its oldest."""
        try:
            return await self._versions(prefix, behind, limit)
        except ClientError as error:
            if code_of(error) not in LACKING:
                raise translated(self.url, error) from None
        try:
            return await self._objects(prefix, behind, limit)
        except ClientError as error:
            raise translated(self.url, error) from None

    async def _versions(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        key, version = behind or (None, None)
        found = await self.client.list_object_versions(
            Bucket=self.bucket,
            Prefix=prefix,
            MaxKeys=limit,
            **({"KeyMarker": key} if key else {}),
            **({"VersionIdMarker": version} if version else {}),
        )
        listed = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
        listed.sort(key=lambda each: (each["Key"], -each["LastModified"].timestamp()))
        items = [Item(each["Key"], each["VersionId"]) for each in listed]
        if not found.get("IsTruncated"):
            return Page(items)
        onward = (found["NextKeyMarker"], found.get("NextVersionIdMarker"))
        return Page(items, onward, is_last=False)

    async def _objects(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """For servers without versions."""
        after = {"StartAfter": behind[0]} if behind else {}
        found = await self.client.list_objects_v2(
            Bucket=self.bucket, Prefix=prefix, MaxKeys=limit, **after
        )
        items = [Item(each["Key"]) for each in found.get("Contents", ())]
        onward = (items[-1].key, None) if items else None
        return Page(items, onward, is_last=not found.get("IsTruncated"))

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete in up to `REQUESTS` bulk requests at once."""
        return await all_at_once(self._remove, items, REQUESTS)

    async def _remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        bulk = [item for item in items if not UNWRITABLE.search(item.key)]
        alone = [item for item in items if UNWRITABLE.search(item.key)]
        refused = await self._in_bulk(bulk) if bulk else ()
        return [*refused, *await one_by_one(self._delete, alone)]

    async def _delete(self, item: Item) -> Refusal | None:
        version = {"VersionId": item.version} if item.version else {}
        deleting = self.client.delete_object(Bucket=self.bucket, Key=item.key, **version)
        return await outcome(self.url, item, deleting)

    async def _in_bulk(self, items: Sequence[Item]) -> Sequence[Refusal]:
        objects = [
            {"Key": item.key, **({"VersionId": item.version} if item.version else {})}
            for item in items
        ]
        try:
            answer = await self.client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}
            )
        except ClientError as error:
            raise translated(self.url, error) from None
        versions = {item.key: item.version for item in items}  # not every server returns them
        return [
            Refusal(
                Item(error["Key"], error.get("VersionId") or versions.get(error["Key"])),
                error["Code"],
                error["Code"] in PASSING,
            )
            for error in answer.get("Errors", ())
            if error["Code"] not in GONE
        ]


@dataclass(frozen=True, slots=True)
class Uploads:
    """Multipart uploads that were begun but not finished: their parts are data too."""

    url: str
    bucket: str
    client: Any
    name: str = "uploads"
    reads_back: bool = True

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """List in the order of keys."""
        key, upload = behind or (None, None)
        try:
            found = await self.client.list_multipart_uploads(
                Bucket=self.bucket,
                Prefix=prefix,
                MaxUploads=limit,
                **({"KeyMarker": key} if key else {}),
                **({"UploadIdMarker": upload} if upload else {}),
            )
        except ClientError as error:
            if code_of(error) in LACKING:
                return Page(())
            raise translated(self.url, error) from None
        items = [Item(each["Key"], each["UploadId"]) for each in found.get("Uploads", ())]
        if not found.get("IsTruncated"):
            return Page(items)
        onward = (found["NextKeyMarker"], found.get("NextUploadIdMarker"))
        return Page(items, onward, is_last=False)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Abort them, `REQUESTS` at a time."""
        return await all_at_once(partial(one_by_one, self._abort), items, REQUESTS)

    async def _abort(self, item: Item) -> Refusal | None:
        aborting = self.client.abort_multipart_upload(
            Bucket=self.bucket, Key=item.key, UploadId=item.version
        )
        return await outcome(self.url, item, aborting)


async def outcome(url: str, item: Item, deleting: Awaitable[object]) -> Refusal | None:
    """Await the delete of one item. Returns its refusal; None when it is gone. Raises
    `ObjectsUnavailable`.
    """
    try:
        await deleting
    except ClientError as error:
        if code_of(error) in GONE:
            return None
        if isinstance(why := translated(url, error), ObjectsUnavailable):
            raise why from None
        return Refusal(item, code_of(error), passes=False)
    return None


def code_of(error: ClientError) -> str:
    """The provider's code of an error; empty when it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translated(url: str, error: Exception) -> ObjectsUnavailable | ObjectsRefused:
    """The error of this project for an error of the provider, by its code and status.

    Only an answer of the provider can be a refusal. Without an answer, the cause may pass:
    credentials may be missing because a metadata server is silent, or a file is being replaced. The
    text of such an error is not quoted, because it may hold a secret.
    """
    if isinstance(error, SILENT):
        return ObjectsUnavailable(f"{url} does not answer ({type(error).__name__})")
    if not isinstance(error, ClientError):
        return ObjectsUnavailable(
            f"{url} cannot be used now ({type(error).__name__}); if this persists, set "
            "AWS_ACCESS_KEY_ID or a role, and check the other AWS_ variables"
        )
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if may_pass(status) or code in PASSING:
        return ObjectsUnavailable(f"{url} answered {status} {code}")
    remedy = REMEDIES.get(code, "correct what the code names, then retry the job")
    return ObjectsRefused(f"{url} refused {error.operation_name} with {status} {code}", remedy)
