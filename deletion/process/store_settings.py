"""Settings of the processes that reach the jobs: all but the gateway."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from deletion.adapters.mongo.uri import checked
from deletion.job import LeasePolicy
from deletion.process.settings import PubSubSettings, Settings


class StoreSettings(Settings):
    """Where the jobs are."""

    mongodb_uri: Annotated[SecretStr, AfterValidator(checked)]
    mongodb_database: str = Field("bot_deletion", pattern=r"^[A-Za-z0-9_-]{1,63}$")


class LeaseSettings(Settings):
    """When a job is stale, when it is spent, and how long it rests."""

    stale_after_seconds: float = Field(600.0, ge=1, le=86_400)
    max_attempts: int = Field(5, ge=1, le=1000)
    rest_seconds: float = Field(1200.0, ge=0, le=86_400)
    batch_seconds: float = Field(300.0, gt=0, le=86_400)

    @property
    def lease(self) -> LeasePolicy:
        """The same as a `LeasePolicy`."""
        return LeasePolicy(
            timedelta(seconds=self.stale_after_seconds),
            self.max_attempts,
            timedelta(seconds=self.rest_seconds),
            timedelta(seconds=self.batch_seconds),
        )


class JobsSettings(StoreSettings, LeaseSettings):
    """Commands that read or change records, and need no Pub/Sub."""


class OperatorSettings(PubSubSettings, StoreSettings, LeaseSettings):
    """The command that publishes: `botdel dead-letters replay`."""


class RetentionSettings(Settings):
    """How long complete jobs are kept: for ever when it is not set.

    At least 31 days, because a message may come back for so long; at most what MongoDB's 32 bits
    of seconds can hold.
    """

    keep_complete_days: int | None = Field(None, ge=31, le=24_855)


class TopologySettings(PubSubSettings, StoreSettings, RetentionSettings):
    """`botdel topology apply`."""
