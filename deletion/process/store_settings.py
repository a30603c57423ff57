"""Settings of the processes that reach the jobs: all but the gateway."""

import getpass
import os
import socket
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from deletion.adapters.mongo.uri import checked
from deletion.job import LeasePolicy
from deletion.process.settings import PubSubSettings, Settings


class StoreSettings(Settings):
    """Where the jobs are."""

    mongodb_uri: Annotated[SecretStr, AfterValidator(checked)]
    """Where the jobs are, and the data of steps without a `uri`; `mongodb://` or `mongodb+srv://`,
    user name and password percent-encoded (RFC 3986, section 2.1). Reads go to the primary, writes
    are `w=majority` and connections are bounded, whatever the URI says.
    """
    mongodb_database: str = Field("bot_deletion", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """Database of all records: jobs, requests, dead letters, sweeps, actions of operators, etc."""


class LeaseSettings(Settings):
    """When a job is stale or exhausted, and how long it rests."""

    stale_after_seconds: float = Field(600.0, ge=1, le=86_400)
    """A job in progress that has been silent for this many seconds is stale; 1 to 86400. A
    heartbeat is due after a quarter of it.
    """
    max_attempts: int = Field(5, ge=1, le=1000)
    """Attempts that a job may spend before it is exhausted; 1 to 1000."""
    rest_seconds: float = Field(1200.0, ge=0, le=86_400)
    """Seconds that a failed job rests after its first attempt before a sweep resumes it; four
    times as long after each further attempt, a day at most. A stale job rests too, from its
    second silence on. 0 to 86400.
    """
    batch_seconds: float = Field(300.0, gt=0, le=86_400)
    """Seconds for which the heartbeat keeps the lease alive during one batch of a step; a batch
    that hangs for longer makes its job stale. At most 86400.
    """

    @property
    def lease(self) -> LeasePolicy:
        """The same as a `LeasePolicy`."""
        return LeasePolicy(
            timedelta(seconds=self.stale_after_seconds),
            self.max_attempts,
            timedelta(seconds=self.rest_seconds),
            timedelta(seconds=self.batch_seconds),
        )


class OperatorNamed(Settings):
    """Who acts, as `operator_actions` records it."""

    operator: str | None = Field(None, min_length=1, max_length=200)
    """The name that actions are recorded under, such as `ada@example.com`; at most 200 characters.
    Without it, the user and the host of the command, `user@host`.
    """

    @property
    def who(self) -> str:
        """`operator`, or the user and the host of this process."""
        return self.operator or f"{_user()}@{socket.gethostname()}"


class JobsSettings(StoreSettings, LeaseSettings):
    """Commands that read or change records, and need no Pub/Sub."""


class ActingSettings(StoreSettings, LeaseSettings, OperatorNamed):
    """Commands that change records, and need no Pub/Sub."""


class OperatorSettings(PubSubSettings, StoreSettings, LeaseSettings, OperatorNamed):
    """The command that publishes: `botdel dead-letters replay`."""


class RetentionSettings(Settings):
    """How long records are kept: for ever if it is not set.

    At least 31 days, because a message may be redelivered for that long, and one day more for
    requests, because clocks differ; at most what MongoDB's 32 bits of seconds can hold.
    """

    keep_complete_days: int | None = Field(None, ge=31, le=24_855)
    """Days after which MongoDB deletes the record of a complete job that the request ledger has
    settled, and with it the memory of its `Idempotency-Key`; 31 to 24855. Without it they are kept
    for ever. `botdel topology apply` creates the TTL index; to remove it, run the command that
    `topology apply` prints.
    """
    keep_settled_days: int | None = Field(None, ge=32, le=24_855)
    """Days after which MongoDB deletes the record of a settled request that is announced and, with
    `BOTDEL_CALLBACK_URL`, confirmed; 32 to 24855. After that its status is `404`. Without it they
    are kept for ever. Its TTL index is created and removed in the same way.
    """


class TopologySettings(PubSubSettings, StoreSettings, RetentionSettings):
    """`botdel topology apply`."""


def _user() -> str:
    """The name of the user that this process runs as, or its number if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
