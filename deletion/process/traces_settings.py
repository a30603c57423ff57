"""Settings of the processes that record traces, by OpenTelemetry's own names where they exist.

What else its exporter reads, such as headers and certificates, it reads from the environment.
While traces are off, none of OpenTelemetry's variables is read.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from deletion.process.settings import Settings
from deletion.sampling import Sampling

ALWAYS: Final = {"always_on": 1.0, "always_off": 0.0}
RATIO: Final = "traceidratio"
OWN: Final = "OTEL_"
"""The prefix of OpenTelemetry's own variables."""
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
    """Address of the collector, to which `/v1/traces` is added; not set means
    `http://localhost:4318`. `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, in the environment, takes
    precedence.
    """
    traces_service: str | None = Field(None, validation_alias="OTEL_SERVICE_NAME", max_length=255)
    """Name of this process in traces; not set means `botdel-gateway`, `botdel-recovery`,
    `botdel-console`, or `botdel-consumer-` and the service.
    """
    traces_sampler: SamplerName = Field(
        "parentbased_always_on", validation_alias="OTEL_TRACES_SAMPLER"
    )
    """Which traces are recorded: `always_on`, `always_off`, `traceidratio`, or one of them with the
    prefix `parentbased_`, which then decides only about traces that begin here.
    """
    traces_sampler_arg: float = Field(1.0, ge=0, le=1, validation_alias="OTEL_TRACES_SAMPLER_ARG")
    """Fraction of traces that `traceidratio` records, chosen by their ids; 0 to 1."""

    @model_validator(mode="before")
    @classmethod
    def _inert_while_off(cls, given: Mapping[str, object]) -> Mapping[str, object]:
        """Leave OpenTelemetry's own variables unread: they may be meant for other programs."""
        if given.get("traces", "off") != "off":
            return given
        return {name: value for name, value in given.items() if not name.startswith(OWN)}

    @property
    def sampling(self) -> Sampling:
        """The same as a `Sampling`."""
        name = self.traces_sampler.removeprefix(FOLLOWING)
        ratio = self.traces_sampler_arg if name == RATIO else ALWAYS[name]
        return Sampling(ratio, follows=self.traces_sampler.startswith(FOLLOWING))
