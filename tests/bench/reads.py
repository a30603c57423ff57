"""What the console reads for each of its lists, for the overview and for a status."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from console.deletions import Deletions
from console.lists import JobFilter, Position
from console.mongo_job_lists import MongoJobLists
from console.mongo_jobs import MongoDeletionJobs
from console.mongo_lists import MongoLetterLists, MongoSweepLists
from console.overview import Overviews
from console.pages.asked import LISTED
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.census import MongoCensus
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.requests import COLLECTION as REQUESTS
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock
from deletion.job import LeasePolicy, Status
from deletion.ledger import RequestFilter
from deletion.request import RequestState
from tests.bench.crowd import NOW, SERVICES, SPAN

Read = Callable[[], Awaitable[object]]
SERVICE: Final = SERVICES[-1]
LEASE: Final = LeasePolicy(timedelta(minutes=10), max_attempts=5)
MIDDLE: Final = NOW - SPAN / 2


class Then(SystemClock):
    """The machine's clock, but it is always the time at which the crowd is looked at."""

    def now(self) -> datetime:
        """Always the same."""
        return NOW


async def reads(client: Client, database: str) -> dict[str, Read]:
    """Each by what it shows."""
    return {
        **await _jobs(client, database),
        **await _requests(client, database),
        **_overviews(client, database),
        **await _single(client, database),
    }


async def _jobs(client: Client, database: str) -> dict[str, Read]:
    """Each filter in both orders: the first page, and one that begins in the middle of the time."""
    lists = MongoJobLists(client, database, Then(), LEASE)
    some = await client[database][JOBS].find_one({"status": Status.FAILED.value})
    bot = str(some["botId"]) if some else None
    filters = {
        "jobs": JobFilter(),
        "jobs complete": JobFilter(status=Status.COMPLETE),
        "jobs failed": JobFilter(status=Status.FAILED),
        "jobs of a service": JobFilter(SERVICE),
        "jobs of a service, complete": JobFilter(SERVICE, status=Status.COMPLETE),
        "jobs of a service, failed": JobFilter(SERVICE, status=Status.FAILED),
        "jobs of a bot": JobFilter(bot_id=bot),
        "jobs of a bot and a service": JobFilter(SERVICE, bot),
        "jobs of a bot, failed": JobFilter(bot_id=bot, status=Status.FAILED),
    }
    middle: Position = (MIDDLE, "f" * 24)
    places: dict[str, tuple[Position | None, bool]] = {
        "newest": (None, False),
        "from the middle": (middle, False),
        "oldest": (None, True),
        "from the middle on": (middle, True),
    }
    return {
        f"{what}, {place}": partial(
            lists.page, wanted, beyond=beyond, oldest_first=oldest_first, limit=LISTED + 1
        )
        for what, wanted in filters.items()
        for place, (beyond, oldest_first) in places.items()
    }


async def _requests(client: Client, database: str) -> dict[str, Read]:
    store = MongoRequestStore(client, database)
    some = await client[database][REQUESTS].find_one({"open": True})
    filters = {
        "requests": RequestFilter(),
        "requests settled": RequestFilter(state=RequestState.SETTLED),
        "requests open": RequestFilter(state=RequestState.OPEN),
        "requests overdue": RequestFilter(state=RequestState.OVERDUE),
        "requests owed by a service": RequestFilter(owed_by=SERVICE),
        "requests of a bot": RequestFilter(bot_id=str(some["botId"]) if some else None),
    }
    places = {"newest": None, "from the middle": (MIDDLE, "f" * 36)}
    return {
        f"{what}, {place}": partial(store.find, wanted, NOW, before=before, limit=LISTED + 1)
        for what, wanted in filters.items()
        for place, before in places.items()
    }


def _overviews(client: Client, database: str) -> dict[str, Read]:
    """One that has counted nothing yet, and one that counts jobs every ten seconds."""

    def overviews() -> Overviews:
        return Overviews(
            requests=MongoRequestStore(client, database),
            census=MongoCensus(client, database),
            jobs=MongoJobLists(client, database, Then(), LEASE),
            letters=MongoLetterLists(client, database),
            breakers=MongoBreakerStore(client, database),
            sweeps=MongoSweepLists(client, database),
            clock=Then(),
        )

    shown = overviews()
    return {"overview, first": lambda: overviews().take(), "overview, again": shown.take}


async def _single(client: Client, database: str) -> dict[str, Read]:
    """A request that is settled, one whose jobs wait, and a job."""
    letters = MongoDeadLetterStore(client, database)
    requests, jobs = MongoRequestStore(client, database), MongoDeletionJobs(client, database)
    deletions = Deletions(requests, jobs, letters, Then(), LEASE)
    [settled] = await requests.find(RequestFilter(), NOW, before=(MIDDLE, ""), limit=1)
    [waiting] = await requests.find(RequestFilter(state=RequestState.OPEN), NOW, limit=1)
    job = await client[database][JOBS].find_one({"status": Status.PENDING.value})
    return {
        "a deletion that is done": partial(deletions.get, settled.id),
        "a deletion that waits": partial(deletions.get, waiting.id),
        "a job": partial(MongoJobStore(client, database).get, str(job["_id"]) if job else ""),
    }
