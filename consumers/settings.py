"""Settings of a consumer."""

from datetime import timedelta

from pydantic import Field

from deletion.breaker import BreakerPolicy
from deletion.process.alert_settings import AlertSettings
from deletion.process.settings import PubSubSettings
from deletion.process.store_settings import LeaseSettings, StoreSettings
from deletion.process.traces_settings import TracesSettings


class ConsumerSettings(PubSubSettings, StoreSettings, LeaseSettings, AlertSettings, TracesSettings):
    """`botdel consumer`."""

    consumer_host: str = "127.0.0.1"
    """Address of probes and metrics; in a container `0.0.0.0`."""
    consumer_port: int = Field(8081, ge=0, le=65_535)
    """Port; 0 takes a free one."""
    consumer_slots: int = Field(8, ge=1, le=10_000)
    """Jobs that run at once in one process; one more may run if it is suspected of killing its
    process.
    """
    retry_seconds: float = Field(600.0, ge=0, le=86_400)
    """Seconds since the last progress during which an error that may pass is retried in place;
    waits for the step's `pace` extend that, to twice as long and one wait at most; 0 to 86400.
    """
    breaker_seconds: float = Field(10.0, ge=0.1, le=3600)
    """Seconds for which the circuit breaker of an external API is open at first; twice as long
    after each failed probe, up to 5 minutes, or to this value if it is more; 0.1 to 3600.
    """

    @property
    def breaker(self) -> BreakerPolicy:
        """When the breaker of an external API opens, and for how long at first."""
        return BreakerPolicy(first=timedelta(seconds=self.breaker_seconds))
