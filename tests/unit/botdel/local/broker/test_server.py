"""What the server decides before a request is parsed, where it listens, and its clock."""

import socket
import time
from typing import Any

import pytest
from google.pubsub_v1 import types

from botdel.local.broker.journal import Journal
from botdel.local.broker.limits import check_size
from botdel.local.broker.refusals import Refused
from botdel.local.broker.server import Server, steady_clock
from botdel.local.broker.wire import messages_in


@pytest.mark.parametrize("method", ["Acknowledge", "ModifyAckDeadline"])
def test_more_ack_ids_than_512_kib_are_refused(method: str) -> None:
    """https://cloud.google.com/pubsub/quotas#resource_limits"""
    check_size(method, b"x" * 524_288)
    with pytest.raises(Refused, match="exceeds the limit: 524288 bytes"):
        check_size(method, b"x" * 524_289)


def publish(*messages: dict[str, Any], topic: str = "") -> bytes:
    request = types.PublishRequest({"topic": topic, "messages": messages})
    return bytes(types.PublishRequest.serialize(request))


@pytest.mark.parametrize("number", [0, 1, 3, 1000])
def test_messages_are_counted_without_parsing_them(number: int) -> None:
    request = publish(*[{"data": b"x" * 130}] * number, topic="a-topic")
    assert messages_in(request, 10_000) == number
    assert messages_in(request, 2) == min(number, 2)


@pytest.mark.parametrize("request_", [b"\x12", b"\x12\xff", b"\x12\x7f", b"\xff" * 100, b""])
def test_a_request_that_breaks_off_is_counted_to_its_end(request_: bytes) -> None:
    assert messages_in(request_, 10) <= 1


def test_a_publish_of_too_many_messages_is_refused_before_it_is_parsed() -> None:
    check_size("Publish", publish(*[{"data": b"x" * 1_000}] * 1_000))
    with pytest.raises(Refused, match="message_count"):
        check_size("Publish", b"\x12\x00" * 4_000_000)
    with pytest.raises(Refused, match="exceeds the limit: 10000000 bytes"):
        check_size("Publish", b"\x12\x00" * 8_000_000)


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
