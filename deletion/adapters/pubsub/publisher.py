"""Publishing: messages that arrive together share a request, and each one is confirmed."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog
from google.api_core import exceptions as gcp
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.types import PublishRequest

from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.bus import Message
from deletion.errors import BotDeletionError, BusOverloaded, BusUnavailable, TopologyMissing
from deletion.message_spans import MessageSpans
from deletion.tracing import NO_SPAN

log = structlog.get_logger(__name__)

GROUP_LIMIT: Final = 500
"""Below Pub/Sub's 1,000 messages and, at the size of an event, far below its 10 MB."""

PROMPT_REQUESTS: Final = 2
"""Requests that are sent without waiting for each other."""
SLOW_SECONDS: Final = 0.01
"""Another request starts when messages wait and none has begun for this long: Pub/Sub is slow."""

_RawRequest: Final = PublishRequest.pb()
"""Filled ten times as fast as the class that wraps it."""

Waiting = tuple[Message, "asyncio.Future[None]"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a publish ended, and `at` what time of `monotonic`. `error` is None when it was
    confirmed.
    """

    at: float
    error: BotDeletionError | None


class GroupingPublisher:
    """`deletion.bus.Publisher` that sends all waiting messages in one request.

    At most `max_pending` messages are unconfirmed and `max_requests` requests under way. Under load
    groups grow, not the number of requests. When Pub/Sub is slow, another request starts every
    `SLOW_SECONDS`, so that a slow one does not hold up the messages behind it. A message that is
    not confirmed in `confirm_seconds` raises `BusUnavailable`. `recreate` creates the topic again
    on an emulator, which forgets it in a restart. With `spans` each request has a span.

    `deletion.grouping.Grouping` would not do: with `max_requests` senders it would send many small
    requests, and with two a slow request would hold up the messages behind it.
    """

    def __init__(
        self,
        client: PublisherAsyncClient,
        topic: str,
        *,
        max_pending: int = 2000,
        max_requests: int = 16,
        confirm_seconds: float = 8.0,
        recreate: Callable[[], Awaitable[object]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        spans: MessageSpans | None = None,
    ) -> None:
        self._topic = topic
        # Calling the client's own method would double the cost of each request.
        self._stub: Any = client.transport.publish
        self._routing = (to_grpc_metadata({"topic": topic}),)  # type: ignore[no-untyped-call]
        self._retrying = BOUNDED_RETRY(self._once)
        self._max_pending = max_pending
        self._max_requests = max_requests
        self._confirm_seconds = confirm_seconds
        self._recreate = recreate
        self._monotonic = monotonic
        self._spans = spans
        self._waiting: deque[Waiting] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._slow: asyncio.TimerHandle | None = None
        self._begun = float("-inf")
        self.pending = 0
        self.last: Outcome | None = None
        """The outcome of the latest publish that ended."""

    async def publish(self, message: Message) -> None:
        """See the port. Raises `BusOverloaded` at once when too much is unconfirmed."""
        if self.pending >= self._max_pending:
            raise BusOverloaded(f"{self.pending} events are waiting for Pub/Sub already")
        confirmed = asyncio.get_running_loop().create_future()
        self._waiting.append((message, confirmed))
        self.pending += 1
        try:
            self._wake()
            async with asyncio.timeout(self._confirm_seconds):
                await confirmed
        except TimeoutError:
            late = BusUnavailable(f"not confirmed in {self._confirm_seconds:g} s")
            self.last = Outcome(self._monotonic(), late)
            raise late from None
        finally:
            self.pending -= 1

    async def flush(self) -> None:
        """Wait until nothing is under way; bounded, because every message is."""
        while self._senders:
            await asyncio.wait(self._senders)

    def _wake(self) -> None:
        if len(self._senders) < min(PROMPT_REQUESTS, self._max_requests):
            self._start()
        elif len(self._senders) < self._max_requests and self._slow is None:
            self._look_again(SLOW_SECONDS)

    def _start(self) -> None:
        sender = asyncio.create_task(self._send())
        self._senders.add(sender)
        sender.add_done_callback(self._ended)

    def _look_again(self, seconds: float) -> None:
        self._slow = asyncio.get_running_loop().call_later(seconds, self._waited)

    def _waited(self) -> None:
        self._slow = None
        if not self._waiting or len(self._senders) >= self._max_requests:
            return
        left = self._begun + SLOW_SECONDS - self._monotonic()
        if left <= 0:
            self._start()
        self._look_again(left if left > 0 else SLOW_SECONDS)

    def _ended(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        if self._waiting:  # they came after the sender had looked for the last time
            self._wake()

    async def _send(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_LIMIT))]
            group = [waiting for waiting in taken if not waiting[1].done()]
            if group:
                await self._request(group)

    async def _request(self, group: list[Waiting]) -> None:
        error: BotDeletionError | None = None
        self._begun = self._monotonic()
        try:
            messages = [message for message, _ in group]
            with self._spans.send(messages) if self._spans else NO_SPAN:
                await self._publish(messages)
        except BotDeletionError as expected:
            error = expected
        except Exception as unexpected:
            log.exception("publishing failed", messages=len(group))
            error = BusUnavailable(f"Pub/Sub refused ({type(unexpected).__name__})")
        self.last = Outcome(self._monotonic(), error)
        for _, confirmed in group:
            if confirmed.done():
                continue
            if error:
                confirmed.set_exception(error)
            else:
                confirmed.set_result(None)

    async def _publish(self, messages: Sequence[Message]) -> None:
        try:
            await self._call(messages)
        except TopologyMissing:
            if self._recreate is None:
                raise
            await self._recreate()
            await self._call(messages)

    async def _call(self, messages: Sequence[Message]) -> None:
        request = _RawRequest(topic=self._topic)
        for message in messages:
            request.messages.add(data=message.data, attributes=message.attributes)
        with translated(self._topic):
            await self._bounded(PublishRequest.wrap(request))

    async def _bounded(self, request: PublishRequest) -> None:
        """Publish, and again while Pub/Sub does not answer.

        A refusal after that does not say that nothing was published: the first try's answer may
        have been lost. An emulator's topic is recreated all the same, and the request repeated.
        """
        try:
            await self._once(request)
        except (gcp.ServiceUnavailable, gcp.DeadlineExceeded) as unanswered:
            try:
                await self._retrying(request)
            except (gcp.NotFound, gcp.Forbidden) as refused:
                if self._recreate:
                    raise
                raise unanswered from refused

    async def _once(self, request: PublishRequest) -> None:
        try:
            await self._stub(request, timeout=CALL_SECONDS, metadata=self._routing)
        except grpc.aio.AioRpcError as error:
            raise gcp.from_grpc_error(error) from error  # type: ignore[no-untyped-call]
