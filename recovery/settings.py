"""Settings of recovery and of its cron client."""

from pydantic import Field

from deletion.process.alert_settings import AlertSettings
from deletion.process.settings import PubSubSettings, Settings, Token
from deletion.process.store_settings import LeaseSettings, StoreSettings
from deletion.process.traces_settings import TracesSettings


class RecoverySettings(PubSubSettings, StoreSettings, LeaseSettings, AlertSettings, TracesSettings):
    """`botdel recovery`."""

    recovery_token: Token
    """Bearer token of the recovery endpoint, at least 16 characters."""
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


class RecoverSettings(Settings):
    """`botdel recover`, the cron client."""

    recovery_token: Token
    """Bearer token of the recovery endpoint, at least 16 characters."""
