"""What the server refuses before and after it parses a request, where it listens, and its clock."""

import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from botdel.local.broker.journal import Journal
from botdel.local.broker.limits import check_size
from botdel.local.broker.refusals import Refused
from botdel.local.broker.server import Server, steady_clock
from botdel.local.broker.wire import METHODS, fields_in
from tests.unit.botdel.local.broker.world import CHAT, TOPIC


@pytest.mark.parametrize(
    "method", [name for methods in METHODS.values() for name in methods if name != "Publish"]
)
def test_a_request_of_more_than_512_kib_is_refused(method: str) -> None:
    """https://cloud.google.com/pubsub/quotas#resource_limits"""
    check_size(method, b"\x12\x00" * 262_144)
    with pytest.raises(Refused, match="exceeds the limit: 524288 bytes"):
        check_size(method, b"x" * 524_289)


def publish(*messages: dict[str, Any], topic: str = "") -> bytes:
    request = types.PublishRequest({"topic": topic, "messages": messages})
    return bytes(types.PublishRequest.serialize(request))


@pytest.mark.parametrize("number", [0, 1, 3, 1000])
def test_fields_are_counted_without_parsing_them(number: int) -> None:
    request = publish(*[{"data": b"x" * 130}] * number, topic="a-topic")
    assert fields_in(request, 10_000) == number + 1
    assert fields_in(request, 2) == min(number + 1, 2)


@pytest.mark.parametrize(
    "unknown",
    [
        b"\x1a\x00",
        b"\x1a\x03\x12\x00\x12",
        b"\x18\x96\x01",
        b"\x19" + b"\x12" * 8,
        b"\x1d" + b"\x12" * 4,
        b"\x82\x80\x01\x01\x12",
        b"\x1b",
    ],
    ids=["bytes", "more bytes", "varint", "8 bytes", "4 bytes", "a high number", "group"],
)
def test_what_follows_an_unknown_field_is_counted(unknown: bytes) -> None:
    assert fields_in(unknown + b"\x12\x00" * 5, 100) == 6


@pytest.mark.parametrize(
    "request_", [b"\x12", b"\x12\xff", b"\x12\x7f", b"\xff" * 100, b"\x12" + b"\xff" * 100, b""]
)
def test_a_request_that_breaks_off_is_counted_to_its_end(request_: bytes) -> None:
    assert fields_in(request_, 10) <= 1


def test_a_number_without_an_end_is_not_read_to_the_end_of_the_request() -> None:
    """Its bits would be shifted ever further, for minutes."""
    began = time.process_time()
    fields_in(b"\x12" + b"\xff" * 1_000_000, 10)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("first", [b"", b"\x1a\x00"], ids=["", "after an unknown field"])
def test_a_publish_of_too_many_messages_is_refused_before_it_is_parsed(first: bytes) -> None:
    check_size("Publish", publish(*[{"data": b"x" * 1_000}] * 1_000))
    with pytest.raises(Refused, match="message_count"):
        check_size("Publish", first + b"\x12\x00" * 4_000_000)
    with pytest.raises(Refused, match="exceeds the limit: 10000000 bytes"):
        check_size("Publish", first + b"\x12\x00" * 8_000_000)


# --- what it answers


@pytest.fixture
async def channel() -> AsyncIterator[Any]:
    server = Server(Journal())
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await subscribed(channel)
        yield channel
    await server.stop(0)


async def subscribed(channel: Any) -> None:
    topic = types.Topic(name=TOPIC)
    await called(channel, "Publisher/CreateTopic", types.Topic.serialize(topic))
    subscription = types.Subscription(name=CHAT, topic=TOPIC)
    await called(
        channel, "Subscriber/CreateSubscription", types.Subscription.serialize(subscription)
    )


async def called(channel: Any, method: str, request: bytes) -> None:
    await channel.unary_unary(f"/google.pubsub.v1.{method}")(request, timeout=30)


@pytest.mark.parametrize("number", [1, 2], ids=["first", "later"])
async def test_a_request_of_a_stream_that_is_too_large_is_refused(
    channel: Any, number: int
) -> None:
    first = types.StreamingPullRequest(subscription=CHAT, stream_ack_deadline_seconds=10)
    stream = channel.stream_stream("/google.pubsub.v1.Subscriber/StreamingPull")(timeout=30)
    if number > 1:
        await stream.write(types.StreamingPullRequest.serialize(first))
    await stream.write(b"\x12\x071:0:0:0" * 75_000)
    with pytest.raises(grpc.aio.AioRpcError, match="exceeds the limit: 524288 bytes") as refused:
        await stream.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_request_of_a_stream_that_cannot_be_parsed_is_refused(
    channel: Any,
) -> None:
    stream = channel.stream_stream("/google.pubsub.v1.Subscriber/StreamingPull")(timeout=30)
    await stream.write(b"\x12")
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be parsed") as refused:
        await stream.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_seek_to_an_invalid_time_is_refused(channel: Any) -> None:
    request = types.SeekRequest.pb(types.SeekRequest(subscription=CHAT))
    request.time.seconds = 2**62
    with pytest.raises(grpc.aio.AioRpcError, match="Invalid time") as refused:
        await called(channel, "Subscriber/Seek", request.SerializeToString())
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_port_that_was_taken_since_it_was_found_free_is_an_error() -> None:
    server = Server(Journal())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"^cannot listen on {address}: "):
            await server.start(address)
    await server.stop(0)


# --- the clock


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """`time.monotonic` stands still on Linux and macOS."""
    asleep = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    slept = 0.0

    def read(clock: int) -> float:
        return 1_000.0 + (slept if clock == asleep else 0.0)

    monkeypatch.setattr(time, "clock_gettime", read)
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    now = steady_clock()
    before = now()
    assert before == pytest.approx(time.time(), abs=60)
    slept = 3_600.0
    assert now() - before == 3_600
