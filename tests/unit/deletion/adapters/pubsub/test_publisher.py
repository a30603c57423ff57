"""What arrives together goes out together, bounded in number and in time."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.pubsub_v1.types import PublishRequest

from deletion.adapters.pubsub import publisher as module
from deletion.adapters.pubsub.publisher import SLOW_SECONDS, GroupingPublisher
from deletion.bus import Message
from deletion.errors import BusOverloaded, BusUnavailable, TopologyMissing
from tests.support.clock import VirtualClock, settle

pytestmark = pytest.mark.virtual_time

TOPIC = "projects/p/topics/t-1"
NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Stub:
    """The call of the transport: keeps requests, answers when `open`, fails as told."""

    def __init__(self) -> None:
        self.requests: list[list[bytes]] = []
        self.metadata: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.faults: list[grpc.StatusCode] = []

    async def __call__(self, request: PublishRequest, **call: Any) -> None:
        assert request.topic == TOPIC
        assert call["timeout"] > 0
        self.requests.append([message.data for message in request.messages])
        assert all(message.attributes["number"] for message in request.messages)
        self.metadata.append(call["metadata"])
        await self.open.wait()
        if self.faults:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self.faults.pop(0), nothing, nothing)


def publisher(stub: Stub, **settings: Any) -> GroupingPublisher:
    client: Any = SimpleNamespace(transport=SimpleNamespace(publish=stub))
    return GroupingPublisher(client, TOPIC, **{"monotonic": VirtualClock().monotonic} | settings)


def message(number: int) -> Message:
    return Message(str(number).encode(), {"number": str(number)})


async def test_a_message_is_confirmed_and_routed_by_its_topic() -> None:
    stub = Stub()
    await publisher(stub).publish(message(1))
    assert stub.requests == [[b"1"]]
    assert stub.metadata == [(("x-goog-request-params", "topic=projects/p/topics/t-1"),)]


async def test_what_arrives_together_goes_out_together() -> None:
    stub = Stub()
    bus = publisher(stub)
    await asyncio.gather(*(bus.publish(message(n)) for n in range(100)))
    assert stub.requests == [[str(n).encode() for n in range(100)]]
    assert bus.pending == 0


async def test_while_requests_are_under_way_the_rest_gathers() -> None:
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub, max_requests=2)
    publishing = []
    for number in range(10):
        publishing.append(asyncio.create_task(bus.publish(message(number))))
        await settle()
    assert stub.requests == [[b"0"], [b"1"]]
    stub.open.set()
    await asyncio.gather(*publishing)
    assert sorted(map(len, stub.requests)) == [1, 1, 8]


@pytest.mark.proves("slow-publishes")
async def test_slow_requests_do_not_stall_what_comes_behind_them_up_to_a_bound() -> None:
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub, max_requests=4)
    publishing = []
    for number in range(6):
        publishing.append(asyncio.create_task(bus.publish(message(number))))
        await asyncio.sleep(SLOW_SECONDS * 3)
    assert stub.requests == [[b"0"], [b"1"], [b"2"], [b"3"]]
    stub.open.set()
    await asyncio.gather(*publishing)
    assert sorted(stub.requests[4:]) in ([[b"4"], [b"5"]], [[b"4", b"5"]])


async def test_however_much_waits_no_more_requests_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GROUP_LIMIT", 1)
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub, max_requests=4)
    publishing = [asyncio.create_task(bus.publish(message(n))) for n in range(20)]
    await asyncio.sleep(SLOW_SECONDS * 10)
    assert len(stub.requests) == 4
    stub.open.set()
    await asyncio.gather(*publishing)


@pytest.mark.proves("slow-publishes")
async def test_while_requests_begin_quickly_there_are_no_more_of_them() -> None:
    stub, now = Stub(), 0.0
    stub.open.clear()
    bus = publisher(stub, max_requests=4, monotonic=lambda: now)
    publishing = []
    for number in range(6):
        publishing.append(asyncio.create_task(bus.publish(message(number))))
        await asyncio.sleep(SLOW_SECONDS * 2)
    assert stub.requests == [[b"0"], [b"1"]], "the last one began just now"
    stub.open.set()
    await asyncio.gather(*publishing)


async def test_what_comes_as_a_sender_ends_is_sent_at_once() -> None:
    bus = publisher(Stub(), max_requests=1)
    for number in range(100):
        await bus.publish(message(number))
    assert VirtualClock().monotonic() == 0


async def test_too_much_is_refused_at_once_and_not_sent() -> None:
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub, max_pending=3)
    publishing = [asyncio.create_task(bus.publish(message(n))) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(BusOverloaded):
        await bus.publish(message(3))
    stub.open.set()
    await asyncio.gather(*publishing)
    await bus.publish(message(4))
    assert all(b"3" not in request for request in stub.requests)


@pytest.mark.proves("bounded-answer")
async def test_what_is_not_confirmed_in_time_is_unavailable() -> None:
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub, confirm_seconds=8)
    with pytest.raises(BusUnavailable, match="8 s"):
        await bus.publish(message(1))
    assert VirtualClock().monotonic() == 8
    assert bus.pending == 0


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub, max_requests=1)
    publishing = [asyncio.create_task(bus.publish(message(0)))]
    await settle()
    publishing += [asyncio.create_task(bus.publish(message(n))) for n in (1, 2)]
    await asyncio.wait(publishing)
    stub.open.set()
    await bus.publish(message(9))
    assert stub.requests == [[b"0"], [b"9"]]


async def test_a_missing_topic_is_put_back_where_it_may_be_lost() -> None:
    stub = Stub()
    stub.faults = [NOT_FOUND]
    recreated = []

    async def recreate() -> None:
        recreated.append(TOPIC)

    await publisher(stub, recreate=recreate).publish(message(1))
    assert recreated == [TOPIC]
    assert stub.requests == [[b"1"], [b"1"]]


async def test_a_missing_topic_is_named_everywhere_else() -> None:
    stub = Stub()
    stub.faults = [NOT_FOUND]
    with pytest.raises(TopologyMissing, match=TOPIC):
        await publisher(stub).publish(message(1))


@pytest.mark.parametrize("refusal", [NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED])
@pytest.mark.parametrize("lost", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE])
async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_published(
    refusal: grpc.StatusCode, lost: grpc.StatusCode
) -> None:
    stub = Stub()
    stub.faults = [lost, refusal]
    with pytest.raises(BusUnavailable, match=TOPIC):
        await publisher(stub).publish(message(1))
    assert stub.requests == [[b"1"]] * 2, "Pub/Sub may have taken the first one"


async def test_a_topic_lost_in_a_restart_is_put_back_after_a_lost_answer_too() -> None:
    stub = Stub()
    stub.faults = [grpc.StatusCode.UNAVAILABLE, NOT_FOUND]
    recreated = []

    async def recreate() -> None:
        recreated.append(TOPIC)

    await publisher(stub, recreate=recreate).publish(message(1))
    assert recreated == [TOPIC]
    assert stub.requests == [[b"1"]] * 3


async def test_an_error_that_may_pass_is_retried() -> None:
    stub = Stub()
    stub.faults = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED]
    await publisher(stub).publish(message(1))
    assert stub.requests == [[b"1"]] * 3


async def test_a_refusal_reaches_everyone_in_the_group_and_nobody_after() -> None:
    stub = Stub()
    stub.faults = [INVALID]
    bus = publisher(stub)
    outcomes = await asyncio.gather(
        *(bus.publish(message(n)) for n in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 3
    await bus.publish(message(9))


async def test_flush_waits_for_what_is_under_way() -> None:
    stub = Stub()
    stub.open.clear()
    bus = publisher(stub)
    publishing = asyncio.create_task(bus.publish(message(1)))
    await asyncio.sleep(0)
    flushing = asyncio.create_task(bus.flush())
    await settle()
    assert not flushing.done()
    stub.open.set()
    await asyncio.gather(publishing, flushing)


async def test_a_request_has_a_bound_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_LIMIT", 10)
    stub = Stub()
    bus = publisher(stub)
    await asyncio.gather(*(bus.publish(message(n)) for n in range(25)))
    assert max(map(len, stub.requests)) == 10
    assert sum(map(len, stub.requests)) == 25
