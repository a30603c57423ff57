"""Walks the jobs of a status, the longest silent first, with one page in memory at a time."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

from deletion.job import Status
from deletion.ports import JobStore, Read
from deletion.retry import Retry

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Ends a range that has to contain every stored time, also one of a clock that is ahead."""


async def silent_pages(
    jobs: JobStore, status: Status, *, until: datetime, size: int, retry: Retry
) -> AsyncIterator[Sequence[Read]]:
    """Pages of at most `size` jobs of `status` last modified by `until`, the longest silent first.

    No job is read twice. A job that was moved is no longer silent; one that was not moved is older
    than the next page, or skipped by its id. Jobs whose time cannot be read are skipped by their
    ids too. Raises `StoreUnavailable` when all tries of `retry` have failed.
    """
    since, seen, timeless = EPOCH, set[str](), set[str]()

    async def read() -> Sequence[Read]:
        return await jobs.silent(status, since=since, until=until, skip=seen | timeless, limit=size)

    while page := await retry.call(read):
        yield page
        timeless |= {job.id for job in page if job.last_modified_at is None}
        last = max((job.last_modified_at for job in page if job.last_modified_at), default=since)
        ties = {job.id for job in page if job.last_modified_at == last}
        if last == since:
            seen |= ties
        else:
            since, seen = last, ties
