"""Which jobs the form of a list of jobs chooses for a retry."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

from console.lists import JobFilter, JobLists, JobState, Position
from console.pages import asked
from deletion.clock import Clock
from deletion.operating.jobs import BY_STATUS, PAGE, Choice
from deletion.ports import Read
from deletion.retry import Retry


def choice_of(wanted: JobFilter, lists: JobLists, clock: Clock) -> Choice:
    """The jobs that match the filters of a list. Raises a 422 problem for a status of which none
    can be retried.
    """
    status = wanted.state.status if wanted.state else wanted.status
    if status not in (None, *BY_STATUS):
        raise asked.wrong("status", f"expected one of {', '.join((*BY_STATUS, *JobState))}")
    choice = Choice(service=wanted.service, bot_id=wanted.bot_id, status=status)
    if status is not JobState.PARKED.status:
        return choice
    only_parked = replace(wanted, status=None, state=JobState.PARKED)
    return replace(choice, parked=partial(_pages, only_parked, lists, clock))


async def _pages(wanted: JobFilter, lists: JobLists, clock: Clock) -> AsyncIterator[Sequence[Read]]:
    """The pages of a list, the first due first. Raises `StoreUnavailable`."""
    beyond: Position | None = None
    retry = Retry(clock)
    while page := await retry.call(
        partial(lists.page, wanted, beyond=beyond, oldest_first=True, limit=PAGE)
    ):
        yield [each.job for each in page]
        beyond = page[-1].position
