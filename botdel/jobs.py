"""`botdel jobs list|show`: show an operator where deletions stand."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from botdel.listing import Cell, note_cut_off, show
from botdel.options import object_id, one_of
from botdel.store import opened
from botdel.terminal import console, printable
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.clock import SystemClock
from deletion.errors import ConfigurationError
from deletion.job import (
    ROLLED_BACK,
    Direction,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepStatus,
)
from deletion.ports import Read, Unreadable
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings

COLUMNS: Final = ("job", "service", "bot", "status", "attempt", "deleted", "modified", "failure")
WHOLE: Final = ("job", "bot", "status", "attempt", "deleted")
SPARE: Final = ("service", "failure", "attempt", "modified", "deleted")
"""The columns that a narrow terminal leaves out, beginning with the last."""
SHOWN_FROM: Final = 0.05
"""Seconds. A step that its pace has throttled for less time gets no line."""
COLOURS = {
    Status.COMPLETE: "green",
    Status.COMPENSATED: "magenta",
    Status.FAILED: "yellow",
    Status.EXHAUSTED: "red",
    Status.IN_PROGRESS: "cyan",
    Status.PENDING: "blue",
}


async def show_list(
    service: str | None, bot: str | None, status: str | None, limit: int, *, as_json: bool
) -> None:
    """Print the newest `limit` jobs that match, and note on standard error if there are more.

    Raises `ConfigurationError` for an invalid filter.
    """
    wanted = one_of(Status, "--status", status)
    bot_id = object_id(bot) if bot else None
    settings = load(JobsSettings)
    async with opened(MongoJobStore, settings) as store:
        found = await store.find(service=service, bot_id=bot_id, status=wanted, limit=limit + 1)
    if as_json:
        print(json.dumps([as_dict(job) for job in found[:limit]]))
    else:
        tabulate(found[:limit], settings.lease)
    if len(found) > limit:
        note_cut_off(limit)


async def show_one(job_id: str, *, as_json: bool) -> None:
    """Print one job. Raises `ConfigurationError` if no job has this id."""
    settings = load(JobsSettings)
    async with opened(MongoJobStore, settings) as store:
        job = await store.get(object_id(job_id))
        if job is None:
            raise ConfigurationError(f"there is no job {job_id}", "`botdel jobs list` shows them")
        if as_json:
            print(json.dumps(as_dict(job)))
        else:
            describe(job, settings.lease)


def as_dict(job: Read) -> dict[str, object]:
    """Return the job for machines: the stored document, with ids as hex and times as RFC 3339."""
    if isinstance(job, Unreadable):
        return {"_id": job.id, "unreadable": job.reason}
    shown: dict[str, object] = json.loads(json.dumps(to_document(job), default=_plain))
    return shown


def tabulate(found: Sequence[Read], policy: LeasePolicy) -> None:
    """Print a line for each job, or that no job matches."""
    rows = [_row(job, policy) for job in found]
    show(console(), COLUMNS, rows, whole=WHOLE, spare=SPARE, nothing="no job matches")


def _row(job: Read, policy: LeasePolicy) -> Sequence[Cell]:
    if isinstance(job, Unreadable):
        return job.id, "", "", "unreadable", "", "", "", job.reason
    why = job.failure or job.rollback_cause
    return (
        job.id,
        job.service,
        job.bot_id,
        _status(job, policy),
        f"{job.attempt}/{policy.max_attempts}",
        f"{sum(step.deleted for step in job.steps):,}",
        f"{job.last_modified_at:%Y-%m-%d %H:%M:%S}",
        why.type if why else "",
    )


def _status(job: Job, policy: LeasePolicy) -> Text:
    now, marks = SystemClock().now(), []
    if job.is_stale(now, policy):
        marks.append("stale")
    elif job.status is Status.FAILED and job.due:
        marks.append("handed over")
    elif job.is_parked(now):
        marks.append("parked")
    if job.rollback_cause and job.live:
        marks.append("rolling back")
    more = f" ({', '.join(marks)})" if marks else ""
    return Text(f"{job.status}{more}", COLOURS[job.status])


def describe(job: Job, policy: LeasePolicy) -> None:
    """Print the job for a person: its state, its steps, and how far each attempt got."""
    out = console()
    attempt = f"  attempt {job.attempt}/{policy.max_attempts}"
    out.print(Text.assemble(f"job {job.id}  ", _status(job, policy), attempt))
    out.print(printable(f"service {job.service}, bot {job.bot_id}, event {job.event_id}"))
    requests = "1 request" if len(job.event_ids) == 1 else f"{len(job.event_ids)} requests"
    out.print(printable(f"requested by {job.requested_by or 'unknown'}, {requests}"))
    times = f"placed {job.placed_at}, last modified {job.last_modified_at}"
    held = f", last held by {job.claimed_by}" if job.claimed_by else ""
    out.print(printable(f"{times}{held}"))
    if job.due:
        out.print(printable(f"in queue {job.queue}, due {job.due}"))
    if job.failure:
        out.print(printable(f"failure at {job.failure.at}: {job.failure}"))
    if job.rollback_cause:
        cause = job.rollback_cause
        out.print(printable(f"rollback began at {cause.at}: {cause}"))
    if following := next_move(job, policy, SystemClock().now()):
        out.print(printable(f"next: {following}"))
    steps = Table("step", "status", "deleted", "batches", "slowest", "cursor")
    undone = reversed(job.compensations) if job.rollback_cause else ()
    undoing = ((f"undo {step.name}", step) for step in undone)
    for name, step in (*((step.name, step) for step in job.steps), *undoing):
        counts = (f"{step.deleted:,}", f"{step.batches:,}", f"{round(step.slowest, 3):g} s")
        steps.add_row(name, step.status, *counts, step.cursor or "")
    out.print(steps)
    for step in job.steps:
        if step.throttled and step.throttled.seconds >= SHOWN_FROM:
            out.print(printable(f"step {step.name} was throttled for {step.throttled}"))
    if job.past_attempts:
        past = Table(
            "attempt", "stood at", "last heard of", "ended as", "by", title="Past attempts"
        )
        for each in job.past_attempts:
            at = _stood_at(each)
            reason = "rolled back" if each.reason == ROLLED_BACK else each.reason
            past.add_row(str(each.attempt), at, f"{each.at}", reason, each.claimed_by)
        out.print(past)


def _stood_at(past: PastAttempt) -> str:
    """Return how far a past attempt got."""
    is_rollback = past.direction is Direction.BACKWARD
    if past.step is None:
        return "everything was undone" if is_rollback else "every step was done"
    return f"{'undo ' if is_rollback else ''}{past.step}, batch {past.batch:,}"


def next_move(job: Job, policy: LeasePolicy, now: datetime) -> str:
    """Return who moves the job next, and when; "" for a complete job, which nobody moves."""
    retry = f"`botdel jobs retry {job.id}`"
    if job.is_parked(now):
        return f"a worker claims it at {job.due}; {retry} does not wait for that"
    if job.is_due(now):
        return "any worker of the service claims it, as soon as one has a free slot"
    if job.status in {Status.EXHAUSTED, Status.COMPENSATED}:
        return f"nothing by itself: {_by_hand(job, retry)}"
    if job.status is Status.COMPLETE:
        return ""
    if not job.is_retryable(now, policy):
        silent = f"{policy.stale_after.total_seconds():g} s"
        return f"its run moves it on; if the run is silent for {silent}, the next sweep does"
    rested_at = job.last_modified_at + job.rest(policy)
    rests = f"it rests until {rested_at}; " if rested_at > now else ""
    which = "the first sweep after that" if rests else "the next sweep"
    return f"{rests}{which} {_by_sweep(job, policy, retry)}"


def _by_hand(job: Job, retry: str) -> str:
    if job.status is Status.COMPENSATED:
        undone = _rollback(job, "undone", "not undone")
        return f"{undone}; {retry} starts it again"
    if job.rollback_cause:
        return (
            f"remove the cause, then {retry} continues the rollback; once the job is compensated, "
            "a second retry starts it again"
        )
    return f"remove the cause, then {retry}"


def _by_sweep(job: Job, policy: LeasePolicy, retry: str) -> str:
    if not job.is_spent(policy):
        return f"resumes it; {retry} does not wait for it"
    if job.may_roll_back:
        undoes = _rollback(job, "will undo", "will not undo")
        return f"rolls it back ({undoes}); {retry} runs it forward once more instead"
    return f"marks it as exhausted; {retry} does not wait for it"


def _rollback(job: Job, undoes: str, keeps: str) -> str:
    """Return which of the begun steps a rollback `undoes`, and which it does not (`keeps`).

    A step in progress counts as begun: its call may have been made.
    """
    undone = [step.name for step in reversed(job.compensations)]
    begun = [step.name for step in job.steps if step.status is not StepStatus.PENDING]
    said = f"{undoes}: {', '.join(undone) or 'nothing'}"
    if stays := [name for name in begun if name not in undone]:
        they = "they have" if len(stays) > 1 else "it has"
        said += f"; {keeps}, because {they} no compensation: {', '.join(stays)}"
    return said


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
