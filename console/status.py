"""Where a service stands with a request: its state, why, and since when. It reads no store.

request + job + dead letters + place in the queue → one state and one sentence for each service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from deletion.adapters.mongo.fields import DAMAGED
from deletion.clock import rfc3339
from deletion.dead_letter import DeadLetterStatus
from deletion.errors import with_type
from deletion.job import Failure, Job, LeasePolicy, Status
from deletion.ledger import EventLetter
from deletion.ports import Read, Unreadable
from deletion.request import DeletionRequest, Share, Waiver

MOST_COUNTED: Final = 10_000
"""How many jobs before a pending one are counted."""
MOST_CHARACTERS: Final = 500
"""Longest reason, in characters: it may quote a failure."""
DONE: Final = "everything is deleted, and was read back empty"
UNUSABLE: Final = (*DAMAGED, OverflowError)
"""What a job raises whose record can be read, but has a value that makes no sense."""


class ServiceState(StrEnum):
    """Where a service stands with a request."""

    MISSING = "missing"  # no job covers the request yet
    PENDING = "pending"  # its job waits for a worker
    PARKED = "parked"  # its job is due later, because an external API must not be called now
    IN_PROGRESS = "in_progress"  # its job is held by a run, or stale
    FAILED = "failed"  # its job rests, or waits for a sweep, or is handed over
    EXHAUSTED = "exhausted"  # its job's attempts are spent
    COMPENSATED = "compensated"  # its job was rolled back: the bot is not deleted
    COMPLETE = "complete"  # everything is deleted
    DEAD_LETTER = "dead_letter"  # its message is a dead letter that nobody has dealt with
    WAIVED = "waived"  # an operator decided that it does not owe the request
    UNREADABLE = "unreadable"  # the record of its job cannot be read


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Where one service stands. `reason` is one sentence, which may quote the text of others.

    `since` is when the state began (UTC); for a job in progress, when its run wrote last. `deleted`
    counts what the steps of the job have deleted; None when its record is gone or unreadable.
    """

    service: str
    state: ServiceState
    reason: str
    since: datetime
    job_id: str | None = None
    deleted: int | None = 0
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found about a share. `ahead` counts the claimable jobs of the same queue that are
    due earlier, up to `MOST_COUNTED`; None if it was not counted.
    """

    job: Read | None = None
    letters: Sequence[EventLetter] = ()
    ahead: int | None = None


def queue_of(job: Read | None, now: datetime) -> tuple[str, datetime] | None:
    """The queue in which the job waits for a worker, and since when it is due; None if it waits for
    anything else.
    """
    if not isinstance(job, Job) or not job.is_due(now):
        return None
    try:
        queue, due = job.queue, job.due
    except UNUSABLE:
        return None
    return (queue, due) if queue and due else None


def status_of(
    request: DeletionRequest, share: Share, found: Found, now: datetime, policy: LeasePolicy
) -> ServiceStatus:
    """Where the service of `share` stands with `request` at `now`."""
    if share.waiver and share.settled_at:
        reason = f"waived by {share.waiver.by}: {share.waiver.reason}"
        job_id = found.job.id if found.job else None
        deleted = _deleted(found.job)
        return _status(share, ServiceState.WAIVED, reason, share.settled_at, job_id, deleted)
    if share.settled_at:
        return _complete(share, share.settled_at, found.job)
    if found.job is None:
        return _without_job(request, share, found.letters)
    return _with_job(request, share, found, now, policy)


def _status(
    share: Share,
    state: ServiceState,
    reason: str,
    since: datetime,
    job_id: str | None = None,
    deleted: int | None = 0,
) -> ServiceStatus:
    if len(reason) > MOST_CHARACTERS:
        reason = reason[: MOST_CHARACTERS - 1] + "…"
    return ServiceStatus(share.service, state, reason, since, job_id, deleted, share.waiver)


def _complete(share: Share, settled_at: datetime, job: Read | None) -> ServiceStatus:
    """A share that a job has settled. The job's record may have expired since."""
    since, deleted = settled_at, None
    if isinstance(job, Job) and job.id == share.job_id:
        since, deleted = job.finished_at or settled_at, _deleted(job)
    return _status(share, ServiceState.COMPLETE, DONE, since, share.job_id, deleted)


def _without_job(
    request: DeletionRequest, share: Share, letters: Sequence[EventLetter]
) -> ServiceStatus:
    newest_first = sorted(letters, key=lambda letter: letter.letter_id, reverse=True)
    new = [letter for letter in newest_first if letter.status is DeadLetterStatus.NEW]
    if new:
        letter = new[0]
        why = f" ({letter.reason.replace('_', ' ')})" if letter.reason else ""
        reason = f"dead letter {letter.letter_id} is new{why}: replay or discard it"
        since = letter.first_seen_at or request.received_at
        return _status(share, ServiceState.DEAD_LETTER, reason, since)
    reason = (
        f"no job yet: no consumer of {share.service} has recorded the request; start one if none "
        "is running"
    )
    if newest_first:
        reason += f"; dead letter {newest_first[0].letter_id} was {newest_first[0].status}"
    if share.republished:
        times = "once" if share.republished == 1 else f"{share.republished:,} times"
        reason += f"; the request was published again {times}"
    return _status(share, ServiceState.MISSING, reason, request.received_at)


