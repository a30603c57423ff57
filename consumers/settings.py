"""Settings of a consumer."""

from datetime import timedelta

from pydantic import Field

from deletion.breaker import BreakerPolicy
from deletion.process.alert_settings import AlertSettings
from deletion.process.settings import PubSubSettings
from deletion.process.store_settings import LeaseSettings, StoreSettings


class ConsumerSettings(PubSubSettings, StoreSettings, LeaseSettings, AlertSettings):
    """`botdel consumer`."""

    consumer_host: str = "127.0.0.1"
    consumer_port: int = Field(8081, ge=0, le=65_535)
    consumer_slots: int = Field(8, ge=1, le=10_000)
    retry_seconds: float = Field(600.0, ge=0, le=86_400)
    breaker_seconds: float = Field(10.0, ge=0.1, le=3600)

    @property
    def breaker(self) -> BreakerPolicy:
        """When the breaker of an external API opens, and for how long at first."""
        return BreakerPolicy(first=timedelta(seconds=self.breaker_seconds))
