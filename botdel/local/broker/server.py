"""The gRPC server: both services over one broker, on one event loop and without a lock."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from botdel.local.broker.broker import Broker
from botdel.local.broker.journal import Journal
from botdel.local.broker.limits import check_size
from botdel.local.broker.refusals import Refused, invalid
from botdel.local.broker.service import Context, Service
from botdel.local.broker.upkeep import Upkeep
from botdel.local.broker.wire import METHODS, Method, as_bytes, python_name

MAX_REQUEST: Final = 16 * 1024 * 1024
"""Bytes; Pub/Sub takes 10 MB in a publish."""
OPTIONS: Final = [
    ("grpc.so_reuseport", 0),  # or two brokers could share a port, each with half of the calls
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),  # a client that vanished is noticed within 20 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # the same, for a ping that was sent already
    ("grpc.http2.max_pings_without_data", 0),  # no bound: an idle stream is pinged as well
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),  # clients may ping as often as they like
]
MAX_CALLS: Final = 5_000
"""Calls in flight at once, including streams and waiting pulls. More are refused."""
TICK: Final = 0.05
"""Seconds between two runs of the upkeep."""


class Server:
    """The server of one journal. Call `start` first and `stop` in the end."""

    def __init__(self, journal: Journal, now: Callable[[], float] | None = None) -> None:
        self._journal = journal
        self._broker = Broker(journal, now or steady_clock())
        self._service = Service(self._broker)
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service,
                    {name: _handler(self._service, name, each) for name, each in methods.items()},
                )
                for service, methods in METHODS.items()
            ]
        )
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, address: str) -> int:
        """Read back what was kept, and listen on `host:port`; returns the port.

        Raises OSError if it cannot listen on the address.
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
        """Serve until `stopping` is set. Raises the error that ended the periodic checks, without
        which the server must not go on.
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
        """Run the upkeep periodically, until cancelled. Raises JournalGone."""
        upkeep = Upkeep(self._broker, self._service, time.monotonic())
        while True:
            await asyncio.sleep(TICK)
            upkeep.run(time.monotonic())


def steady_clock() -> Callable[[], float]:
    """Return a clock of seconds since 1970 that later changes of the system's clock do not affect.

    It also goes on while the machine sleeps: CLOCK_BOOTTIME does on Linux, CLOCK_MONOTONIC on
    macOS.
    """
    passed = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    began = time.time() - passed()
    return lambda: began + passed()


def _handler(service: Service, name: str, method: Method) -> Any:
    call = getattr(service, python_name(name))
    if method.streams:
        return grpc.stream_stream_rpc_method_handler(
            partial(_answered, call),
            request_deserializer=partial(_parsed, name, method),  # `context.read` raises `Refused`
            response_serializer=as_bytes,
        )
    return grpc.unary_unary_rpc_method_handler(
        partial(_answered, partial(_call_parsed, call, name, method)), response_serializer=as_bytes
    )


async def _call_parsed(
    call: Callable[..., Awaitable[Any]], name: str, method: Method, body: bytes, context: Context
) -> Any:
    return await call(_parsed(name, method, body), context)


def _parsed(name: str, method: Method, body: bytes) -> Any:
    """Return the request that `body` encodes. Raises `Refused` if it is too large or invalid."""
    check_size(name, body)
    try:
        return method.read(body)
    except DecodeError as error:
        raise invalid(f"The request cannot be parsed: {error}") from None


async def _answered(call: Callable[..., Awaitable[Any]], request: Any, context: Context) -> Any:
    """Call the method. A `Refused` reaches the client with its code and message."""
    try:
        return await call(request, context)
    except Refused as error:
        await context.abort(error.code, str(error))
