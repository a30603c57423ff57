"""Settings of recovery and of its cron client."""

from pydantic import Field

from deletion.process.alert_settings import AlertSettings
from deletion.process.settings import PubSubSettings, Settings, Token
from deletion.process.store_settings import LeaseSettings, StoreSettings


class RecoverySettings(PubSubSettings, StoreSettings, LeaseSettings, AlertSettings):
    """`botdel recovery`."""

    recovery_token: Token
    recovery_host: str = "127.0.0.1"
    recovery_port: int = Field(8082, ge=0, le=65_535)
    sweep_page_size: int = Field(500, ge=1, le=10_000)
    alert_stale_share: float = Field(0.5, gt=0, lt=1)
    alert_waiting_seconds: float = Field(86_400.0, gt=0)


class RecoverSettings(Settings):
    """`botdel recover`, the cron client."""

    recovery_token: Token
