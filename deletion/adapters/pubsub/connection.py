"""The connection to Pub/Sub: channels made in one place, errors classified in one place."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import grpc
from google.api_core import exceptions as gcp
from google.api_core.retry import AsyncRetry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from deletion.errors import BusUnavailable, ConfigurationError, TopologyMissing

CALL_SECONDS = 2.0
"""How long one attempt of a call may take."""
BOUNDED_RETRY = AsyncRetry(
    predicate=if_exception_type(gcp.ServiceUnavailable, gcp.DeadlineExceeded),
    initial=0.1,
    maximum=1.0,
    timeout=5.0,
)
"""Ends within 5 s plus one call; the library's own default goes on for 600 s."""

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of one answer. A larger one is refused by its length, before it takes memory.
Any three messages fit: Pub/Sub accepts up to 10 MB of data in each. Pub/Sub itself sets no such
bound."""

_CHANNEL_OPTIONS: Final = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),  # gRPC's own 4 MB is less than a message
]


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How a connection whose packets are swallowed is detected and replaced.

    `every` seconds after the last byte from the server, gRPC pings it if a call is under way. If
    there is no answer `within` seconds, it connects again. For a ping that is already under way
    only `ping_timeout_ms` counts, which is 60 s by default. `keepalive_timeout_ms` is also the
    TCP_USER_TIMEOUT of the socket, which ends it when sent bytes stay unacknowledged for that long.
    https://github.com/grpc/grpc/blob/master/doc/keepalive.md, docs/decisions/0024
    """

    every: float
    within: float

    @property
    def options(self) -> list[tuple[str, int]]:
        """The channel options, in milliseconds. No pings without calls: servers object to them."""
        within = int(self.within * 1000)
        return [
            ("grpc.keepalive_time_ms", int(self.every * 1000)),
            ("grpc.keepalive_timeout_ms", within),
            ("grpc.http2.ping_timeout_ms", within),
            ("grpc.keepalive_permit_without_calls", 0),
        ]


PULLING: Final = Keepalive(every=30, within=10)
"""30 s, as in Google's own library. On an idle subscription there may be no other traffic for
long, and a server treats too many pings without traffic as abuse (GOAWAY, ENHANCE_YOUR_CALM)."""
PUBLISHING: Final = Keepalive(every=5, within=5)
"""Shorter, because a client waits. A publish is always answered soon, so the pings are allowed."""

_MAY_PASS: Final = (
    gcp.Aborted,
    gcp.Cancelled,
    gcp.RetryError,
    gcp.ServerError,
    gcp.TooManyRequests,
    gcp.Unauthorized,  # a token is being renewed; if it never comes, the process is never ready
)


class PubSub:
    """The clients of one process. Create it inside the running event loop, and `close` it there.

    `emulator` is the host and port of one; without it calls go to Google's Pub/Sub.
    """

    def __init__(
        self,
        emulator: str | None = None,
        *,
        pulling: Keepalive = PULLING,
        publishing: Keepalive = PUBLISHING,
    ) -> None:
        self._emulator = emulator
        self._pulling = pulling
        self._publishing = publishing
        self._channels: list[grpc.aio.Channel] = []

    @property
    def is_emulated(self) -> bool:
        """Whether calls go to an emulator, which forgets its topology when it restarts."""
        return self._emulator is not None

    def publisher(self) -> PublisherAsyncClient:
        """A client with its own channel. Raises `ConfigurationError` without credentials."""
        channel = self._channel(PublisherGrpcAsyncIOTransport, self._publishing)
        return PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))

    def subscriber(self) -> SubscriberAsyncClient:
        """A client with its own channel. Raises `ConfigurationError` without credentials."""
        channel = self._channel(SubscriberGrpcAsyncIOTransport, self._pulling)
        return SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))

    async def close(self) -> None:
        """Close every channel; calls in flight get a moment to end."""
        await asyncio.gather(*(channel.close(grace=1.0) for channel in self._channels))
        self._channels.clear()

    def _channel(
        self,
        transport: type[PublisherGrpcAsyncIOTransport | SubscriberGrpcAsyncIOTransport],
        keepalive: Keepalive,
    ) -> grpc.aio.Channel:
        options = [*_CHANNEL_OPTIONS, *keepalive.options]
        if self._emulator:
            channel = grpc.aio.insecure_channel(self._emulator, options=options)
        else:
            try:
                channel = transport.create_channel(options=options)
            except GoogleAuthError as error:
                raise ConfigurationError(
                    f"no credentials for Pub/Sub: {str(error).rstrip('.')}",
                    "set GOOGLE_APPLICATION_CREDENTIALS, or PUBSUB_EMULATOR_HOST for an emulator",
                ) from error
        self._channels.append(channel)
        return channel


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the library's errors about `what` into those of this project."""
    try:
        yield
    except gcp.NotFound as error:
        raise TopologyMissing(f"{what} does not exist", "run `botdel topology apply`") from error
    except gcp.Forbidden as error:
        raise TopologyMissing(f"{what} may not be used by this identity", "grant it") from error
    except _MAY_PASS as error:
        raise BusUnavailable(
            f"Pub/Sub does not answer for {what} ({type(error).__name__})"
        ) from error
