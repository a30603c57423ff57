"""The ledger's intake: decode → record → settle what is complete already → ack.

The order is the guarantee: a request is acked after it is recorded, and a job that completed before
that is found after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.errors import BotDeletionError, EventError
from deletion.events import BotDeletionSubject, RequestPlaced, decode, requested
from deletion.ledger import CoverageStore, RequestStore
from deletion.message_spans import MessageSpans
from deletion.request import DeletionRequest, LedgerPolicy
from deletion.tracing import NO_SPAN
from recovery.ledger.metrics import LedgerMetrics, PartName
from recovery.ledger.owing import Owing
from recovery.ledger.settle import Settlement

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """A delivery that asks for a deletion."""

    delivery: Delivery
    subject: BotDeletionSubject
    event: RequestPlaced


class Intake:
    """Takes in the messages of the ledger's subscription."""

    def __init__(
        self,
        subscription: Subscription,
        requests: RequestStore,
        owing: Owing,
        coverage: CoverageStore,
        settlement: Settlement,
        clock: Clock,
        *,
        policy: LedgerPolicy,
        metrics: LedgerMetrics,
        spans: MessageSpans | None = None,
    ) -> None:
        self._subscription = subscription
        self._requests = requests
        self._owing = owing
        self._coverage = coverage
        self._settlement = settlement
        self._clock = clock
        self._policy = policy
        self._metrics = metrics
        self._spans = spans

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Record the requests among `deliveries`, settle those that jobs have completed already,
        and ack. A message that is not a request, or is addressed to one service, is only acked.

        A request that cannot be recorded is not acked; the others are. Raises `StoreUnavailable`,
        `Unregistered` and `BusUnavailable`.
        """
        with self._spans.process(deliveries) if self._spans else NO_SPAN:
            await self._take(deliveries)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        placed = [each for delivery in deliveries if (each := self._decoded(delivery))]
        failed = await self._record(placed) if placed else set[str]()
        lost = {each.delivery.ack_id for each in placed if each.subject.event_id in failed}
        await self._subscription.ack([each for each in deliveries if each.ack_id not in lost])

    def _decoded(self, delivery: Delivery) -> Placed | None:
        """The request in a message; None for one that the ledger has nothing to do with.

        What cannot be decoded is counted: the intake of each service quarantines it.
        """
        if "service" in delivery.message.attributes:  # a replay, or published again for one service
            return None
        try:
            subject = decode(delivery.message.data)
            return Placed(delivery, subject, requested(subject))
        except EventError as error:
            log.warning("not recorded", message_id=delivery.message_id, reason=str(error))
            self._metrics.failure(PartName.INTAKE)
            return None

    async def _record(self, placed: Sequence[Placed]) -> set[str]:
        """Record, then settle. Returns the ids of the events that could not be recorded."""
        services = await self._owing.services()
        requests = {each.subject.event_id: self._request(each, services) for each in placed}
        failed = await self._write(list(requests.values()))
        recorded = [each for each in requests.values() if each.id not in failed]
        self._metrics.recorded(sum(each.subject.event_id not in failed for each in placed))
        jobs = await self._coverage.covering([(each.bot_id, each.id) for each in recorded])
        await self._settlement.settle(jobs)
        return failed

    def _request(self, placed: Placed, services: Sequence[str]) -> DeletionRequest:
        subject = placed.subject
        return DeletionRequest.received(
            event_id=subject.event_id,
            bot_id=subject.bot_id,
            placed_at=placed.event.placed_at,
            services=services,
            now=self._clock.now(),
            policy=self._policy,
            requested_by=placed.event.requested_by,
            traceparent=placed.delivery.message.attributes.get("traceparent"),
        )

    async def _write(self, requests: Sequence[DeletionRequest]) -> set[str]:
        """Record together, or one by one when an unexpected error makes that fail."""
        try:
            await self._requests.record(requests)
        except BotDeletionError:
            raise
        except Exception:
            log.exception("requests not recorded", count=len(requests), event_id=requests[0].id)
            if len(requests) > 1:
                alone = [await self._write([each]) for each in requests]
                return set[str]().union(*alone)
            self._metrics.failure(PartName.INTAKE)
            return {requests[0].id}
        return set()
