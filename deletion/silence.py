"""Walking the jobs of a status by their silence, in pages: memory holds one page."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final

from deletion.job import Status
from deletion.ports import JobStore, Read
from deletion.retry import Retry

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def silent_pages(
    jobs: JobStore, status: Status, *, until: datetime, size: int, retry: Retry
) -> AsyncIterator[Sequence[Read]]:
    """Pages of at most `size` jobs of `status` last modified by `until`, the longest silent first.

    A job that is moved meanwhile is no longer silent, so it is not read again; one that is not
    moved is before `since`, or among those to skip; so is one whose time cannot be read. Raises
    `StoreUnavailable` when `retry` is used up.
    """
    since, seen, timeless = EPOCH, set[str](), set[str]()

    async def read() -> Sequence[Read]:
        return await jobs.silent(status, since=since, until=until, skip=seen | timeless, limit=size)

    while page := await retry.call(read):
        yield page
        timeless |= {job.id for job in page if job.last_modified_at is None}
        last = max((job.last_modified_at for job in page if job.last_modified_at), default=since)
        ties = {job.id for job in page if job.last_modified_at == last}
        since, seen = last, ties | seen if last == since else ties
