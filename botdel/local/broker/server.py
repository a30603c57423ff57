"""The gRPC server: both services over one broker, on one event loop and without a lock."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import grpc
import structlog

from botdel.local.broker import feed as feeds
from botdel.local.broker.broker import Broker
from botdel.local.broker.catalogue import Subscriptions, Topics
from botdel.local.broker.feed import Feed
from botdel.local.broker.journal import Journal
from botdel.local.broker.refusals import (
    Refused,
    invalid,
    not_built,
    not_found,
    precondition,
    stopping,
)
from botdel.local.broker.streams import Stream
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import (
    METHODS,
    NOTHING,
    DetachSubscriptionResponse,
    ListSnapshotsResponse,
    ListTopicSnapshotsResponse,
    Proto,
    PublishResponse,
    SeekResponse,
    python_name,
    received,
    written,
)

Context = grpc.aio.ServicerContext[Any, Any]

MAX_REQUEST: Final = 16 * 1024 * 1024
"""Bytes; Pub/Sub takes 10 MB in a publish."""
OPTIONS: Final = [
    ("grpc.so_reuseport", 0),  # or two brokers could share a port, each with half of the calls
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),  # a client that vanished is noticed within 20 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # as above; of a ping under way this one counts
    ("grpc.http2.max_pings_without_data", 0),  # no bound: an idle stream is pinged as well
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),  # clients may ping as often as they like
]
MAX_CALLS: Final = 5_000
"""Under way at once, streams and waiting pulls among them; more are refused."""
TICK: Final = 0.05
"""Seconds between two looks at deadlines and back-off."""
RETENTION_EVERY: Final = 5.0
COLLECT_EVERY: Final = 30.0
"""Seconds between two passes over what is on disk; each goes in steps, one a tick."""
LONGEST_PULL: Final = 30.0
"""Seconds that a pull without a deadline waits for a message."""
ANSWER_BEFORE: Final = 0.3
"""Seconds before its deadline that a pull without messages is answered, or else a quarter of it."""

log = structlog.get_logger(__name__)


class Service:
    """One method for each of the protocol, named as in Python."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topics = Topics(broker)
        self._subscriptions = Subscriptions(broker)
        self._feeds: dict[int, Feed] = {}
        self._ending = False
        broker.on_ready = self._wake

    def _wake(self, subscription: Subscription) -> None:
        """There may be something to deliver."""
        if feed := self._feeds.get(subscription.id):
            feed.wake()

    def end(self) -> None:
        """End every pull and every stream, now and from now on, so that clients connect anew."""
        self._ending = True
        for feed in self._feeds.values():
            feed.end(stopping())

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
        gone = self._subscriptions.delete(request.subscription)
        self._end_feed(gone, not_found(gone.name))
        return NOTHING

    async def modify_ack_deadline(self, request: Proto, _: Context) -> Proto:
        subscription = self._broker.subscription(request.subscription, attached=True)
        _check_ack_ids(request)
        self._broker.modify(subscription, request.ack_ids, request.ack_deadline_seconds)
        return NOTHING

    async def acknowledge(self, request: Proto, _: Context) -> Proto:
        subscription = self._broker.subscription(request.subscription, attached=True)
        _check_ack_ids(request)
        self._broker.acknowledge(subscription, request.ack_ids)
        return NOTHING

    async def pull(self, request: Proto, context: Context) -> bytes:
        subscription = self._broker.subscription(request.subscription, attached=True)
        if request.max_messages <= 0:
            raise invalid("max_messages: expected more than 0.")
        seconds = 0.0 if request.return_immediately else _wait_seconds(context.time_remaining())
        entries = await feeds.pull(self._feed(subscription), request.max_messages, seconds)
        counts = subscription.max_attempts > 0
        return b"".join(
            received(subscription.ack_id(e), e.message.body, e.attempts + 1 if counts else 0)
            for e in entries
        )

    async def streaming_pull(self, _: object, context: Context) -> None:
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        subscription = self._broker.subscription(first.subscription, attached=True)
        feed = self._feed(subscription)
        stream = Stream(self._broker, feed, first)
        stream.settle(first)
        feed.add(stream)
        reading = asyncio.create_task(_read(stream, context))
        try:
            while (answer := await stream.answer()) is not None:
                await context.write(answer)
                stream.written()
        finally:
            reading.cancel()
            stream.close()

    async def seek(self, request: Proto, _: Context) -> Proto:
        subscription = self._broker.subscription(request.subscription, attached=True)
        if request.WhichOneof("target") == "snapshot":
            raise not_built("seeking to a snapshot")
        if not request.HasField("time"):
            raise invalid("A seek needs a time or a snapshot.")
        self._broker.seek(subscription, request.time.seconds + request.time.nanos / 1e9)
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

    def _end_feed(self, subscription: Subscription, error: Refused) -> None:
        if feed := self._feeds.pop(subscription.id, None):
            feed.end(error)


class Server:
    """The server of one journal. `await start()`, and `await stop()` in the end."""

    def __init__(self, journal: Journal, now: Callable[[], float] | None = None) -> None:
        self._journal = journal
        self._broker = Broker(journal, now or steady_clock())
        self._service = Service(self._broker)
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service,
                    {name: _handler(self._service, name) for name in methods},
                )
                for service, methods in METHODS.items()
            ]
        )
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, address: str) -> int:
        """Read back what was kept, and listen on `host:port`; returns the port.

        Raises OSError when the address cannot be listened on.
        """
        self._broker.load()
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await self._server.start()
        self._ticking = asyncio.create_task(self._tick())
        return port

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set. Raises what ended the look at deadlines, without which the
        server must not go on.
        """
        if self._ticking is None:
            raise RuntimeError("the server has not been started")
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait({asked, self._ticking}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if self._ticking.done():
            self._ticking.result()

    async def stop(self, grace: float) -> None:
        """End streams and pulls at once, and other calls after `grace` seconds."""
        self._service.end()
        if self._ticking is not None:
            self._ticking.cancel()
        await self._server.stop(grace)
        self._journal.close()

    async def _tick(self) -> None:
        """What happens by itself, for as long as the server runs."""
        checked = collected = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            try:
                self._broker.expire_leases()
                if now - checked >= RETENTION_EVERY:
                    checked = now
                    self._broker.expire_messages()
                if now - collected >= COLLECT_EVERY and not self._broker.collect():
                    collected = now
            except Refused as error:  # the disk: what is due is done at the next tick
                log.warning("not kept", reason=str(error))


def steady_clock() -> Callable[[], float]:
    """Seconds since 1970 by the time of the start, unaffected by changes of the system's clock."""
    began = time.time() - time.monotonic()
    return lambda: began + time.monotonic()


def _handler(service: Service, name: str) -> Any:
    for methods in METHODS.values():
        if name in methods:
            method = methods[name]
    call = getattr(service, python_name(name))
    make = (
        grpc.stream_stream_rpc_method_handler
        if method.streams
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        partial(_answered, call),
        request_deserializer=method.read,
        response_serializer=written,
    )


async def _answered(call: Callable[..., Awaitable[Any]], request: Any, context: Context) -> Any:
    """Call it, and give the client its errors by their codes."""
    try:
        return await call(request, context)
    except Refused as error:
        await context.abort(error.code, str(error))


async def _read(stream: Stream, context: Context) -> None:
    """Carry out what the client sends, until it sends no more or sends what is wrong."""
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


def _wait_seconds(remaining: float | None) -> float:
    """So that an empty answer comes before the client gives up."""
    if remaining is None:
        return LONGEST_PULL
    return min(LONGEST_PULL, remaining - min(ANSWER_BEFORE, remaining / 4))
