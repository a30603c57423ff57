"""What moto's S3 server cannot hold, or never refuses, over a client in memory."""

from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.exceptions import ClientError

from deletion.adapters.objects.bucket import Item
from deletion.adapters.objects.s3_listers import Uploads, Versions
from deletion.errors import ObjectsUnavailable

ODD = ["a\x01", "\ufffe", "a\x1f/b"]


def answered(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "DeleteObject")


@dataclass
class Client:
    """Deletes what it is asked to, unless `errors` say otherwise for that key."""

    errors: dict[str, ClientError] = field(default_factory=dict)
    deleted: list[tuple[str, str | None]] = field(default_factory=list)

    async def delete_objects(self, **options: Any) -> dict[str, Any]:
        objects = options["Delete"]["Objects"]
        for each in objects:
            ElementTree.fromstring(f"<Key>{each['Key']}</Key>")  # noqa: S314
        self.deleted += [(each["Key"], each.get("VersionId")) for each in objects]
        return {}

    async def delete_object(self, **options: Any) -> None:
        self._delete(options["Key"], options.get("VersionId"))

    async def abort_multipart_upload(self, **options: Any) -> None:
        self._delete(options["Key"], options["UploadId"])

    def _delete(self, key: str, version: str | None) -> None:
        if error := self.errors.get(key):
            raise error
        self.deleted.append((key, version))


async def test_a_key_that_xml_cannot_hold_is_deleted_by_a_request_of_its_own() -> None:
    client = Client()
    items = [Item(key, "v1") for key in ("a", *ODD, "é\t")]
    assert await Versions("s3://media", "media", client).remove(items) == []
    assert sorted(client.deleted) == sorted((item.key, "v1") for item in items)


@pytest.mark.parametrize("lister", [Versions, Uploads])
async def test_one_that_is_refused_holds_up_no_other(lister: type[Versions | Uploads]) -> None:
    denied, gone = answered("AccessDenied", 403), answered("NoSuchUpload", 404)
    client = Client({ODD[0]: denied, ODD[1]: gone})
    items = [Item(key, "v1") for key in ODD]
    [refusal] = await lister("s3://media", "media", client).remove(items)
    assert (refusal.item, refusal.code, refusal.passes) == (items[0], "AccessDenied", False)
    assert client.deleted == [(ODD[2], "v1")]


@pytest.mark.parametrize("lister", [Versions, Uploads])
async def test_a_server_that_is_busy_is_unavailable(lister: type[Versions | Uploads]) -> None:
    client = Client({key: answered("SlowDown", 503) for key in ODD})
    with pytest.raises(ObjectsUnavailable, match="503 SlowDown"):
        await lister("s3://media", "media", client).remove([Item(ODD[0], "v1")])
