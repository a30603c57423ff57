"""The `objects` kind of step in a plan file: `objects: {url, prefix, …}`."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from deletion.adapters.objects.bucket import PER_REQUEST, Bucket
from deletion.adapters.objects.files import Folder, folder_of
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.spec import StepConnections, Strict
from deletion.errors import PlanError
from deletion.ids import BOT_ID

BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
NEEDED: Final = "pip install 'bot-deletion-pipeline[objects]'"


class ObjectsSpec(Strict):
    """The objects under the bot's prefix in one bucket or folder."""

    url: Annotated[str, Field(max_length=1000)]
    prefix: Annotated[str, Field(max_length=500)]
    retained: Literal["accept"] | None = None
    batch_size: Annotated[int, Field(ge=1, le=PER_REQUEST)] = PER_REQUEST

    @field_validator("url")
    @classmethod
    def _names_a_bucket(cls, url: str) -> str:
        scheme, _, name = url.partition("://")
        if scheme == "file":
            folder_of(url)
            return url
        if scheme not in ("s3", "gs", "az") or not BUCKET.fullmatch(name):
            raise ValueError(
                "expected s3://bucket, gs://bucket, az://container or file:///path; "
                "folders belong to the prefix"
            )
        return url

    @field_validator("prefix")
    @classmethod
    def _is_the_bots_alone(cls, prefix: str) -> str:
        """Refuse a prefix that could match objects of other bots."""
        if not prefix.endswith("/"):
            raise ValueError("expected a / at its end, because without it longer names match too")
        segments = prefix.removesuffix("/").split("/")
        if segments.count(BOT_ID) != 1 or prefix.count(BOT_ID) != 1:
            raise ValueError(f"expected {BOT_ID} exactly once, as the whole name of a folder")
        if any(segment in ("", ".", "..") for segment in segments):
            raise ValueError("expected no empty folder in it, no . and no ..")
        if re.search(r"[{}\x00-\x1f\x7f]", prefix.replace(BOT_ID, "")):
            raise ValueError(f"expected no braces except in {BOT_ID}, and no control characters")
        return prefix

    @model_validator(mode="after")
    def _says_what_nobody_can_see(self) -> "ObjectsSpec":
        if self.url.startswith("az:") and self.retained is None:
            raise ValueError(
                "az:// needs `retained: accept`: versions and soft-deleted blobs of Azure are "
                "neither seen nor deleted"
            )
        return self

    def build(self, name: str, connections: StepConnections) -> ObjectsStep:
        """The step. Raises `PlanError` for a wrong endpoint, and where packages are missing."""
        try:
            bucket = self._bucket(connections.call_seconds)
        except ImportError as error:
            raise PlanError(f"objects need {error.name}; {NEEDED}", field=f"step {name}") from None
        except PlanError as error:
            raise PlanError(str(error), field=f"step {name}") from None
        return ObjectsStep(
            name,
            bucket,
            self.prefix,
            retained_is_accepted=self.retained is not None,
            batch_size=self.batch_size,
            call_seconds=connections.call_seconds,
        )

    def _bucket(self, call_seconds: float) -> Bucket:
        """Import the provider's packages only when they are needed."""
        scheme, _, name = self.url.partition("://")
        if scheme == "s3":
            from deletion.adapters.objects.s3 import S3Bucket

            return S3Bucket(name, call_seconds)
        if scheme == "gs":
            from deletion.adapters.objects.gcs import GcsBucket

            return GcsBucket(name, call_seconds)
        if scheme == "az":
            from deletion.adapters.objects.azure import AzureBucket

            return AzureBucket(name, call_seconds)
        return Folder(self.url, self.prefix)
