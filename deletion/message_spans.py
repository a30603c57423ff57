"""Spans of messages, by OpenTelemetry's conventions for Pub/Sub (semconv 1.44).

A message's `traceparent` names the span that created it. A span of a group is linked to those of
all its messages, and recorded if one of them is.

https://opentelemetry.io/docs/specs/semconv/messaging/gcp-pubsub/
"""

import time
from collections.abc import Sequence
from typing import Final

from deletion.bus import Delivery, Message, Subscription
from deletion.tracing import PRODUCER, Attribute, Kind, Span, Tracer

TRACEPARENT: Final = "traceparent"
"""The attribute of a message."""
COUNT: Final = "messaging.batch.message_count"
TYPES: Final = {
    "create": "create",
    "send": "send",
    "receive": "receive",
    "process": "process",
    "ack": "settle",
    "nack": "settle",
}
"""The type of each operation, by its name."""


class MessageSpans:
    """The spans of one topic or subscription; `path` is its full name."""

    def __init__(self, tracer: Tracer, path: str) -> None:
        self._tracer = tracer
        self._name = path.rpartition("/")[2]
        self._is_subscription = "/subscriptions/" in path
        self._known = {name: self._attributes(name, type_) for name, type_ in TYPES.items()}
        self._create = f"create {self._name}"

    def created(self) -> str:
        """Record the span that creates a message, and return its `traceparent`."""
        span = self._tracer.span(self._create, PRODUCER, self._known["create"])
        span.end()
        return span.traceparent

    def send(self, messages: Sequence[Message]) -> Span:
        """The span of one request that publishes `messages`."""
        return self._root("send", Kind.CLIENT, messages)

    def receive(self, messages: Sequence[Message]) -> Span:
        """The span of one pull."""
        return self._root("receive", Kind.CLIENT, messages)

    def process(self, deliveries: Sequence[Delivery]) -> Span:
        """The span of handling messages until they are acked."""
        return self._root("process", Kind.CONSUMER, [each.message for each in deliveries])

    def settle(self, name: str, deliveries: Sequence[Delivery]) -> Span:
        """The span of one request to `ack` or to `nack`, as `name` says."""
        attributes = self._known[name] | {COUNT: len(deliveries)}
        links = _links([each.message for each in deliveries])
        return self._tracer.span(f"{name} {self._name}", Kind.CLIENT, attributes, links=links)

    def _root(self, name: str, kind: Kind, messages: Sequence[Message]) -> Span:
        attributes = self._known[name] | {COUNT: len(messages)}
        return self._tracer.root(f"{name} {self._name}", kind, attributes, links=_links(messages))

    def _attributes(self, name: str, type_: str) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            "messaging.system": "gcp_pubsub",
            "messaging.operation.name": name,
            "messaging.operation.type": type_,
            "messaging.destination.name": self._name,
        }
        if self._is_subscription:
            attributes["messaging.destination.subscription.name"] = self._name
        return attributes


class TracedSubscription:
    """`deletion.bus.Subscription` that records pulls, acks and nacks. An empty pull has no span."""

    def __init__(self, subscription: Subscription, spans: MessageSpans) -> None:
        self._subscription = subscription
        self._spans = spans

    async def pull(self, limit: int) -> list[Delivery]:
        """See the port."""
        began = time.time_ns()
        try:
            deliveries = await self._subscription.pull(limit)
        except Exception as error:
            self._received(began, [], type(error).__name__)
            raise
        if deliveries:
            self._received(began, deliveries)
        return deliveries

    def _received(self, began: int, deliveries: list[Delivery], error: str = "") -> None:
        span = self._spans.receive([delivery.message for delivery in deliveries])
        span.began = began  # which messages it is linked to is known only now
        if error:
            span.failed(error)
        span.end()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port."""
        if deliveries:
            with self._spans.settle("ack", deliveries):
                await self._subscription.ack(deliveries)

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port."""
        if deliveries:
            with self._spans.settle("nack", deliveries):
                await self._subscription.nack(deliveries)


def _links(messages: Sequence[Message]) -> list[str | None]:
    return [message.attributes.get(TRACEPARENT) for message in messages]