def _with_job(
    request: DeletionRequest, share: Share, found: Found, now: datetime, policy: LeasePolicy
) -> ServiceStatus:
    """The status that a job gives. One that cannot be read, or used, is shown as such."""
    job = found.job
    if isinstance(job, Job):
        try:
            state, reason = _of_job(job, found.ahead, now, policy)
            since = job.finished_at or job.last_modified_at
            return _status(share, state, reason, since, job.id, _deleted(job))
        except UNUSABLE as error:
            job = Unreadable(job.id, with_type(error), last_modified_at=job.last_modified_at)
    job_id, why = (job.id, job.reason) if job else (None, "")
    since = (job and job.last_modified_at) or request.received_at
    reason = f"the record of its job cannot be read: {why}"
    return _status(share, ServiceState.UNREADABLE, reason, since, job_id, None)


def _deleted(job: Read | None) -> int | None:
    """How much the steps of a job have deleted; None if its record cannot be read."""
    if job is None:
        return 0
    return sum(step.deleted for step in job.steps) if isinstance(job, Job) else None


def _of_job(
    job: Job, ahead: int | None, now: datetime, policy: LeasePolicy
) -> tuple[ServiceState, str]:
    """The state and the reason of a job that can be read."""
    match job.status:
        case Status.PENDING:
            return _pending(job, ahead, now)
        case Status.IN_PROGRESS:
            return ServiceState.IN_PROGRESS, _running(job, now, policy)
        case Status.FAILED:
            return ServiceState.FAILED, _failed(job, ahead, now, policy)
        case _:
            return ServiceState(job.status.value), _ended(job)


def _pending(job: Job, ahead: int | None, now: datetime) -> tuple[ServiceState, str]:
    if job.due and job.is_parked(now):
        return ServiceState.PARKED, f"parked until {rfc3339(job.due)}{_because(job.failure)}"
    queue = " among the jobs that have ended their process" if job.is_suspect else ""
    undo = ", to be rolled back" if job.rollback_cause else ""
    return ServiceState.PENDING, f"pending{_place(ahead)}{queue}{undo}"


def _failed(job: Job, ahead: int | None, now: datetime, policy: LeasePolicy) -> str:
    if job.is_handed_over:
        return f"handed over{_place(ahead)}: its run was interrupted, any worker may claim it"
    return f"failed{_next(job, now, policy)}{_because(job.failure)}"


def _ended(job: Job) -> str:
    """The reason of a job that no worker and no sweep moves on."""
    if job.status is Status.COMPLETE:
        return DONE
    if job.status is Status.COMPENSATED:
        return f"rolled back, the bot is not deleted{_because(job.rollback_cause)}"
    how = " to roll it back" if job.rollback_cause else ""
    return f"all attempts{how} are spent, an operator has to retry it{_because(job.failure)}"


def _place(ahead: int | None) -> str:
    if ahead is None:
        return ""
    if ahead >= MOST_COUNTED:
        return f" after at least {MOST_COUNTED:,} others"
    return f" at place {ahead + 1:,}"


def _running(job: Job, now: datetime, policy: LeasePolicy) -> str:
    where = _where(job)
    if job.is_stale(now, policy):
        silent = f"stale: silent since {rfc3339(job.last_modified_at)}, {where}"
        return f"{silent}{_next(job, now, policy)}"
    return f"{where}; {_deleted(job):,} deleted so far"


def _where(job: Job) -> str:
    """The step and the batch at which a run stands."""
    step, batch = job.place
    if step is None:
        return "reading back what was undone" if job.rollback_cause else "reading back"
    doing = "undoing" if job.rollback_cause else "running at"
    return f"{doing} step {step}, batch {batch:,}"


def _next(job: Job, now: datetime, policy: LeasePolicy) -> str:
    """What a sweep will do with a failed or stale job, and from when on."""
    rested_at = job.last_modified_at + job.rest(policy)
    if rested_at > now:
        return f" and resting until {rfc3339(rested_at)}"
    if not job.is_spent(policy):
        return ", the next sweep resumes it"
    ends = "rolls it back" if job.may_roll_back else "marks it as exhausted"
    return f", its attempts are spent: the next sweep {ends}"


def _because(failure: Failure | None) -> str:
    return f": {failure}" if failure else ""
