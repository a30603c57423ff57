"""Intake: decode → record → ack. It waits for no deletion and needs no slot.

The order is the guarantee: a message is acked after its job is recorded, never before, so that a
crash between any two steps leaves the message, the job, or both.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.dead_letter import Reason
from deletion.errors import EventError, StoreUnavailable
from deletion.events import decode
from deletion.job import MAX_EVENTS, Job, StepProgress
from deletion.plan import Plan
from deletion.ports import JobStore, Placing, Recorded
from deletion.quarantine import GivenUp, Quarantine, refused
from deletion.retry import Retry

RECORD_WITHIN: Final = timedelta(seconds=15)
"""How long recording a group is tried. With one more call of the database and the ack it takes
less than the ack deadline: docs/decisions/0019."""

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What became of one delivery."""

    RECORDED = "recorded"  # acked; a job of its own is pending
    JOINED = "joined"  # acked; a live job of its bot covers it
    KNOWN = "known"  # acked; a duplicate
    FOREIGN = "foreign"  # acked; it is addressed to another service
    QUARANTINED = "quarantined"  # acked; it can never be handled, and is a dead letter now
    RETURNED = "returned"  # nacked; the database could not take it now


_PLACED: Final = {
    Placing.NEW: Outcome.RECORDED,
    Placing.JOINED: Outcome.JOINED,
    Placing.KNOWN: Outcome.KNOWN,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """One delivery and what became of it."""

    delivery: Delivery
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Placed:
    """A delivery that asks for a deletion, and the job to record for it."""

    delivery: Delivery
    job: Job


class Intake:
    """The intake of one service."""

    def __init__(
        self,
        plan: Plan,
        subscription: Subscription,
        store: JobStore,
        quarantine: Quarantine,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._service = plan.service
        self._steps = tuple(StepProgress(step.name) for step in plan.steps)
        self._subscription = subscription
        self._store = store
        self._quarantine = quarantine
        self._alerts = alerts
        self._clock = clock
        self._retry = Retry(clock, cap=2.0)

    async def take(self, deliveries: Sequence[Delivery]) -> list[Taken]:
        """Take in what was delivered together: decode → record → ack.

        Raises nothing: what cannot be recorded now is handed back to Pub/Sub.
        """
        decoded = [self._decode(delivery) for delivery in deliveries]
        taken = await self._record(decoded)
        await self._ack(taken)
        return taken

    async def hand_back(self, deliveries: Sequence[Delivery]) -> list[Taken]:
        """Nack what was pulled and is not to be recorded here."""
        taken = _all(deliveries, Outcome.RETURNED)
        await self._ack(taken)
        return taken

    def _decode(self, delivery: Delivery) -> Placed | GivenUp | Taken:
        """What is to be recorded of a delivery; nothing of one that is another service's."""
        attributes = delivery.message.attributes
        if attributes.get("service", self._service) != self._service:
            return Taken(delivery, Outcome.FOREIGN)
        try:
            subject = decode(delivery.message.data)
        except EventError as error:
            return refused(delivery, self._service, error)
        job = Job.placed(
            id=self._store.new_id(),
            service=self._service,
            bot_id=subject.bot_id,
            event_id=subject.event_id,
            placed_at=subject.event.placed_at,
            steps=self._steps,
            now=self._clock.now(),
            requested_by=subject.event.requested_by,
            traceparent=attributes.get("traceparent"),
        )
        return Placed(delivery, job)

    async def _record(self, decoded: Sequence[Placed | GivenUp | Taken]) -> list[Taken]:
        """Jobs and dead letters side by side: neither waits for the other."""
        jobs, letters = await asyncio.gather(
            self._place([each for each in decoded if isinstance(each, Placed)]),
            self._give_up([each for each in decoded if isinstance(each, GivenUp)]),
        )
        return [*jobs, *letters, *(each for each in decoded if isinstance(each, Taken))]

    async def _place(self, placed: Sequence[Placed], latest: datetime | None = None) -> list[Taken]:
        """One bulk write; each by itself where one of them fails for a reason of its own."""
        if not placed:
            return []
        latest = latest or self._clock.now() + RECORD_WITHIN
        try:
            recorded = await self._recorded([each.job for each in placed], latest)
        except StoreUnavailable as error:
            log.warning("events handed back", count=len(placed), reason=str(error))
            return _all([each.delivery for each in placed], Outcome.RETURNED)
        except Exception:
            log.exception("events not recorded", count=len(placed))
            if len(placed) == 1:
                return _all([placed[0].delivery], Outcome.RETURNED)
            alone = [await self._place([each], latest) for each in placed]
            return [taken for each in alone for taken in each]
        full = [self._full(p, r) for p, r in zip(placed, recorded, strict=True) if _is_full(r)]
        self._alert(recorded)
        return await self._give_up(full) + [
            Taken(p.delivery, _PLACED[r.placing])
            for p, r in zip(placed, recorded, strict=True)
            if not _is_full(r)
        ]

    async def _recorded(self, jobs: Sequence[Job], latest: datetime) -> list[Recorded]:
        def too_late() -> StoreUnavailable | None:
            is_late = self._clock.now() >= latest
            return StoreUnavailable(f"not recorded in {RECORD_WITHIN}") if is_late else None

        if late := too_late():
            raise late
        return await self._retry.call(lambda: self._store.record(jobs), give_up=too_late)

    async def _give_up(self, given_up: Sequence[GivenUp]) -> list[Taken]:
        """Into the dead-letter store; back to Pub/Sub when that does not take them."""
        deliveries = [each.delivery for each in given_up]
        try:
            await self._quarantine.keep(given_up)
        except StoreUnavailable as error:
            log.warning("events handed back", count=len(given_up), reason=str(error))
            return _all(deliveries, Outcome.RETURNED)
        except Exception:
            log.exception("events handed back", count=len(given_up))
            return _all(deliveries, Outcome.RETURNED)
        for each in given_up:
            message_id = each.delivery.message_id
            log.error("event quarantined", message_id=message_id, reason=each.detail)
        return _all(deliveries, Outcome.QUARANTINED)

    def _full(self, placed: Placed, recorded: Recorded) -> GivenUp:
        detail = f"job {recorded.job_id} covers {MAX_EVENTS} requests already"
        return GivenUp(placed.delivery, self._service, Reason.TOO_MANY, detail)

    def _alert(self, recorded: Sequence[Recorded]) -> None:
        """A request that joined an exhausted job waits for an operator: alert again."""
        for each in recorded:
            if each.placing is Placing.JOINED and each.is_exhausted:
                reason = "a request joined it"
                self._alerts.tell(
                    Alert(AlertKind.JOB_EXHAUSTED, self._service, reason, each.job_id)
                )

    async def _ack(self, taken: Sequence[Taken]) -> None:
        """Best effort: if an ack is lost, the message is redelivered and is a duplicate."""
        returned = [each.delivery for each in taken if each.outcome is Outcome.RETURNED]
        acked = [each.delivery for each in taken if each.outcome is not Outcome.RETURNED]
        try:
            await self._subscription.ack(acked)
            await self._subscription.nack(returned)
        except Exception:
            log.exception("acks lost", count=len(taken))


def _all(deliveries: Sequence[Delivery], outcome: Outcome) -> list[Taken]:
    return [Taken(delivery, outcome) for delivery in deliveries]


def _is_full(recorded: Recorded) -> bool:
    return recorded.placing is Placing.FULL
