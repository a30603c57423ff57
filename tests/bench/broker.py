"""The embedded broker against Google's emulator: publish, pull and acknowledge, in turn.

Both are processes; the client of this one uses the plain methods below the library's, so that it is
the broker that is measured. The emulator is warm: the first round of both is not counted.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

import grpc
from google.pubsub_v1 import types

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator

MESSAGES: Final = 20_000
BATCH: Final = 100
"""Of a publish, a pull and an acknowledge: the most that the emulator gives in a pull."""
AT_ONCE: Final = 4
"""Calls that are under way."""
ROUNDS: Final = 5
BODY: Final = b"x" * 200
PUBLISHER, SUBSCRIBER = "/google.pubsub.v1.Publisher/", "/google.pubsub.v1.Subscriber/"


async def bench(rounds: int = ROUNDS) -> dict[str, float]:
    """Messages per second of each, and the ratio of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        async with PubSubEmulator() as google, EmbeddedBroker(folder=Path(folder)) as embedded:
            hosts = {"Google's emulator": google.host, "embedded": embedded.host}
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in hosts}
            for number in range(rounds + 1):
                names = sorted(hosts, reverse=number % 2 == 1)
                for name in names:
                    figures = await _round(hosts[name])
                    if number:
                        found[name].append(figures)
    published = {name: median(rate for rate, _ in rates) for name, rates in found.items()}
    pulled = {name: median(rate for _, rate in rates) for name, rates in found.items()}
    return {
        **{f"{name}, published": rate for name, rate in published.items()},
        **{f"{name}, pulled and acknowledged": rate for name, rate in pulled.items()},
        "publish, of the emulator": published["embedded"] / published["Google's emulator"],
        "pull and acknowledge, of the emulator": pulled["embedded"] / pulled["Google's emulator"],
    }


async def _round(host: str) -> tuple[float, float]:
    """Messages published, and pulled and acknowledged, per second."""
    project = f"projects/bench-{uuid4().hex[:8]}"
    topic, path = f"{project}/topics/events", f"{project}/subscriptions/chat"
    async with grpc.aio.insecure_channel(host) as channel:

        def method(name: str) -> Callable[..., Awaitable[Any]]:
            return channel.unary_unary(name)

        await method(PUBLISHER + "CreateTopic")(_bytes(types.Topic(name=topic)))
        subscription = types.Subscription(name=path, topic=topic, ack_deadline_seconds=600)
        await method(SUBSCRIBER + "CreateSubscription")(_bytes(subscription))
        publish = await _rate(_publishing(method(PUBLISHER + "Publish"), topic))
        pull, ack = method(SUBSCRIBER + "Pull"), method(SUBSCRIBER + "Acknowledge")
        return publish, await _rate(_pulling(pull, ack, path))


async def _rate(step: Callable[[], Awaitable[int]]) -> float:
    """Repeat `step`, several at once, until all messages are through it."""
    done, began = 0, time.perf_counter()
    last = began

    async def work() -> None:
        nonlocal done, last
        while done < MESSAGES:
            if number := await step():
                done, last = done + number, time.perf_counter()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return done / (last - began)  # a pull that waits for messages when all are through is not in it


def _publishing(publish: Callable[..., Awaitable[Any]], topic: str) -> Callable[[], Any]:
    message = types.PubsubMessage(data=BODY, attributes={"event_type": "REQUEST_PLACED"})
    request = _bytes(types.PublishRequest(topic=topic, messages=[message] * BATCH))

    async def step() -> int:
        await publish(request)
        return BATCH

    return step


def _pulling(
    pull: Callable[..., Awaitable[Any]], ack: Callable[..., Awaitable[Any]], path: str
) -> Callable[[], Any]:
    request = _bytes(types.PullRequest(subscription=path, max_messages=BATCH))
    read = types.PullResponse.pb(types.PullResponse()).__class__.FromString
    acknowledge = types.AcknowledgeRequest.pb(types.AcknowledgeRequest()).__class__

    async def step() -> int:
        answer = read(await pull(request, timeout=1.0))
        ids = [each.ack_id for each in answer.received_messages]
        if ids:
            await ack(acknowledge(subscription=path, ack_ids=ids).SerializeToString())
        return len(ids)

    return step


def _bytes(message: Any) -> bytes:
    return bytes(type(message).pb(message).SerializeToString())
