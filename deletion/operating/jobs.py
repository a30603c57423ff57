"""Retrying jobs: an operator chooses them, and each becomes pending again for workers to claim."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from deletion.clock import Clock
from deletion.errors import LeaseLost, TransitionError, UnreadableJob
from deletion.job import Job, LeasePolicy, Status
from deletion.operating.acting import Tally, Unknown, act_on, attempt_of, by_ids, unwatched
from deletion.operating.bulk import Bulk
from deletion.operating.record import Looks, in_words
from deletion.ports import JobStore, Read, Unreadable
from deletion.retry import Retry
from deletion.silence import silent_pages
from deletion.skew import check_clock

RETRYABLE: Final = (Status.EXHAUSTED, Status.FAILED, Status.IN_PROGRESS)
"""The statuses that filters choose; a job in progress only if it is stale."""
PARKED: Final = "parked"
BY_STATUS: Final = (*RETRYABLE, Status.COMPENSATED, Status.PENDING)
"""The statuses that a filter may ask for. Compensated and parked jobs are chosen only by name."""
PAGE: Final = 100
"""Jobs read and retried at a time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs to retry: those of `ids` or, without ids, those that match every filter.

    Filters choose the longest silent first, until `limit` jobs are retried. With `parked`, which
    returns pages of jobs, they choose among these: a walk along the status would read every job
    that is due.
    """

    ids: Sequence[str] = ()
    service: str | None = None
    bot_id: str | None = None
    status: Status | None = None
    limit: int | None = None
    parked: Callable[[], AsyncIterator[Sequence[Read]]] | None = None

    @property
    def words(self) -> dict[str, str]:
        """The choice as the record of an action names it."""
        status = PARKED if self.parked else self.status
        return in_words(
            self.ids, service=self.service, bot=self.bot_id, status=status, limit=self.limit
        )

    async def pages(
        self, store: JobStore, clock: Clock, policy: LeasePolicy
    ) -> AsyncIterator[Sequence[Read | Unknown]]:
        """Yield the chosen jobs in pages. Filters pass over jobs that are running or due."""
        async for page in self.looked_at(store, clock, policy):
            yield [each for each in page if each]

    async def looked_at(
        self, store: JobStore, clock: Clock, policy: LeasePolicy
    ) -> AsyncIterator[Sequence[Read | Unknown | None]]:
        """As `pages`, with None for each job that was read and not chosen."""
        if self.ids:
            async for one in by_ids(self.ids, partial(read, store)):
                yield one
            return
        async for page in self.parked() if self.parked else self._silent(store, clock, policy):
            now = clock.now()
            yield [
                job if self._fits(job) and _may_be_retried(job, now, policy) else None
                for job in page
            ]

    async def _silent(
        self, store: JobStore, clock: Clock, policy: LeasePolicy
    ) -> AsyncIterator[Sequence[Read]]:
        for status in [self.status] if self.status else RETRYABLE:
            until = clock.now()
            if status is Status.IN_PROGRESS:
                until -= policy.stale_after  # all that tells of an unreadable record: it is silent
            async for page in silent_pages(
                store, status, until=until, size=PAGE, retry=Retry(clock)
            ):
                yield page

    def _fits(self, job: Read) -> bool:
        """Whether it matches the filters. A record whose service or bot cannot be read may."""
        return _may_be(job.service, self.service) and _may_be(job.bot_id, self.bot_id)


async def retry_jobs(
    choice: Choice,
    store: JobStore,
    clock: Clock,
    policy: LeasePolicy,
    tally: Tally,
    *,
    dry_run: bool = False,
    before: Callable[[Sequence[Job]], Awaitable[None]] = unwatched,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Make the chosen jobs pending with `Job.retry`, for workers to claim. `before` and `progress`
    are those of `act_on`.

    Raises `ClockSkew` before any job is changed: with a wrong clock, running jobs would look stale.
    """
    await check_clock(store, clock, policy)
    attempt = attempt_of(RetryJob(store, clock, policy), dry_run=dry_run)
    pages = choice.pages(store, clock, policy)
    await act_on(pages, attempt, tally, limit=choice.limit, before=before, progress=progress)


def retrying(choice: Choice, store: JobStore, clock: Clock, policy: LeasePolicy) -> Bulk[Job]:
    """Return the retry of the chosen jobs, to be previewed, then performed. As `retry_jobs`, it
    raises `ClockSkew` while the clock is wrong.
    """
    action = RetryJob(store, clock, policy)
    return Bulk(
        pages=lambda: choice.looked_at(store, clock, policy),
        get=partial(read, store),
        looks=looks_of_job,
        act=action,
        why_not=action.why_not,
        check=lambda: check_clock(store, clock, policy),
    )


def looks_of_job(job: Job) -> Looks:
    """What shows whether the job has moved."""
    return {
        "status": str(job.status),
        "attempt": job.attempt,
        "lastModifiedAt": job.last_modified_at,
    }


class RetryJob:
    """Makes a job pending."""

    def __init__(self, store: JobStore, clock: Clock, policy: LeasePolicy) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy

    async def __call__(self, job: Job) -> str | None:
        """Raises `StoreUnavailable`."""
        now = self._clock.now()
        if why := self._refusal(job, now):
            return why
        try:
            await self._store.apply(job.retry(now, self._policy))
        except TransitionError:
            return "another job of its bot is live: that one deletes what is left"
        except LeaseLost:
            return "it has changed in the meantime: look at it again"
        return None

    async def refusal(self, job: Job) -> str | None:
        """Return why there is nothing to retry, or None."""
        return self._refusal(job, self._clock.now())

    async def why_not(self, job: Job) -> str | None:
        """As `refusal`, without the time, so that the reasons of many jobs can be counted."""
        return self._refusal(job, self._clock.now(), is_brief=True)

    def _refusal(self, job: Job, now: datetime, *, is_brief: bool = False) -> str | None:
        if job.is_retryable(now, self._policy):
            return None
        if job.is_due(now):
            was = "was handed over and is" if job.is_handed_over else "is pending and"
            return (
                f"it {was} due, there is nothing to retry: a worker claims it; start a "
                f"consumer of `{job.service}` if none is running"
            )
        is_timed = job.live and not is_brief
        silent = f", last heard of {job.last_modified_at}" if is_timed else ""
        return f"it is {job.status}{silent}: there is nothing to retry"


def _may_be(found: str | None, wanted: str | None) -> bool:
    return wanted is None or found is None or found == wanted


async def read(store: JobStore, job_id: str) -> Read | None:
    """Return the job, or that it cannot be read, or None."""
    try:
        return await store.get(job_id)
    except UnreadableJob as error:
        return Unreadable(error.job_id, error.reason)


def _may_be_retried(job: Read, now: datetime, policy: LeasePolicy) -> bool:
    return isinstance(job, Unreadable) or job.is_retryable(now, policy)
