"""The `pace` of a step in a plan file: `pace: {target_ms, busy_share, pressure, …}`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from deletion.adapters.mongo.lag import ReplicationLag
from deletion.adapters.pressure.http import HttpGauge, PrometheusGauge
from deletion.adapters.spec import Connect, OfOneKind, Strict
from deletion.errors import PlanError
from deletion.pace import Gauge, Pace, Pressure, check_limits

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _is_http(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL that begins with http:// or https://")
    return url


class GaugeSpec(Strict):
    """A URL that returns a number."""

    url: SecretStr

    _checked = field_validator("url")(_is_http)


class PrometheusSpec(Strict):
    """A query to the Prometheus at `url`."""

    url: SecretStr
    query: Annotated[str, Field(min_length=1, max_length=4000)]

    _checked = field_validator("url")(_is_http)


class PressureSpec(OfOneKind):
    """One gauge and its limits, which are in seconds for `replication_lag`."""

    KINDS = ("replication_lag", "prometheus", "gauge")
    replication_lag: Literal[True] | None = None
    prometheus: PrometheusSpec | None = None
    gauge: GaugeSpec | None = None
    slow_above: Number
    wait_above: Number

    @model_validator(mode="after")
    def _slows_before_it_waits(self) -> Self:
        with _as_value_error():
            check_limits(self.slow_above, self.wait_above)
        return self

    def build(self, connect: Connect, uri: str | None) -> Pressure:
        """The pressure. `uri` is the URI of the step's own server."""
        gauge: Gauge
        if self.prometheus:
            gauge = PrometheusGauge(self.prometheus.url, self.prometheus.query)
        elif self.gauge:
            gauge = HttpGauge(self.gauge.url)
        else:
            gauge = ReplicationLag(connect(uri))
        return Pressure(gauge, self.slow_above, self.wait_above)


class PaceSpec(Strict):
    """How large batches are, how long the step pauses, and what slows it down.

    A field that is left out keeps the value of the step's default pace.
    """

    target_ms: Annotated[float, Field(gt=0, le=10_000)] | None = None
    min_batch: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_batch: Annotated[int, Field(ge=1, le=100_000)] | None = None
    busy_share: Annotated[float, Field(ge=0.001, le=1)] | None = None
    pressure: PressureSpec | None = None

    @model_validator(mode="after")
    def _is_a_pace(self) -> Self:
        with _as_value_error():
            self._filled(Pace(), None)
        return self

    def build(self, default: Pace, connect: Connect, uri: str | None) -> Pace:
        """The pace of the step, with fields left out taken from `default`.

        `uri` is the URI of the step's own server.
        """
        pressure = self.pressure.build(connect, uri) if self.pressure else default.pressure
        return self._filled(default, pressure)

    def _filled(self, default: Pace, pressure: Pressure | None) -> Pace:
        """The pace, with fields left out taken from `default`."""
        most = self.max_batch or default.max_batch
        return Pace(
            self.target_ms or default.target_ms,
            self.min_batch or min(default.min_batch, most or default.min_batch),
            most,
            self.busy_share or default.busy_share,
            pressure,
        )


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn a `PlanError` into a `ValueError`, which pydantic reports with its location."""
    try:
        yield
    except PlanError as error:
        raise ValueError(str(error)) from None
