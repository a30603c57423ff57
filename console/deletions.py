"""Deletions as a status shows them: what a request asked for, and where each service stands.

The requests of a page are of one bot, so they cost few round trips however many there are: one for
the requests, one for their jobs, then one for dead letters beside a count for each job that waits.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from console.lists import Position
from console.ports import DeletionJobs
from console.status import MOST_COUNTED, Found, ServiceStatus, queue_of, status_of
from deletion.clock import Clock
from deletion.job import LeasePolicy
from deletion.ledger import EventLetter, EventLetters, ReadRequest, RequestFilter, RequestStore
from deletion.ports import Read, Unreadable
from deletion.process.answers import in_time
from deletion.request import DeletionRequest, RequestState, Share

MOST_PLACES: Final = 50
"""For how many waiting jobs their place in the queue is counted; a bot has one for each service."""
MOST_STATES: Final = 1000
"""The most services that a page shows, of all its requests together."""
PLACE_SECONDS: Final = 2.0
"""How long counting may take: a job in a long queue is then shown without its place."""

Jobs = Mapping[tuple[str, str], Read]
"""Jobs by service and event."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A request, where it stands as a whole, and where each service that owed it stands."""

    request: DeletionRequest
    state: RequestState
    services: tuple[ServiceStatus, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some requests of a bot, the last received first. `unreadable` are those of the same page
    whose records cannot be read. The next page begins below `next`; None on the last page.
    """

    deletions: tuple[Deletion, ...]
    unreadable: tuple[Unreadable, ...]
    next: Position | None


class Deletions:
    """Reads deletions. Raises `StoreUnavailable` when the database does not answer in time.

    What is read is of several moments: a job that moves meanwhile may be shown as it was before.
    """

    def __init__(
        self,
        requests: RequestStore,
        jobs: DeletionJobs,
        letters: EventLetters,
        clock: Clock,
        policy: LeasePolicy,
    ) -> None:
        self._requests = requests
        self._jobs = jobs
        self._letters = letters
        self._clock = clock
        self._policy = policy

    async def get(self, event_id: str) -> Deletion | Unreadable | None:
        """The deletion that the event asked for; None if no such request is recorded."""
        return await in_time(self._get(event_id))

    async def of_bot(self, bot_id: str, *, before: Position | None, limit: int) -> Page:
        """At most `limit` requests for the deletion of the bot, from below `before`.

        Fewer if they would show more than `MOST_STATES` services, but at least one request.
        """
        return await in_time(self._of_bot(bot_id, before, limit))

    async def _get(self, event_id: str) -> Deletion | Unreadable | None:
        for request in await self._requests.get([event_id]):
            if isinstance(request, Unreadable):
                return request
            [deletion] = await self._with_services(request.bot_id, [request])
            return deletion
        return None

    async def _of_bot(self, bot_id: str, before: Position | None, limit: int) -> Page:
        found = await self._requests.find(
            RequestFilter(bot_id=bot_id), self._clock.now(), before=before, limit=limit + 1
        )
        page = _bounded(found[:limit])
        readable = [request for request in page if isinstance(request, DeletionRequest)]
        return Page(
            await self._with_services(bot_id, readable),
            tuple(request for request in page if isinstance(request, Unreadable)),
            _end(page) if len(found) > len(page) else None,
        )

    async def _with_services(
        self, bot_id: str, requests: Sequence[DeletionRequest]
    ) -> tuple[Deletion, ...]:
        """The requests, all of one bot, with where their services stand."""
        now = self._clock.now()
        jobs = await self._jobs_of(bot_id, requests)
        lacking = {
            (share.service, request.id)
            for request in requests
            for share in request.shares
            if share.is_owed and (share.service, request.id) not in jobs
        }
        letters, ahead = await asyncio.gather(self._letters_of(lacking), self._ahead(jobs, now))

        def found(request: DeletionRequest, share: Share) -> Found:
            key = share.service, request.id
            job = jobs.get(key)
            return Found(job, letters.get(key, ()), ahead.get(job.id) if job else None)

        def stands(request: DeletionRequest, share: Share) -> ServiceStatus:
            return status_of(request, share, found(request, share), now, self._policy)

        deletions = list[Deletion]()
        for request in requests:
            services = tuple(stands(request, share) for share in request.shares)
            deletions.append(Deletion(request, request.state(now), services))
            await asyncio.sleep(0)  # let others run: a request may have 500 services
        return tuple(deletions)

    async def _jobs_of(self, bot_id: str, requests: Sequence[DeletionRequest]) -> Jobs:
        services = {share.service for request in requests for share in request.shares}
        found = await self._jobs.covering(bot_id, services, [request.id for request in requests])
        return {(each.service, event): each.job for each in found for event in each.event_ids}

    async def _letters_of(
        self, lacking: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[EventLetter]]:
        """The dead letters of the shares that have no job, by service and event."""
        by_share: dict[tuple[str, str], list[EventLetter]] = {}
        for letter in await self._letters.of_events(lacking) if lacking else ():
            by_share.setdefault((letter.service, letter.event_id), []).append(letter)
        return by_share

    async def _ahead(self, jobs: Jobs, now: datetime) -> Mapping[str, int]:
        """How many jobs wait before each of those that wait for a worker, by the id of the job.
        Empty if that cannot be counted in time.
        """
        waiting = {job.id: place for job in jobs.values() if (place := queue_of(job, now))}
        counted = dict([*waiting.items()][:MOST_PLACES])
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                counts = await asyncio.gather(
                    *(self._jobs.count_due(*place, MOST_COUNTED) for place in counted.values())
                )
        except TimeoutError:
            return {}
        return dict(zip(counted, counts, strict=True))


def _bounded(page: Sequence[ReadRequest]) -> Sequence[ReadRequest]:
    """The first requests of the page, with at most `MOST_STATES` services; at least one request."""
    states = 0
    for at, each in enumerate(page):
        own = 0 if isinstance(each, Unreadable) else len(each.shares)
        if states and states + own > MOST_STATES:
            return page[:at]
        states += own
    return page


def _end(page: Sequence[ReadRequest]) -> Position | None:
    """Where the page ends: at the last of its requests whose time of receipt can be read. Requests
    after that one are shown again on the next page.
    """
    positions = (position_of(request) for request in reversed(page))
    return next((position for position in positions if position), None)


def position_of(request: ReadRequest) -> Position | None:
    """Where the request stands in a list; None if its time of receipt cannot be read."""
    at = request.last_modified_at if isinstance(request, Unreadable) else request.received_at
    return (at, request.id) if at else None
