"""The tracer of a process: none unless the settings ask for one, and never at anybody's cost."""

import sys
import time
from typing import Any

import pytest

from deletion.errors import ConfigurationError, SettingsError
from deletion.process.settings import load
from deletion.process.traces_settings import TracesSettings
from deletion.process.tracing import tracing
from deletion.sampling import Sampling
from tests.support.spans import Collector

GRACE = 8.0


def settings(**values: Any) -> TracesSettings:
    return load(TracesSettings, **values)


@pytest.mark.proves("traces-off")
async def test_off_is_the_default_and_there_is_no_tracer() -> None:
    async with tracing(settings(), "gateway", GRACE) as tracer:
        assert tracer is None


async def test_on_spans_are_exported_before_the_end() -> None:
    async with Collector() as collector:
        on = settings(traces="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        async with tracing(on, "gateway", GRACE) as tracer:
            assert tracer
            with tracer.span("any"):
                pass
        assert [(span.name, span.service) for span in collector.spans] == [
            ("any", "botdel-gateway")
        ]


async def test_a_collector_that_hangs_gets_a_share_of_the_grace_period() -> None:
    async with Collector(hangs=True) as collector:
        on = settings(
            traces="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="mine"
        )
        async with tracing(on, "gateway", GRACE) as tracer:
            assert tracer
            tracer.span("any").end()
            began = time.perf_counter()
        assert time.perf_counter() - began < GRACE / 2


async def test_without_the_packages_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "deletion.adapters.traces", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"BOTDEL_TRACES.*bot-deletion-pipeline\[traces\]"):
        async with tracing(settings(traces="otlp"), "gateway", GRACE):
            pass


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("always_on", None, Sampling(1.0, follows=False)),
        ("always_off", None, Sampling(0.0, follows=False)),
        ("traceidratio", "0.25", Sampling(0.25, follows=False)),
        ("parentbased_always_on", "0.25", Sampling(1.0)),
        ("parentbased_always_off", None, Sampling(0.0)),
        ("parentbased_traceidratio", "0.25", Sampling(0.25)),
        (None, None, Sampling(1.0)),
    ],
)
def test_samplers_have_opentelemetrys_names(
    name: str | None, share: str | None, expected: Sampling
) -> None:
    read = settings(traces="otlp", OTEL_TRACES_SAMPLER=name, OTEL_TRACES_SAMPLER_ARG=share)
    assert read.sampling == expected


WRONG = {
    "OTEL_TRACES_SAMPLER": "sometimes",
    "OTEL_TRACES_SAMPLER_ARG": "2",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318",
}


@pytest.mark.parametrize(("variable", "value"), WRONG.items())
def test_a_wrong_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        settings(traces="otlp", **{variable: value})


@pytest.mark.proves("traces-off")
@pytest.mark.parametrize(("variable", "value"), WRONG.items())
def test_off_what_is_meant_for_other_programs_stops_no_process(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster may set OpenTelemetry's variables for each container, with names of its own."""
    monkeypatch.setenv(variable, value)
    assert settings().traces == "off"
