"""What a plan file says of the pace of a step: `pace: {target_ms, busy_share, pressure, …}`."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from deletion.adapters.mongo.lag import ReplicationLag
from deletion.adapters.pressure.http import HttpGauge, PrometheusGauge
from deletion.adapters.spec import Connect, Strict
from deletion.pace import BUSY_SHARE, MIN_BATCH, TARGET_MS, Gauge, Pace, Pressure

KINDS: Final = ("replication_lag", "prometheus", "gauge")
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _is_http(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL that begins with http:// or https://")
    return url


class GaugeSpec(Strict):
    """A URL whose answer is a number."""

    url: SecretStr

    _checked = field_validator("url")(_is_http)


class PrometheusSpec(Strict):
    """A query to the Prometheus at `url`."""

    url: SecretStr
    query: Annotated[str, Field(min_length=1, max_length=4000)]

    _checked = field_validator("url")(_is_http)


class PressureSpec(Strict):
    """One gauge, and its limits: in seconds for `replication_lag`."""

    replication_lag: bool = False
    prometheus: PrometheusSpec | None = None
    gauge: GaugeSpec | None = None
    slow_above: Number
    wait_above: Number

    @model_validator(mode="after")
    def _is_one(self) -> "PressureSpec":
        given = [kind for kind in KINDS if getattr(self, kind)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"expected one of {', '.join(KINDS)}; found {found}")
        if not self.slow_above < self.wait_above:
            raise ValueError("expected slow_above to be less than wait_above")
        return self

    def build(self, connect: Connect, uri: str | None) -> Pressure:
        """The pressure; `uri` is that of the step's own server."""
        gauge: Gauge
        if self.prometheus:
            gauge = PrometheusGauge(self.prometheus.url, self.prometheus.query)
        elif self.gauge:
            gauge = HttpGauge(self.gauge.url)
        else:
            gauge = ReplicationLag(connect(uri))
        return Pressure(gauge, self.slow_above, self.wait_above)


class PaceSpec(Strict):
    """How large batches are, how long the step rests, and what slows it down."""

    target_ms: Annotated[float, Field(gt=0, le=10_000)] = TARGET_MS
    min_batch: Annotated[int, Field(ge=1, le=100_000)] = MIN_BATCH
    max_batch: Annotated[int, Field(ge=1, le=100_000)] | None = None
    busy_share: Annotated[float, Field(ge=0.001, le=1)] = BUSY_SHARE
    pressure: PressureSpec | None = None

    @model_validator(mode="after")
    def _sizes_fit(self) -> "PaceSpec":
        if self.max_batch is not None and self.max_batch < self.min_batch:
            raise ValueError("expected max_batch to be at least min_batch")
        return self

    def build(self, connect: Connect, uri: str | None) -> Pace:
        """The pace; `uri` is that of the step's own server."""
        return Pace(
            self.target_ms,
            self.min_batch,
            self.max_batch,
            self.busy_share,
            self.pressure.build(connect, uri) if self.pressure else None,
        )
