"""The tracer of a process, as its settings say: none while traces are off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deletion.errors import ConfigurationError
from deletion.process.grace import TRACES
from deletion.process.traces_settings import TracesSettings
from deletion.tracing import Tracer

NEEDED = "install the extra: pip install 'bot-deletion-pipeline[traces]'"


@asynccontextmanager
async def tracing(
    settings: TracesSettings, name: str, grace: float
) -> AsyncIterator[Tracer | None]:
    """Yield the tracer. At the end, export what still waits, in a share of `grace` seconds.

    `name` is that of the process. Raises `ConfigurationError` when packages are missing.
    """
    if settings.traces == "off":
        yield None
        return
    try:  # only now: without traces no process needs these packages, or waits for their import
        from deletion.adapters.traces import otlp_export
    except ImportError as error:
        raise ConfigurationError(f"BOTDEL_TRACES: otlp needs {error.name}", NEEDED) from None
    export = otlp_export(settings.traces_service or f"botdel-{name}", settings.traces_endpoint)
    try:
        yield Tracer(export, settings.sampling)
    finally:
        await export.close(grace * TRACES)
