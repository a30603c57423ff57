"""`botdel jobs list|show`: show an operator where deletions stand."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from botdel.listing import Cell, note_cut_off, show
from botdel.options import object_id, one_of
from botdel.store import opened, present
from botdel.terminal import console, printable
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.clock import SystemClock, rfc3339
from deletion.job import ROLLED_BACK, Direction, Job, LeasePolicy, PastAttempt, Status
from deletion.operating.next_move import next_move
from deletion.ports import Read, Unreadable
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings

COLUMNS: Final = ("job", "service", "bot", "status", "attempt", "deleted", "modified", "failure")
WHOLE: Final = ("job", "bot", "status", "attempt", "deleted")
SPARE: Final = ("service", "deleted", "failure", "attempt", "modified")
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
    bot_id = object_id(bot, "--bot") if bot else None
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
        found = await store.get(object_id(job_id, "JOB_ID"))
    job = present("job", job_id, found, shown_by="botdel jobs list")
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
    show(
        console(),
        COLUMNS,
        rows,
        whole=WHOLE,
        spare=SPARE,
        nothing="no job matches",
        in_full="botdel jobs show ID",
    )


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
    elif job.is_handed_over:
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
    times = f"placed {rfc3339(job.placed_at)}, last modified {rfc3339(job.last_modified_at)}"
    held = f", last held by {job.claimed_by}" if job.claimed_by else ""
    out.print(printable(f"{times}{held}"))
    if job.due:
        out.print(printable(f"in queue {job.queue}, due {rfc3339(job.due)}"))
    if job.failure:
        out.print(printable(f"failure at {rfc3339(job.failure.at)}: {job.failure}"))
    if job.rollback_cause:
        cause = job.rollback_cause
        out.print(printable(f"rollback began at {rfc3339(cause.at)}: {cause}"))
    if following := next_move(job, policy, SystemClock().now()):
        out.print(printable(f"next: {following}"))
    out.print(_steps(job))
    for step in job.steps:
        if step.throttled and step.throttled.seconds >= SHOWN_FROM:
            out.print(printable(f"step {step.name} was throttled for {step.throttled}"))
    if job.past_attempts:
        out.print(_past_attempts(job))


def _steps(job: Job) -> Table:
    """Return the steps and, if the job is rolled back, what undoes them, in that order."""
    lines = [(step.name, step) for step in job.steps]
    if job.rollback_cause:
        lines += [(f"undo {step.name}", step) for step in reversed(job.compensations)]
    table = Table("step", "status", "deleted", "batches", "slowest", "cursor")
    for name, step in lines:
        counts = (f"{step.deleted:,}", f"{step.batches:,}", f"{round(step.slowest, 3):g} s")
        table.add_row(name, step.status, *counts, step.cursor or "")
    return table


def _past_attempts(job: Job) -> Table:
    table = Table("attempt", "stood at", "last heard of", "ended as", "by", title="Past attempts")
    for past in job.past_attempts:
        reason = "rolled back" if past.reason == ROLLED_BACK else past.reason
        table.add_row(str(past.attempt), _stood_at(past), rfc3339(past.at), reason, past.claimed_by)
    return table


def _stood_at(past: PastAttempt) -> str:
    """Return how far a past attempt got."""
    is_rollback = past.direction is Direction.BACKWARD
    if past.step is None:
        return "everything was undone" if is_rollback else "every step was done"
    return f"{'undo ' if is_rollback else ''}{past.step}, batch {past.batch:,}"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
