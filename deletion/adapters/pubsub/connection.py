"""The connection to Pub/Sub: channels made in one place, errors told apart in one place."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

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

_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", -1),  # else a message over 4 MB silently never arrives
]

_MAY_PASS = (
    gcp.Aborted,
    gcp.Cancelled,
    gcp.RetryError,
    gcp.ServerError,
    gcp.TooManyRequests,
    gcp.Unauthorized,  # a token is being renewed; one that never comes keeps readiness away
)


class PubSub:
    """The clients of one process. Make it inside the running event loop; `close` it there.

    `emulator` is the host and port of one; without it calls go to Google's Pub/Sub.
    """

    def __init__(self, emulator: str | None = None) -> None:
        self._emulator = emulator
        self._channels: list[grpc.aio.Channel] = []

    @property
    def is_emulated(self) -> bool:
        """Whether calls go to an emulator, which forgets its topology when it restarts."""
        return self._emulator is not None

    def publisher(self) -> PublisherAsyncClient:
        """A client of its own channel. Raises `ConfigurationError` without credentials."""
        channel = self._channel(PublisherGrpcAsyncIOTransport)
        return PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))

    def subscriber(self) -> SubscriberAsyncClient:
        """A client of its own channel. Raises `ConfigurationError` without credentials."""
        channel = self._channel(SubscriberGrpcAsyncIOTransport)
        return SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))

    async def close(self) -> None:
        """Close every channel; calls in flight get a moment to end."""
        await asyncio.gather(*(channel.close(grace=1.0) for channel in self._channels))
        self._channels.clear()

    def _channel(
        self, transport: type[PublisherGrpcAsyncIOTransport | SubscriberGrpcAsyncIOTransport]
    ) -> grpc.aio.Channel:
        if self._emulator:
            channel = grpc.aio.insecure_channel(self._emulator, options=_CHANNEL_OPTIONS)
        else:
            try:
                channel = transport.create_channel(options=_CHANNEL_OPTIONS)
            except GoogleAuthError as error:
                raise ConfigurationError(
                    f"no credentials for Pub/Sub: {error} "
                    "(set GOOGLE_APPLICATION_CREDENTIALS, or PUBSUB_EMULATOR_HOST for an emulator)"
                ) from error
        self._channels.append(channel)
        return channel


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the library's errors about `what` into this project's."""
    try:
        yield
    except gcp.NotFound as error:
        raise TopologyMissing(f"{what} does not exist: run `botdel topology apply`") from error
    except gcp.Forbidden as error:
        raise TopologyMissing(f"{what} may not be used by this identity: grant it") from error
    except _MAY_PASS as error:
        raise BusUnavailable(f"Pub/Sub, {what}: {type(error).__name__}") from error
