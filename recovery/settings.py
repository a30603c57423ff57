"""Settings of recovery and of its cron client."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from deletion.process.alert_settings import AlertSettings, WebAddress
from deletion.process.settings import PubSubSettings, Settings, Token, Tokens
from deletion.process.store_settings import LeaseSettings, StoreSettings
from deletion.process.traces_settings import TracesSettings
from deletion.request import LedgerPolicy

_is_address = re.compile(r"[a-z0-9._%+-]+@[a-z0-9.-]+").fullmatch


class LedgerSettings(Settings):
    """What the request ledger does."""

    deadline_hours: float = Field(720.0, gt=0, le=87_600)
    """Hours after its receipt by which a request must be settled; an alert is raised after three
    quarters of them, and another at their end. At most 87600.
    """
    missing_after_minutes: float = Field(60.0, gt=0, le=44_640)
    """Minutes after its receipt from which the ledger checks for a request's jobs, every half hour
    and in every sweep, and publishes it again for each service that has none. At most 44640.
    """
    callback_url: WebAddress | None = None
    """Where each settled request is posted as JSON; `http://` or `https://`. A credential: it is
    never printed. Without it nothing is posted, and what still waited to be posted is forgotten
    once a process of recovery has run without it for a day.
    """
    callback_secret: Token | None = Field(None, validate_default=True)
    """Signs the calls of `BOTDEL_CALLBACK_URL`, and is required with it; at least 16 characters."""

    @field_validator("callback_secret")
    @classmethod
    def _signs(cls, secret: Token | None, given: ValidationInfo) -> Token | None:
        if secret is None and given.data.get("callback_url") is not None:
            raise ValueError("expected a secret, because BOTDEL_CALLBACK_URL is set")
        return secret

    @property
    def ledger(self) -> LedgerPolicy:
        """The same as a `LedgerPolicy`."""
        return LedgerPolicy(
            deadline=timedelta(hours=self.deadline_hours),
            missing_after=timedelta(minutes=self.missing_after_minutes),
        )


class RecoverySettings(
    PubSubSettings, StoreSettings, LeaseSettings, AlertSettings, LedgerSettings, TracesSettings
):
    """`botdel recovery`."""

    recovery_token: Annotated[Tokens, NoDecode]
    """Bearer token of the recovery endpoint, at least 16 characters. Several are separated by
    commas: recovery accepts each of them, and what calls it sends the first, to change over from
    one to the other.
    """
    recovery_oidc_emails: Annotated[tuple[str, ...] | None, NoDecode] = None
    """E-mail addresses of service accounts, separated by commas. Beside `BOTDEL_RECOVERY_TOKEN` the
    endpoint accepts OIDC tokens that Google has signed for these, such as the one of Cloud
    Scheduler. Set it together with `BOTDEL_RECOVERY_OIDC_AUDIENCE`.
    """
    recovery_oidc_audience: str | None = Field(None, max_length=500, validate_default=True)
    """The audience that these tokens must have, such as `https://recovery.example.org`."""
    recovery_host: str = "127.0.0.1"
    """Address to listen on; in a container `0.0.0.0`."""
    recovery_port: int = Field(8082, ge=0, le=65_535)
    """Port; 0 takes a free one. Private: never expose it."""
    sweep_page_size: int = Field(500, ge=1, le=10_000)
    """Jobs a sweep reads, moves and keeps in memory at a time; 1 to 10000."""
    alert_stale_share: float = Field(0.5, gt=0, lt=1)
    """A sweep alerts when more than this share of jobs in progress is stale; between 0 and 1."""
    alert_waiting_seconds: float = Field(86_400.0, gt=0)
    """A sweep alerts when it finds jobs that have been pending and due for more than this many
    seconds, or handed over for longer than both that and a day.
    """

    @field_validator("recovery_oidc_emails", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(","))
        return value

    @field_validator("recovery_oidc_emails")
    @classmethod
    def _addresses(cls, emails: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if emails is not None and not all(_is_address(each) for each in emails):
            raise ValueError("expected e-mail addresses in lower case, separated by commas")
        return emails

    @field_validator("recovery_oidc_audience")
    @classmethod
    def _both(cls, audience: str | None, given: ValidationInfo) -> str | None:
        emails = given.data.get("recovery_oidc_emails")
        if audience is None and emails is not None:
            raise ValueError("not set; BOTDEL_RECOVERY_OIDC_EMAILS needs it")
        if audience is not None and emails is None and "recovery_oidc_emails" in given.data:
            raise ValueError("set without BOTDEL_RECOVERY_OIDC_EMAILS; set both, or neither")
        return audience


class RecoverSettings(Settings):
    """`botdel recover`, the cron client."""

    recovery_token: Annotated[Tokens, NoDecode]
    """Bearer token of the recovery endpoint, at least 16 characters; the first of several."""

    @property
    def token(self) -> SecretStr:
        """The one that is sent."""
        return self.recovery_token[0]
