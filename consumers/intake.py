"""Intake: decode, record, ack. What comes out are jobs that this process owns and must run.

The order is the guarantee: a message is acked after its job is recorded or claimed, never
before, so that a crash between any two steps leaves either the message or the job.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain

import structlog

from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.errors import (
    EventError,
    LeaseLost,
    StoreUnavailable,
    UnknownEventType,
)
from deletion.events import BotDeletionSubject, RequestPlaced, ResumeRequested, decode
from deletion.job import Job, LeasePolicy, Status, StepProgress
from deletion.plan import Plan
from deletion.ports import EventArchive, JobStore, Recorded
from deletion.quarantine import GivenUp, Quarantine, refused
from deletion.retry import Retry

RECORD_WITHIN = timedelta(seconds=15)
"""How long the same jobs are offered again: a call whose answer was lost has recorded them, and
a redelivery would take them for running. With one call more it is less than the ack deadline."""

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What became of one delivery."""

    RUN = "run"  # acked; its job is this process's to run
    KNOWN = "known"  # acked; there is nothing to do here
    QUARANTINED = "quarantined"  # acked; it can never be handled, and is a dead letter now
    RETURNED = "returned"  # nacked; the database could not take it now


ACKED = (Outcome.RUN, Outcome.KNOWN, Outcome.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Taken:
    """One delivery and its outcome; `job` is there to be run, with `Outcome.RUN` alone."""

    delivery: Delivery
    outcome: Outcome
    job: Job | None = None


class Intake:
    """The intake of one service. `worker` names this process in every claim it makes."""

    def __init__(
        self,
        plan: Plan,
        subscription: Subscription,
        store: JobStore,
        archive: EventArchive,
        quarantine: Quarantine,
        clock: Clock,
        policy: LeasePolicy,
        worker: str,
    ) -> None:
        self._service = plan.service
        self._steps = tuple(StepProgress(step.name) for step in plan.steps)
        self._subscription = subscription
        self._store = store
        self._archive = archive
        self._quarantine = quarantine
        self._clock = clock
        self._policy = policy
        self._worker = worker
        self._retry = Retry(clock, cap=2.0)

    async def take(self, deliveries: Sequence[Delivery]) -> list[Taken]:
        """Record what arrived together in one bulk insert, and settle each by its own outcome."""
        ours: list[Delivery] = []
        taken: list[Taken] = []
        for delivery in deliveries:
            if self._is_ours(delivery):
                ours.append(delivery)
            else:
                taken.append(Taken(delivery, Outcome.KNOWN))
        taken += chain.from_iterable(await asyncio.gather(*self._works(ours)))
        await self._settle(taken)
        return taken

    def _is_ours(self, delivery: Delivery) -> bool:
        """What the filter of the subscription says, which an emulator ignores."""
        return delivery.message.attributes.get("service", self._service) == self._service

    def _works(self, deliveries: Sequence[Delivery]) -> list[Awaitable[list[Taken]]]:
        """What is to be done about them, each with the outcomes it leads to."""
        placed: list[tuple[Delivery, Job]] = []
        poison: list[GivenUp] = []
        works: list[Awaitable[list[Taken]]] = []
        for delivery in deliveries:
            try:
                subject = decode(delivery.message.data)
            except UnknownEventType as unknown:
                works.append(self._or_back([delivery], self._keep(delivery, unknown)))
            except EventError as error:
                poison.append(refused(delivery, self._service, error))
            else:
                match subject.event:
                    case RequestPlaced() as event:
                        placed.append((delivery, self._job(subject, event)))
                    case ResumeRequested() as request:
                        works.append(self._or_back([delivery], self._resume(delivery, request)))
        if placed:
            works.append(self._or_back([delivery for delivery, _ in placed], self._record(placed)))
        if poison:
            works.append(self._or_back([each.delivery for each in poison], self._give_up(poison)))
        return works

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Nack what was pulled but is not recorded."""
        await self._settle([Taken(delivery, Outcome.RETURNED) for delivery in deliveries])

    async def _or_back(
        self, deliveries: Sequence[Delivery], work: Awaitable[list[Taken]]
    ) -> list[Taken]:
        """The outcome of `work`; when it fails, whatever the reason, the deliveries go back."""
        try:
            return await work
        except StoreUnavailable as error:
            log.warning("events handed back", count=len(deliveries), reason=str(error))
        except Exception:
            log.exception("events handed back", count=len(deliveries))
        return [Taken(delivery, Outcome.RETURNED) for delivery in deliveries]

    async def _record(self, placed: Sequence[tuple[Delivery, Job]]) -> list[Taken]:
        """Each by itself from here on: what is new is this process's to run, come what may."""
        recorded = await self._recorded([job for _, job in placed])
        new: list[Taken] = []
        known: list[Awaitable[list[Taken]]] = []
        for (delivery, _), found in zip(placed, recorded, strict=True):
            if found.is_new:
                new.append(Taken(delivery, Outcome.RUN, found.job))
            else:
                known.append(self._or_back([delivery], self._take_over(delivery, found.job)))
        return new + list(chain.from_iterable(await asyncio.gather(*known)))

    async def _recorded(self, jobs: Sequence[Job]) -> list[Recorded]:
        latest = self._clock.now() + RECORD_WITHIN

        def too_late() -> StoreUnavailable | None:
            late = self._clock.now() >= latest
            return StoreUnavailable(f"not recorded in {RECORD_WITHIN}") if late else None

        return await self._retry.call(lambda: self._store.record(jobs), give_up=too_late)

    async def _give_up(self, poison: Sequence[GivenUp]) -> list[Taken]:
        await self._quarantine.keep(poison)
        for each in poison:
            message_id = each.delivery.message_id
            log.error("event quarantined", message_id=message_id, reason=each.detail)
        return [Taken(each.delivery, Outcome.QUARANTINED) for each in poison]

    async def _keep(self, delivery: Delivery, unknown: UnknownEventType) -> list[Taken]:
        log.warning("event kept", message_id=delivery.message_id, reason=str(unknown))
        await self._archive.keep(self._service, delivery)
        return [Taken(delivery, Outcome.KNOWN)]

    async def _resume(self, delivery: Delivery, request: ResumeRequested) -> list[Taken]:
        if request.service != self._service:
            return [Taken(delivery, Outcome.KNOWN)]
        job = await self._store.get(request.job_id)
        if job is None or job.service != self._service:
            log.warning("no such job", job_id=request.job_id)
            return [Taken(delivery, Outcome.KNOWN)]
        return await self._take_over(delivery, job)

    async def _take_over(self, delivery: Delivery, job: Job) -> list[Taken]:
        """Claim a job that failed or went silent; leave alone one that runs or has ended."""
        now = self._clock.now()
        if not self._is_claimable(job, now):
            return [Taken(delivery, Outcome.KNOWN)]
        try:
            claimed = await self._store.apply(job.claim(self._claim_name(), now, self._policy))
        except LeaseLost:  # somebody else was faster
            return [Taken(delivery, Outcome.KNOWN)]
        return [Taken(delivery, Outcome.RUN, claimed)]

    def _is_claimable(self, job: Job, now: datetime) -> bool:
        if job.status is Status.EXHAUSTED:
            log.error("job is exhausted: botdel jobs retry", job_id=job.id)
            return False
        if not job.is_resumable(now, self._policy):
            return False
        if job.is_spent(self._policy):
            log.error("attempts are spent: recovery will end the job", job_id=job.id)
            return False
        return True

    async def _settle(self, taken: Sequence[Taken]) -> None:
        """Whatever becomes of an ack, what was recorded is to be run: a repeat is known."""
        try:
            await self._subscription.ack([t.delivery for t in taken if t.outcome in ACKED])
            await self._subscription.nack([t.delivery for t in taken if t.outcome not in ACKED])
        except Exception:
            log.exception("acks lost", count=len(taken))

    def _job(self, subject: BotDeletionSubject, event: RequestPlaced) -> Job:
        return Job.placed(
            id=self._store.new_id(),
            service=self._service,
            bot_id=subject.bot_id,
            event_id=subject.event_id,
            placed_at=event.placed_at,
            steps=self._steps,
            by=self._claim_name(),
            now=self._clock.now(),
        )

    def _claim_name(self) -> str:
        """Unique to each claim, so that a repeated write knows its own result."""
        return f"{self._worker}/{secrets.token_hex(4)}"
