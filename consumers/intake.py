"""Intake: decode → record → ack. It never waits for a deletion, and needs no slot.

The order is the guarantee: a message is acked after its job is recorded, never before. After a
crash between any two of these, there is the message, the job, or both.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.dead_letter import Reason
from deletion.errors import EventError, StoreUnavailable
from deletion.events import decode, requested
from deletion.job import MAX_EVENTS, Job, StepProgress
from deletion.plan import Plan
from deletion.ports import JobStore, Recorded, RecordOutcome
from deletion.quarantine import LetterToRecord, Quarantine, letter_for
from deletion.retry import Retry

RETRY_WITHIN: Final = 15.0
"""How long recording a group is tried, in seconds: no job's record is begun later, and a dead
letter's is given up."""
RECORD_WITHIN: Final = 40.0
"""Seconds after which nothing of a group is recorded any more. One record has time for the four
calls of a join, and all acks are sent within the ack deadline: docs/decisions/0019."""

TOO_LATE: Final = "not recorded in time"

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What became of one delivery."""

    RECORDED = "recorded"  # acked; a new job is pending for it
    JOINED = "joined"  # acked; a live job of its bot covers it
    KNOWN = "known"  # acked; a duplicate
    FOREIGN = "foreign"  # acked; addressed to another service
    QUARANTINED = "quarantined"  # acked; it cannot be handled, and is now a dead letter
    RETURNED = "returned"  # nacked; the database could not record it now


_PLACED: Final = {
    RecordOutcome.NEW: Outcome.RECORDED,
    RecordOutcome.JOINED: Outcome.JOINED,
    RecordOutcome.KNOWN: Outcome.KNOWN,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """One delivery and what became of it."""

    delivery: Delivery
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class JobToRecord:
    """A delivery that requests a deletion, and the job to record for it."""

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
        self._point_of_no_return = plan.point_of_no_return
        self._subscription = subscription
        self._store = store
        self._quarantine = quarantine
        self._alerts = alerts
        self._clock = clock
        self._retry = Retry(clock, cap=2.0)

    async def take(self, deliveries: Sequence[Delivery]) -> list[Taken]:
        """Take in a group of deliveries: decode → record → ack. Jobs and dead letters do not wait
        for each other: both are acked as soon as they are recorded.

        Returns every delivery with its outcome. Raises nothing: deliveries that cannot be recorded
        now are nacked.
        """
        began = self._clock.monotonic()
        decoded = [self._decode(delivery) for delivery in deliveries]
        foreign = [each for each in decoded if isinstance(each, Taken)]
        jobs, letters, _ = await asyncio.gather(
            self._take_jobs([each for each in decoded if isinstance(each, JobToRecord)], began),
            self._take_letters(
                [each for each in decoded if isinstance(each, LetterToRecord)], began
            ),
            self._ack(foreign),
        )
        return [*jobs, *letters, *foreign]

    def _decode(self, delivery: Delivery) -> JobToRecord | LetterToRecord | Taken:
        """The job or dead letter to record; `Taken` if the delivery is for another service."""
        attributes = delivery.message.attributes
        if attributes.get("service", self._service) != self._service:
            return Taken(delivery, Outcome.FOREIGN)
        try:
            subject = decode(delivery.message.data)
            placed = requested(subject)
        except EventError as error:
            return letter_for(delivery, self._service, error)
        job = Job.placed(
            id=self._store.new_id(),
            service=self._service,
            bot_id=subject.bot_id,
            event_id=subject.event_id,
            placed_at=placed.placed_at,
            steps=self._steps,
            now=self._clock.now(),
            point_of_no_return=self._point_of_no_return,
            requested_by=placed.requested_by,
            traceparent=attributes.get("traceparent"),
        )
        return JobToRecord(delivery, job)

    async def _take_jobs(self, placed: Sequence[JobToRecord], began: float) -> list[Taken]:
        """Record and ack. Then quarantine the requests that their bot's full job cannot cover."""
        recorded = await self._record_jobs(placed, began) if placed else []
        taken = [each for each in recorded if isinstance(each, Taken)]
        full = [each for each in recorded if isinstance(each, LetterToRecord)]
        await self._ack(taken)
        return taken + await self._take_letters(full, began)

    async def _take_letters(self, letters: Sequence[LetterToRecord], began: float) -> list[Taken]:
        """Quarantine and ack."""
        taken = await self._record_letters(letters, began) if letters else []
        await self._ack(taken)
        return taken

    async def _record_jobs(
        self, placed: Sequence[JobToRecord], began: float
    ) -> Sequence[Taken | LetterToRecord]:
        """Record in one bulk write, or one by one when an unexpected error makes that fail."""
        try:
            recorded = await self._write_jobs([each.job for each in placed], began)
        except StoreUnavailable as error:
            log.warning("events handed back", count=len(placed), reason=str(error))
            return _all([each.delivery for each in placed], Outcome.RETURNED)
        except Exception:
            log.exception("events not recorded", count=len(placed))
            if len(placed) == 1:
                return [Taken(placed[0].delivery, Outcome.RETURNED)]
            alone = [await self._record_jobs([each], began) for each in placed]
            return [outcome for each in alone for outcome in each]
        self._alert(recorded)
        return [self._outcome_of(p, r) for p, r in zip(placed, recorded, strict=True)]

    async def _write_jobs(self, jobs: Sequence[Job], began: float) -> list[Recorded]:
        """Record in time, or raise `StoreUnavailable`. If some were recorded nevertheless, their
        redeliveries are duplicates.
        """

        def too_late() -> StoreUnavailable | None:
            is_late = self._clock.monotonic() >= began + RETRY_WITHIN
            return StoreUnavailable(TOO_LATE) if is_late else None

        async def record() -> list[Recorded]:
            if late := too_late():  # a pause before another try may have made it so
                raise late
            return await self._store.record(jobs)

        try:
            async with asyncio.timeout(self._left(began)):
                return await self._retry.call(record, unless=too_late)
        except TimeoutError as error:
            raise StoreUnavailable(TOO_LATE) from error

    def _left(self, began: float) -> float:
        """Seconds left to record a group whose intake began then; may be negative."""
        return began + RECORD_WITHIN - self._clock.monotonic()

    async def _record_letters(self, letters: Sequence[LetterToRecord], began: float) -> list[Taken]:
        """Quarantine. Return deliveries to Pub/Sub if the store does not answer in time. If they
        were recorded nevertheless, their redeliveries are counted in the same records.
        """
        deliveries = [each.delivery for each in letters]
        try:
            async with asyncio.timeout(min(RETRY_WITHIN, self._left(began))):
                await self._quarantine.record(letters)
        except (StoreUnavailable, TimeoutError) as error:
            reason = str(error) or TOO_LATE
            log.warning("events handed back", count=len(letters), reason=reason)
            return _all(deliveries, Outcome.RETURNED)
        except Exception:
            log.exception("events handed back", count=len(letters))
            return _all(deliveries, Outcome.RETURNED)
        for each in letters:
            message_id = each.delivery.message_id
            log.error("event quarantined", message_id=message_id, reason=each.detail)
        return _all(deliveries, Outcome.QUARANTINED)

    def _outcome_of(self, placed: JobToRecord, recorded: Recorded) -> Taken | LetterToRecord:
        if recorded.outcome is not RecordOutcome.FULL:
            return Taken(placed.delivery, _PLACED[recorded.outcome])
        detail = f"job {recorded.job_id} already covers {MAX_EVENTS} requests"
        return LetterToRecord(placed.delivery, self._service, Reason.TOO_MANY, detail)

    def _alert(self, recorded: Sequence[Recorded]) -> None:
        """Alert again when a request joined an exhausted job: it waits for an operator too."""
        for each in recorded:
            if each.outcome is RecordOutcome.JOINED and each.is_exhausted:
                reason = "a request joined it"
                self._alerts.tell(
                    Alert(AlertKind.JOB_EXHAUSTED, self._service, reason, each.job_id)
                )

    async def _ack(self, taken: Sequence[Taken]) -> None:
        """Best effort: if an ack is lost, the message is redelivered and is a duplicate."""
        if not taken:
            return
        returned = [each.delivery for each in taken if each.outcome is Outcome.RETURNED]
        acked = [each.delivery for each in taken if each.outcome is not Outcome.RETURNED]
        try:
            await self._subscription.ack(acked)
            await self._subscription.nack(returned)
        except Exception:
            log.exception("acks lost", count=len(taken))


def _all(deliveries: Sequence[Delivery], outcome: Outcome) -> list[Taken]:
    return [Taken(delivery, outcome) for delivery in deliveries]
