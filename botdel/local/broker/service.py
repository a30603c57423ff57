"""Every method of both services, as gRPC calls them."""

import asyncio
from typing import Any, Final

import grpc
import structlog

from botdel.local.broker import feed as feeds
from botdel.local.broker.broker import Broker
from botdel.local.broker.catalogue import Subscriptions, Topics
from botdel.local.broker.feed import Feed
from botdel.local.broker.refusals import (
    Refused,
    invalid,
    not_built,
    not_found,
    precondition,
    stopping,
)
from botdel.local.broker.seeking import Seeks
from botdel.local.broker.streams import Stream
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import (
    NOTHING,
    DetachSubscriptionResponse,
    ListSnapshotsResponse,
    ListTopicSnapshotsResponse,
    Proto,
    PublishResponse,
    SeekResponse,
    whole_microseconds,
)

Context = grpc.aio.ServicerContext[Any, Any]

LONGEST_PULL: Final = 30.0
"""Seconds that a pull without a deadline waits for a message."""
ANSWER_BEFORE: Final = 0.3
"""An empty pull is answered so many seconds before its deadline, or a quarter of its time if that
is less."""

log = structlog.get_logger(__name__)


class Service:
    """One method for each method of the protocol, named as in Python."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topics = Topics(broker)
        self._subscriptions = Subscriptions(broker)
        self._feeds: dict[int, Feed] = {}
        self._seeks = Seeks(broker)
        self._ending = False
        broker.on_ready = self._wake

    def _wake(self, subscription: Subscription) -> None:
        """Deliver what may be ready now."""
        if feed := self._feeds.get(subscription.id):
            feed.wake()

    def end(self) -> None:
        """End every pull and stream, present and future, so that clients connect again."""
        self._ending = True
        self._seeks.end()
        for feed in self._feeds.values():
            feed.end(stopping())

    def expire_subscriptions(self) -> None:
        """Delete subscriptions that nobody has used for as long as their policy allows."""
        now = self._broker.now()
        for feed in self._feeds.values():
            if not feed.is_idle:
                feed.subscription.last_used = now
        for subscription in list(self._broker.subscriptions.values()):
            if subscription.is_expired(now):
                log.info("subscription expired", subscription=subscription.name)
                self._delete(subscription.name)

    # --- Publisher

    async def create_topic(self, request: Proto, _: Context) -> Proto:
        return self._topics.create(request)

    async def update_topic(self, request: Proto, _: Context) -> Proto:
        return self._topics.update(request)

    async def publish(self, request: Proto, _: Context) -> Proto:
        return PublishResponse(message_ids=self._broker.publish(request))

    async def get_topic(self, request: Proto, _: Context) -> Proto:
        return self._topics.get(request.topic)

    async def list_topics(self, request: Proto, _: Context) -> Proto:
        return self._topics.list(request)

    async def list_topic_subscriptions(self, request: Proto, _: Context) -> Proto:
        return self._topics.list_subscriptions(request)

    async def list_topic_snapshots(self, request: Proto, _: Context) -> Proto:
        self._broker.topic(request.topic)
        return ListTopicSnapshotsResponse()

    async def delete_topic(self, request: Proto, _: Context) -> Proto:
        self._topics.delete(request.topic)
        return NOTHING

    async def detach_subscription(self, request: Proto, _: Context) -> Proto:
        gone = self._subscriptions.detach(request.subscription)
        self._end_feed(gone, precondition(f"The subscription {gone.name} is detached."))
        return DetachSubscriptionResponse()

    # --- Subscriber

    async def create_subscription(self, request: Proto, _: Context) -> Proto:
        return self._subscriptions.create(request)

    async def get_subscription(self, request: Proto, _: Context) -> Proto:
        return self._subscriptions.get(request.subscription)

    async def update_subscription(self, request: Proto, _: Context) -> Proto:
        return self._subscriptions.update(request)

    async def list_subscriptions(self, request: Proto, _: Context) -> Proto:
        return self._subscriptions.list(request)

    async def delete_subscription(self, request: Proto, _: Context) -> Proto:
        self._delete(request.subscription)
        return NOTHING

    async def modify_ack_deadline(self, request: Proto, _: Context) -> Proto:
        subscription = self._broker.use(request.subscription)
        _check_ack_ids(request)
        self._broker.modify(subscription, request.ack_ids, request.ack_deadline_seconds)
        return NOTHING

    async def acknowledge(self, request: Proto, _: Context) -> Proto:
        subscription = self._broker.use(request.subscription)
        _check_ack_ids(request)
        self._broker.acknowledge(subscription, request.ack_ids)
        return NOTHING

    async def pull(self, request: Proto, context: Context) -> bytes:
        subscription = self._broker.use(request.subscription)
        if request.max_messages <= 0:
            raise invalid("max_messages: expected more than 0.")
        seconds = 0.0 if request.return_immediately else _wait_seconds(context.time_remaining())
        entries = await feeds.pull(self._feed(subscription), request.max_messages, seconds)
        return b"".join(map(subscription.delivery, entries))

    async def streaming_pull(self, _: object, context: Context) -> None:
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        subscription = self._broker.use(first.subscription)
        feed = self._feed(subscription)
        stream = Stream(self._broker, feed, first)
        stream.apply(first)
        feed.add(stream)
        reading = asyncio.create_task(_read(stream, context))
        try:
            while (answer := await stream.answer()) is not None:
                await context.write(answer)
                stream.sent()
        finally:
            reading.cancel()
            stream.close()

    async def seek(self, request: Proto, _: Context) -> Proto:
        subscription = self._broker.use(request.subscription)
        if request.WhichOneof("target") == "snapshot":
            raise not_built("seeking to a snapshot")
        if not request.HasField("time"):
            raise invalid("A seek needs a time or a snapshot.")
        await self._seeks.seek(subscription, _seconds(request.time))
        return SeekResponse()

    async def modify_push_config(self, request: Proto, _: Context) -> Proto:
        self._broker.subscription(request.subscription)
        if request.push_config.push_endpoint:
            raise not_built("push delivery")
        return NOTHING

    async def list_snapshots(self, _: Proto, __: Context) -> Proto:
        return ListSnapshotsResponse()

    async def get_snapshot(self, request: Proto, _: Context) -> Proto:
        raise not_found(request.snapshot)

    async def create_snapshot(self, _: Proto, __: Context) -> Proto:
        raise not_built("a snapshot")

    async def update_snapshot(self, request: Proto, _: Context) -> Proto:
        raise not_found(request.snapshot.name)

    async def delete_snapshot(self, request: Proto, _: Context) -> Proto:
        raise not_found(request.snapshot)

    def _feed(self, subscription: Subscription) -> Feed:
        if self._ending:
            raise stopping()
        if subscription.id not in self._feeds:
            self._feeds[subscription.id] = Feed(subscription, self._broker.now)
        return self._feeds[subscription.id]

    def _delete(self, name: str) -> None:
        gone = self._subscriptions.delete(name)
        self._end_feed(gone, not_found(gone.name))

    def _end_feed(self, subscription: Subscription, error: Refused) -> None:
        if feed := self._feeds.pop(subscription.id, None):
            feed.end(error)


async def _read(stream: Stream, context: Context) -> None:
    """Carry out the client's requests until it ends the stream or sends an invalid one."""
    error = None
    try:
        while (request := await context.read()) is not grpc.aio.EOF:
            stream.request(request)
    except Refused as refused:
        error = refused
    finally:
        stream.end(error)


def _check_ack_ids(request: Proto) -> None:
    if not request.ack_ids:
        raise invalid("The request has no ack_ids: it needs at least one.")


def _seconds(time: Proto) -> float:
    """Return the seconds since 1970 of a Timestamp. Raises `Refused` for an invalid one."""
    try:
        return whole_microseconds(time.ToNanoseconds() / 1e9)
    except ValueError as error:
        raise invalid(f"Invalid time: {error}") from None


def _wait_seconds(remaining: float | None) -> float:
    """Return how long a pull waits, so that an empty answer comes before the client's deadline."""
    if remaining is None:
        return LONGEST_PULL
    return min(LONGEST_PULL, remaining - min(ANSWER_BEFORE, remaining / 4))
