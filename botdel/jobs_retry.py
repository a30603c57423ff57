"""`botdel jobs retry`: an operator makes jobs pending again once the cause is gone."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from botdel.jobs import get
from botdel.options import object_id, one_of
from botdel.store import opened
from botdel.terminal import console, printable
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.clock import Clock, SystemClock
from deletion.errors import ConfigurationError, LeaseLost, TransitionError
from deletion.job import LeasePolicy, Status
from deletion.ports import JobStore, Read, Unreadable
from deletion.process.run import FAILED
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings
from deletion.retry import Retry
from deletion.silence import silent_pages
from deletion.skew import check_clock

RETRYABLE: Final = (Status.EXHAUSTED, Status.FAILED, Status.IN_PROGRESS)
"""The statuses that filters choose; a job in progress only if it is stale."""
BY_STATUS: Final = (*RETRYABLE, Status.COMPENSATED, Status.PENDING)
"""The statuses that --status accepts. Compensated and parked jobs are chosen only by name."""
PAGE: Final = 100
"""Jobs read and retried at a time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs to retry: those of `ids` or, without ids, those that match every filter.

    Filters choose at most `limit` jobs that may be retried, the longest silent first.
    """

    ids: Sequence[str] = ()
    service: str | None = None
    bot_id: str | None = None
    status: Status | None = None
    limit: int | None = None

    async def pages(
        self, store: JobStore, clock: Clock, policy: LeasePolicy
    ) -> AsyncIterator[Sequence[Read]]:
        """Yield the chosen jobs in pages. Raises `ConfigurationError` for an unknown id."""
        if self.ids:
            yield [await get(store, job_id) for job_id in self.ids]
            return
        left = self.limit
        for status in [self.status] if self.status else RETRYABLE:
            async for page in silent_pages(
                store, status, until=clock.now(), size=PAGE, retry=Retry(clock)
            ):
                now = clock.now()
                fitting = [j for j in page if self._fits(j) and _is_retryable(j, now, policy)]
                fitting = fitting[:left]
                yield fitting
                left = None if left is None else left - len(fitting)
                if left == 0:
                    return

    def _fits(self, job: Read) -> bool:
        if isinstance(job, Unreadable):
            return not (self.service or self.bot_id)
        return self.service in (None, job.service) and self.bot_id in (None, job.bot_id)


def chosen(
    ids: Sequence[str],
    service: str | None,
    bot: str | None,
    status: str | None,
    limit: int | None,
    *,
    everything: bool,
) -> Choice:
    """Return what the options choose. Raises `ConfigurationError` unless it is ids or filters."""
    filters = bool(service or bot or status)
    if bool(ids) == (filters or everything):
        raise ConfigurationError(
            "expected either ids, or at least one of --service, --bot, --status and --all"
        )
    if ids and limit:
        raise ConfigurationError("--limit works with --service, --bot, --status or --all, not ids")
    wanted = one_of([each for each in Status if each in BY_STATUS], "--status", status)
    bot_id = object_id(bot) if bot else None
    return Choice([object_id(each) for each in ids], service, bot_id, wanted, limit)


async def retry(choice: Choice, *, dry_run: bool, as_json: bool) -> int:
    """Make the chosen jobs pending. Returns 0, or 1 if one chosen by its id was refused.

    Raises what `send_on` raises.
    """
    settings, clock = load(JobsSettings), SystemClock()
    async with opened(MongoJobStore, settings) as store:
        tally = await send_on(choice, store, clock, settings.lease, dry_run=dry_run)
    if as_json:
        print(json.dumps({"retried": tally.retried, "refused": tally.refused, "dry_run": dry_run}))
    else:
        verb = "would be made pending" if dry_run else "pending again"
        out = console()
        for job_id in tally.retried if dry_run else ():
            out.print(f"  {job_id}")
        out.print(f"{len(tally.retried)} {verb}, {len(tally.refused)} refused")
        for job_id, why in tally.refused.items():
            out.print(printable(f"  {job_id}: {why}"))
        if tally.retried and not dry_run:
            one = tally.retried[0] if len(tally.retried) == 1 else "ID"
            out.print(f"`botdel jobs show {one}` shows its progress")
    return FAILED if tally.refused and choice.ids else 0


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcome of each job, by its id."""

    retried: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


async def send_on(
    choice: Choice, store: JobStore, clock: Clock, policy: LeasePolicy, *, dry_run: bool = False
) -> Tally:
    """Make the chosen jobs pending with `Job.retry`, for workers to claim.

    Filters silently skip jobs that are running or due. Raises `ClockSkew` before any job is
    changed: with a wrong clock, running jobs would look stale.
    """
    await check_clock(store, clock, policy)
    tally = Tally()
    async for page in choice.pages(store, clock, policy):
        now = clock.now()
        answers = await asyncio.gather(
            *(_retried(job, store, now, policy, dry_run=dry_run) for job in page)
        )
        for job, refusal in zip(page, answers, strict=True):
            if refusal:
                tally.refused[job.id] = refusal
            else:
                tally.retried.append(job.id)
    return tally


def _is_retryable(job: Read, now: datetime, policy: LeasePolicy) -> bool:
    return isinstance(job, Unreadable) or job.is_retryable(now, policy)


async def _retried(
    job: Read, store: JobStore, now: datetime, policy: LeasePolicy, *, dry_run: bool
) -> str | None:
    """Retry one job. Returns why it was refused, or None."""
    if isinstance(job, Unreadable):
        return f"it cannot be read: {job.reason}"
    if not job.is_retryable(now, policy):
        silent = f", last heard of {job.last_modified_at}" if job.live else ""
        return f"it is {job.status}{silent}: there is nothing to retry"
    try:
        if not dry_run:
            await store.apply(job.retry(now, policy))
    except TransitionError:
        return "another job of its bot is live: that one deletes what is left"
    except LeaseLost:
        return "it has changed in the meantime: look at it again"
    return None
