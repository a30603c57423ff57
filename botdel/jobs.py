"""`botdel jobs list|show`: for the operator who looks at deletions that do not complete."""

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
from deletion.job import Job, LeasePolicy, Status
from deletion.ports import JobStore, Read, Unreadable
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings

COLUMNS: Final = ("job", "service", "bot", "status", "attempt", "deleted", "modified", "failure")
WHOLE: Final = ("job", "bot", "status", "attempt", "deleted")
SPARE: Final = ("service", "failure", "attempt", "modified", "deleted")
"""The columns that a narrow terminal leaves out, the last first."""
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
    """Print the newest jobs that fit, and on standard error whether there are more than `limit`.

    Raises `ConfigurationError` for a wrong filter.
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
    """Print one job. Raises `ConfigurationError` when there is none of that id."""
    settings = load(JobsSettings)
    async with opened(MongoJobStore, settings) as store:
        job = await get(store, job_id)
        if as_json:
            print(json.dumps(as_dict(job)))
        else:
            describe(job, settings.lease)


def as_dict(job: Read) -> dict[str, object]:
    """The job for machines: the stored document, ids as hex, times as RFC 3339."""
    if isinstance(job, Unreadable):
        return {"_id": job.id, "unreadable": job.reason}
    shown: dict[str, object] = json.loads(json.dumps(to_document(job), default=_plain))
    return shown


async def get(store: JobStore, job_id: str) -> Job:
    job = await store.get(object_id(job_id))
    if job is None:
        raise ConfigurationError(f"there is no job {job_id}: `botdel jobs list` shows them")
    return job


def tabulate(found: Sequence[Read], policy: LeasePolicy) -> None:
    """Print a line for each job, or that there is none."""
    rows = [_row(job, policy) for job in found]
    show(console(), COLUMNS, rows, whole=WHOLE, spare=SPARE, nothing="no job fits")


def _row(job: Read, policy: LeasePolicy) -> Sequence[Cell]:
    if isinstance(job, Unreadable):
        return job.id, "", "", "unreadable", "", "", "", job.reason
    return (
        job.id,
        job.service,
        job.bot_id,
        _status(job, policy),
        f"{job.attempt}/{policy.max_attempts}",
        f"{sum(step.deleted for step in job.steps):,}",
        f"{job.last_modified_at:%Y-%m-%d %H:%M:%S}",
        job.failure.type if job.failure else "",
    )


def _status(job: Job, policy: LeasePolicy) -> Text:
    more = ""
    if job.is_stale(SystemClock().now(), policy):
        more = " (stale)"
    elif job.status is Status.FAILED and job.due:
        more = " (handed over)"
    return Text(f"{job.status}{more}", COLOURS[job.status])


def describe(job: Job, policy: LeasePolicy) -> None:
    """Print the job for a person: where it stands, its steps, and where each attempt stood."""
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
        failure = f"{job.failure.type}: {job.failure.message}"
        out.print(printable(f"failure at {job.failure.at}: {failure}"))
    if job.turned_back:
        why = f"{job.turned_back.type}: {job.turned_back.message}"
        out.print(printable(f"going backwards since {job.turned_back.at}: {why}"))
    if following := next_move(job, policy, SystemClock().now()):
        out.print(printable(f"next: {following}"))
    steps = Table("step", "status", "deleted", "batches", "slowest", "cursor")
    owed = ((f"undo {owed.name}", owed) for owed in reversed(job.compensations))
    for name, step in (*((step.name, step) for step in job.steps), *owed):
        counts = (f"{step.deleted:,}", f"{step.batches:,}", f"{step.slowest:g} s")
        steps.add_row(name, step.status, *counts, step.cursor or "")
    out.print(steps)
    for step in job.steps:
        if step.throttled:
            out.print(printable(f"step {step.name} was held back for {step.throttled}"))
    if job.past_attempts:
        past = Table(
            "attempt", "stood at", "last heard of", "ended as", "by", title="Past attempts"
        )
        for each in job.past_attempts:
            at = f"{each.step}, batch {each.batch:,}" if each.step else "every step was done"
            past.add_row(str(each.attempt), at, f"{each.at}", each.reason, each.claimed_by)
        out.print(past)


def next_move(job: Job, policy: LeasePolicy, now: datetime) -> str:
    """Who moves the job onwards, and when; "" when nobody has to, or it says so elsewhere."""
    retry = f"`botdel jobs retry {job.id}`"
    if job.status is Status.EXHAUSTED:
        return f"nothing by itself: remove the cause, then {retry}"
    if job.status is Status.COMPENSATED:
        return f"nothing by itself: what it had begun is undone; {retry} starts it anew"
    if not job.is_retryable(now, policy):
        return ""
    spent = "turns it back" if job.may_turn_back else "gives it up as exhausted"
    moved = spent if job.is_spent(policy) else "resumes it"
    rested_at = job.last_modified_at + job.rest(policy)
    rests = f"it rests until {rested_at}; " if rested_at > now else ""
    which = "the first sweep after that" if rests else "the next sweep"
    return f"{rests}{which} {moved}; {retry} does not wait for it"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
