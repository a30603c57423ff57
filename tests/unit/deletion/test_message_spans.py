"""Spans of messages over a subscription in memory."""

import pytest

from deletion.bus import Message
from deletion.errors import BusUnavailable
from deletion.message_spans import MessageSpans, TracedSubscription
from deletion.sampling import Sampling
from deletion.traceparent import parsed
from deletion.tracing import Kind, Span, Tracer
from tests.support.clock import VirtualClock
from tests.support.memory_bus import MemoryBus, MemorySubscription
from tests.support.spans import Kept

pytestmark = pytest.mark.virtual_time


class World:
    """A topic and its subscription, both with spans."""

    def __init__(self, sampling: Sampling | None = None) -> None:
        self.kept = Kept()
        tracer = Tracer(self.kept, sampling)
        self.topic = MessageSpans(tracer, "projects/any/topics/deletions")
        self.bus = MemoryBus(VirtualClock())
        self.memory: MemorySubscription = self.bus.subscribe()
        spans = MessageSpans(tracer, "projects/any/subscriptions/deletions.chat")
        self.subscription = TracedSubscription(self.memory, spans)

    def message(self) -> Message:
        return Message(b"", {"traceparent": self.topic.created()})

    def published(self, count: int) -> list[Message]:
        messages = [self.message() for _ in range(count)]
        for message in messages:
            self.bus.put(message)
        return messages

    def links_of(self, name: str) -> set[str]:
        links = map(parsed, self.kept.one(name).links)
        return {link.span_id for link in links if link}

    @property
    def created(self) -> set[str]:
        return {span.span_id for span in self.kept.named("create deletions")}


@pytest.fixture
def world() -> World:
    return World()


def assert_attributes(span: Span, name: str, type_: str, **more: object) -> None:
    destination = span.name.split()[1]
    assert span.attributes == {
        "messaging.system": "gcp_pubsub",
        "messaging.operation.name": name,
        "messaging.operation.type": type_,
        "messaging.destination.name": destination,
    } | {f"messaging.{key.replace('_', '.', 2)}": value for key, value in more.items()}


async def test_a_message_names_the_span_that_created_it(world: World) -> None:
    message = world.message()
    span = world.kept.one("create deletions")
    assert message.attributes["traceparent"] == span.traceparent
    assert span.kind is Kind.PRODUCER
    assert_attributes(span, "create", "create")


async def test_what_is_sent_together_is_one_span_with_a_link_to_each(world: World) -> None:
    with world.topic.send([world.message(), world.message()]):
        pass
    span = world.kept.one("send deletions")
    assert world.links_of(span.name) == world.created
    assert span.kind is Kind.CLIENT
    assert span.attributes["messaging.batch.message_count"] == 2


async def test_a_pull_is_linked_to_what_it_brought(world: World) -> None:
    world.published(3)
    await world.subscription.pull(10)
    span = world.kept.one("receive deletions.chat")
    assert world.links_of(span.name) == world.created
    assert span.kind is Kind.CLIENT
    assert span.began < span.ended
    assert span.attributes["messaging.batch.message_count"] == 3
    assert span.attributes["messaging.destination.subscription.name"] == "deletions.chat"


async def test_a_pull_that_brings_nothing_has_no_span(world: World) -> None:
    assert await world.subscription.pull(10) == []
    assert world.kept.spans == []


async def test_a_pull_that_fails_has_one_with_the_error(world: World) -> None:
    world.memory.down = True
    with pytest.raises(BusUnavailable):
        await world.subscription.pull(10)
    assert world.kept.one("receive deletions.chat").error == "BusUnavailable"


@pytest.mark.parametrize("name", ["ack", "nack"])
async def test_an_ack_belongs_to_the_processing_of_its_messages(world: World, name: str) -> None:
    world.published(2)
    deliveries = await world.subscription.pull(10)
    spans = MessageSpans(Tracer(world.kept), "projects/any/subscriptions/deletions.chat")
    with spans.process(deliveries) as process:
        await getattr(world.subscription, name)(deliveries)
    settled = world.kept.one(f"{name} deletions.chat")
    assert (settled.kind, process.kind) == (Kind.CLIENT, Kind.CONSUMER)
    assert settled.parent_id == process.span_id
    assert settled.attributes["messaging.operation.type"] == "settle"
    assert settled.attributes["messaging.operation.name"] == name
    assert world.links_of(settled.name) == world.links_of(process.name) == world.created


async def test_to_ack_nothing_has_no_span(world: World) -> None:
    await world.subscription.ack([])
    await world.subscription.nack([])
    assert world.kept.spans == []


async def test_messages_of_traces_that_are_not_recorded_have_no_spans() -> None:
    world = World(Sampling(0.0))
    messages = world.published(2)
    assert [message.attributes["traceparent"][-2:] for message in messages] == ["02", "02"]
    await world.subscription.ack(await world.subscription.pull(10))
    assert world.kept.spans == []
