"""Settings of the processes that record traces, by OpenTelemetry's own names where they exist.

What else its exporter reads, such as headers and certificates, it reads from the environment.
"""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from deletion.process.settings import Settings
from deletion.tracing import Sampling

ALWAYS: Final = {"always_on": 1.0, "always_off": 0.0}
RATIO: Final = "traceidratio"
FOLLOWING: Final = "parentbased_"
"""The prefix of the samplers that follow the caller's decision."""

SamplerName = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected a URL that begins with http:// or https:// and names a host")
    return url


class TracesSettings(Settings):
    """Whether spans are recorded, which, and where they go."""

    traces: Literal["off", "otlp"] = "off"
    """`otlp` records traces and exports them by OTLP over HTTP; it needs the extra `traces`."""
    traces_endpoint: Annotated[str, AfterValidator(_web_address)] | None = Field(
        None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    """Where traces are posted, below which `/v1/traces` is; not set means `http://localhost:4318`.
    `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, in the environment, takes precedence.
    """
    traces_service: str | None = Field(None, validation_alias="OTEL_SERVICE_NAME", max_length=255)
    """What traces call this process; not set means `botdel-gateway`, `botdel-recovery`,
    `botdel-console`, or `botdel-consumer-` and the service.
    """
    traces_sampler: SamplerName = Field(
        "parentbased_always_on", validation_alias="OTEL_TRACES_SAMPLER"
    )
    """Which traces are recorded: `always_on`, `always_off`, `traceidratio`, or one of them after
    `parentbased_`: that one decides only about requests that continue no trace.
    """
    traces_sampler_arg: float = Field(1.0, ge=0, le=1, validation_alias="OTEL_TRACES_SAMPLER_ARG")
    """Share of traces that `traceidratio` records, by their ids; 0 to 1."""

    @property
    def sampling(self) -> Sampling:
        """The same as a `Sampling`."""
        name = self.traces_sampler.removeprefix(FOLLOWING)
        share = self.traces_sampler_arg if name == RATIO else ALWAYS[name]
        return Sampling(share, follows=self.traces_sampler.startswith(FOLLOWING))
