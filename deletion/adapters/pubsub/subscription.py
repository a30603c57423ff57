"""Receiving by short unary pulls, which take no more messages than were asked for.

On the emulator a streaming pull whose client has died goes on taking messages for minutes, and the
dead-letter policy then moves messages that nothing is wrong with. A short pull ends by itself.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Final

from google.api_core.exceptions import (
    DeadlineExceeded,
    GoogleAPICallError,
    ResourceExhausted,
    ServiceUnavailable,
)
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import AcknowledgeRequest, ModifyAckDeadlineRequest, PullRequest

from deletion.adapters.pubsub.connection import (
    BOUNDED_RETRY,
    CALL_SECONDS,
    MAX_ANSWER_BYTES,
    translated,
)
from deletion.bus import Delivery, Message
from deletion.errors import BusUnavailable, TopologyMissing

PULL_SECONDS: Final = 3.0
"""How long a pull waits for a message, and so how long a clean stop waits for it."""
PULL_LIMIT: Final = 100
"""The emulator's bound on one pull, in messages; it bounds a group of acks as well."""
SILENT_SECONDS: Final = 30.0
"""After this long without an answer to any pull, another call shows whether Pub/Sub answers."""


class PullSubscription:
    """`deletion.bus.Subscription` over `path`. Never cancel a pull: let it end.

    An answer has at most `MAX_ANSWER_BYTES`. After a larger one, which is refused, the next pull
    asks for one message, and each further pull for twice as many as the last, as long as that many
    are sure to fit. `recreate` creates the subscription again on an emulator, which forgets it in a
    restart.
    """

    def __init__(
        self,
        client: SubscriberAsyncClient,
        path: str,
        *,
        recreate: Callable[[], Awaitable[object]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._path = path
        self._recreate = recreate
        self._monotonic = monotonic
        self._answered = float("-inf")
        self._most = PULL_LIMIT

    async def pull(self, limit: int) -> list[Delivery]:
        """See the port. Returns at most `PULL_LIMIT`, and fewer when messages are large.

        Raises `BusUnavailable` also when Pub/Sub has been silent for `SILENT_SECONDS`.
        """
        try:
            return await self._pull(limit)
        except TopologyMissing:
            if self._recreate is None:
                raise
            await self._recreate()
            return []

    async def _pull(self, limit: int) -> list[Delivery]:
        request = PullRequest(subscription=self._path, max_messages=min(limit, self._most))
        with translated(self._path):
            try:
                response = await self._client.pull(request, retry=None, timeout=PULL_SECONDS)
            except DeadlineExceeded:
                await self._ask()
                return []
            except ResourceExhausted:  # the answer was too large, or a quota is spent: ask for less
                self._most = 1
                raise
        self._answered = self._monotonic()
        # The plain protobuf below proto-plus, which takes a tenth of the time to read.
        answer = type(response).pb(response)
        is_full = len(answer.received_messages) >= self._most
        if is_full and answer.ByteSize() <= MAX_ANSWER_BYTES / 2:
            self._most = min(PULL_LIMIT, self._most * 2)
        return [_delivery(received) for received in answer.received_messages]

    async def _ask(self) -> None:
        """After a pull without an answer, check that Pub/Sub answers another call.

        The pull alone proves nothing: the emulator answers an empty one 0.9 s before the client's
        deadline, but Pub/Sub may let the deadline pass. Any response to this call, even a refusal,
        is an answer.
        """
        if self._monotonic() - self._answered < SILENT_SECONDS:
            return
        try:
            await self._client.get_subscription(
                subscription=self._path, retry=None, timeout=CALL_SECONDS
            )
        except (DeadlineExceeded, ServiceUnavailable) as error:
            raise BusUnavailable(
                f"Pub/Sub answers neither pulls nor other calls for {self._path}"
            ) from error
        except GoogleAPICallError:
            pass  # the next pull will say what is wrong with the subscription
        self._answered = self._monotonic()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. Sends one request."""
        if deliveries:
            request = AcknowledgeRequest(
                subscription=self._path, ack_ids=[delivery.ack_id for delivery in deliveries]
            )
            with translated(self._path):
                await self._client.acknowledge(request, retry=BOUNDED_RETRY, timeout=CALL_SECONDS)

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. Sends one request; a deadline of 0 seconds is Pub/Sub's nack."""
        if deliveries:
            request = ModifyAckDeadlineRequest(
                subscription=self._path,
                ack_ids=[delivery.ack_id for delivery in deliveries],
                ack_deadline_seconds=0,
            )
            with translated(self._path):
                await self._client.modify_ack_deadline(
                    request, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
                )


def _delivery(received) -> Delivery:  # type: ignore[no-untyped-def]
    message = received.message
    return Delivery(
        message=Message(message.data, dict(message.attributes)),
        message_id=message.message_id,
        ack_id=received.ack_id,
        attempt=received.delivery_attempt,
        published_at=message.publish_time.ToDatetime(UTC),
    )
