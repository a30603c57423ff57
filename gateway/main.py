"""The gateway's process: everything it needs, put together in one place."""

import asyncio

from prometheus_client import CollectorRegistry

from deletion.adapters.pubsub.connection import PubSub
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.topology import Topology
from deletion.process.connections import Bounds
from deletion.process.readiness import Readiness
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals
from deletion.process.tokens import BearerTokens
from gateway.app import create_app
from gateway.settings import GatewaySettings


async def run(settings: GatewaySettings) -> None:
    """Serve until a signal, then answer what is under way.

    A Pub/Sub that does not answer is no reason not to start: `/readyz` says so until it does.
    Raises `ConfigurationError`, `OSError` for a port that is taken, and `TopologyMissing` (never
    against an emulator, where the topic is made and, when forgotten, made again).
    """
    pubsub = PubSub(settings.emulator)
    try:
        with stop_on_signals() as stopping:
            await _serve(settings, pubsub, stopping)
    finally:
        await pubsub.close()


async def _serve(settings: GatewaySettings, pubsub: PubSub, stopping: asyncio.Event) -> None:
    client = pubsub.publisher()
    topology = Topology(client, pubsub.subscriber(), settings.names, emulated=pubsub.is_emulated)
    publisher = GroupingPublisher(
        client,
        settings.names.topic,
        max_pending=settings.gateway_max_pending,
        confirm_seconds=settings.gateway_confirm_seconds,
        recreate=topology.recreating(),
    )
    app = create_app(
        publisher,
        BearerTokens(settings.gateway_tokens),
        registry=CollectorRegistry(),
        ready=Readiness({"Pub/Sub": topology.recreating() or topology.require}),
    )
    await topology.ready_for()
    async with serving(
        app,
        settings.gateway_host,
        settings.gateway_port,
        name="gateway",
        grace=settings.shutdown_grace_seconds,
        bounds=Bounds(connections=settings.gateway_max_connections),
    ):
        await stopping.wait()
    await publisher.flush()
