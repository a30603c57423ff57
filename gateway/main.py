"""The gateway's process: all its parts, composed in one place."""

import asyncio

import structlog
from prometheus_client import CollectorRegistry

from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.readiness import Probe, Publishing, TopicProbe
from deletion.adapters.pubsub.topology import Topology
from deletion.errors import BusUnavailable
from deletion.message_spans import MessageSpans
from deletion.process.bus import Bus, connected_bus
from deletion.process.grace import TRACES
from deletion.process.readiness import Readiness
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals
from deletion.process.tokens import BearerTokens
from deletion.process.tracing import tracing
from deletion.tracing import Tracer
from gateway.app import create_app
from gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Serve until a signal, then answer the requests under way.

    It also starts when Pub/Sub does not answer; `/readyz` then says so. Raises
    `ConfigurationError`, `OSError` for a port that is taken, and `TopologyMissing`. On an emulator
    the gateway creates a missing topic instead.
    """
    async with (
        tracing(settings, "gateway", settings.shutdown_grace_seconds) as tracer,
        connected_bus(settings) as bus,
    ):
        with stop_on_signals() as stopping:
            await _serve(settings, bus, tracer, stopping)


async def _serve(
    settings: GatewaySettings, bus: Bus, tracer: Tracer | None, stopping: asyncio.Event
) -> None:
    spans = MessageSpans(tracer, settings.names.topic) if tracer else None
    publisher = GroupingPublisher(
        bus.publisher,
        settings.names.topic,
        max_pending=settings.gateway_max_pending,
        max_requests=settings.gateway_publish_requests,
        confirm_seconds=settings.gateway_confirm_seconds,
        recreate=bus.topology.recreating(),
        spans=spans,
    )
    probe = TopicProbe(bus.publisher, settings.names.topic, emulated=bus.is_emulated)
    app = create_app(
        publisher,
        BearerTokens(settings.gateway_tokens),
        registry=CollectorRegistry(),
        ready=Readiness({"Pub/Sub": Publishing(publisher, probe)}),
        tracer=tracer,
        spans=spans,
    )
    await _look_for_topic(bus.topology, probe, emulated=bus.is_emulated)
    async with serving(
        app,
        settings.gateway_host,
        settings.gateway_port,
        name="gateway",
        grace=settings.shutdown_grace_seconds * (1 - TRACES),
        bounds=settings.bounds,
    ):
        await stopping.wait()
    await publisher.flush()


async def _look_for_topic(topology: Topology, probe: Probe, *, emulated: bool) -> None:
    """Create the topic on an emulator; elsewhere raise `TopologyMissing` if it does not exist."""
    if emulated:
        await topology.ready_for()
        return
    try:
        if not await probe():
            log.warning("topic not checked", reason="no right to look it up, or no quota left")
    except BusUnavailable as error:
        log.warning("topic not checked", reason=str(error))
