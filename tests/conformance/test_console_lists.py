"""One suite for the lists of the console: in memory, and on MongoDB over the wire."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from bson import ObjectId

from console.lists import (
    JobFilter,
    JobLists,
    JobState,
    LetterFilter,
    LetterGroup,
    LetterHead,
    LetterLists,
    Listed,
    Position,
    SweepLists,
)
from console.mongo_job_lists import MongoJobLists
from console.mongo_lists import MongoLetterLists, MongoSweepLists
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import COLLECTION as LETTERS
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.mongo.sweeps import COLLECTION as SWEEPS
from deletion.clock import SystemClock
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import STALE, Failure, Job, PastAttempt, Status
from deletion.ports import DeadLetterStore, JobStore, Unreadable
from deletion.sweep import Outcome, Sweep
from recovery.mongo_sweeps import MongoSweepStore
from recovery.ports import SweepStore
from tests.conformance.replicas import PARTS
from tests.support.clock import START
from tests.support.factories import BOT, OTHER_BOT, POLICY, a_letter, new_job
from tests.support.indexed import indexed
from tests.support.memory_lists import MemoryJobLists, MemoryLetterLists, MemorySweepLists
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore, MemorySweepStore

TICK, MINUTE, HOUR = timedelta(milliseconds=1), timedelta(minutes=1), timedelta(hours=1)
ALL = JobFilter()
SIZES = (1, 2, 50)
"""Of the pages by which a list is walked: with one, every page begins beyond a job."""

R = TypeVar("R")
P = TypeVar("P")


async def walk(
    page: Callable[[P | None], Awaitable[Sequence[R]]], place: Callable[[R], P]
) -> list[R]:
    """The records of all pages, one page after the other; the next begins at the last `place`."""
    rows = [*await page(None)]
    while more := await page(place(rows[-1])) if rows else ():
        rows += more
    return rows


@dataclass(frozen=True)
class Jobs:
    """The same jobs as runs write them, and as lists show them."""

    store: JobStore
    lists: JobLists

    async def put(self, *jobs: Job) -> None:
        for job in jobs:
            await self.store.record([job])

    async def walk(self, wanted: JobFilter, size: int, *, oldest_first: bool = False) -> list[str]:
        """The ids of all pages."""

        async def page(beyond: Position | None) -> Sequence[Listed]:
            return await self.lists.page(
                wanted, beyond=beyond, oldest_first=oldest_first, limit=size
            )

        return [each.position[1] for each in await walk(page, lambda listed: listed.position)]


@pytest.fixture(params=PARTS)
async def jobs(request: pytest.FixtureRequest, client: Client, database_name: str) -> Jobs:
    if request.param == "memory":
        memory = MemoryJobStore()
        return Jobs(memory, MemoryJobLists(memory, SystemClock(), POLICY))
    store = await indexed(MongoJobStore, client, database_name)
    services = await indexed(MongoServiceStore, client, database_name)
    await services.register(["conversations", "media", "chats"], START)
    return Jobs(store, MongoJobLists(client, database_name, SystemClock(), POLICY))


def some(count: int) -> list[Job]:
    """Jobs of several moments, some of the same, from seconds to years apart."""
    return [
        new_job(Status.EXHAUSTED, created_at=START - apart, last_modified_at=START - apart)
        for n in range(count)
        if (apart := timedelta(seconds=10 ** (n // 2 % 8)))
    ]


@pytest.mark.proves("console-lists")
@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
@pytest.mark.parametrize(
    "wanted", [ALL, JobFilter("conversations"), JobFilter(status=Status.EXHAUSTED)]
)
async def test_pages_show_every_job_once_and_in_order(
    jobs: Jobs, wanted: JobFilter, oldest_first: bool
) -> None:
    made = some(17)
    await jobs.put(*made)
    ordered = sorted(made, key=lambda job: (job.created_at, job.id), reverse=not oldest_first)
    for size in (1, 3, 16, 17, 50):
        assert await jobs.walk(wanted, size, oldest_first=oldest_first) == [j.id for j in ordered]


@pytest.mark.proves("console-lists")
@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("wanted", [ALL, JobFilter("conversations"), JobFilter(bot_id=BOT)])
async def test_jobs_of_one_moment_are_in_the_order_of_their_ids_whatever_their_status(
    jobs: Jobs, wanted: JobFilter, oldest_first: bool
) -> None:
    made = [
        new_job(
            list(Status)[n % 3],
            created_at=START + n // 9 * TICK,
            last_modified_at=START + n // 9 * TICK,
            bot_id=BOT if wanted.bot_id else str(ObjectId()),
            service=f"service-{n}" if wanted.bot_id else "conversations",
        )
        for n in range(27)
    ]
    await jobs.put(*sorted(made, key=lambda job: job.id, reverse=not oldest_first)[::-1])
    ordered = sorted(made, key=lambda job: (job.created_at, job.id), reverse=not oldest_first)
    for size in (2, 4, 9, 20):
        assert await jobs.walk(wanted, size, oldest_first=oldest_first) == [j.id for j in ordered]


def each_in_its_state() -> dict[str, Job]:
    """A job in each state that a filter tells from others, by a name, in the order of creation.

    Parked ones are due in another order, and seconds to days from now.
    """
    now = SystemClock().now()
    silences = tuple(PastAttempt(n, "w", "rows", 1, START, STALE) for n in (1, 2))
    handed_over = Failure("Interrupted", "stopped", now, interrupted=True)
    of: dict[str, tuple[Status, dict[str, Any]]] = {
        "failed": (Status.FAILED, {"service": "chats"}),
        "of the bot": (Status.EXHAUSTED, {"bot_id": BOT}),
        "stale": (Status.IN_PROGRESS, {"last_modified_at": now - 2 * POLICY.stale_after}),
        "stale for long": (Status.IN_PROGRESS, {"last_modified_at": now - HOUR}),
        "running": (Status.IN_PROGRESS, {"last_modified_at": now}),
        "due": (Status.PENDING, {"due": now - HOUR}),
        "parked": (Status.PENDING, {"due": now + 2 * MINUTE}),
        "parked at the same time": (Status.PENDING, {"due": now + 2 * MINUTE}),
        "parked for long": (Status.PENDING, {"due": now + 30 * HOUR, "bot_id": OTHER_BOT}),
        "parked for an hour": (Status.PENDING, {"due": now + HOUR, "service": "chats"}),
        "suspect": (Status.PENDING, {"due": now + MINUTE, "past_attempts": silences}),
        "of a clock ahead": (Status.FAILED, {"due": now + HOUR, "failure": handed_over}),
    }
    return {
        name: new_job(status, **({"service": "media", "created_at": START + n * TICK} | values))
        for n, (name, (status, values)) in enumerate(of.items())
    }


LATEST_DUE = (
    "parked for long",
    "parked for an hour",
    "parked at the same time",
    "parked",
    "suspect",
)
FILTERS: dict[str, tuple[JobFilter, Sequence[str]]] = {
    "service": (JobFilter("chats"), ("parked for an hour", "failed")),
    "status": (JobFilter("chats", status=Status.FAILED), ("failed",)),
    "bot": (JobFilter(bot_id=BOT), ("of the bot",)),
    "bot of another service": (JobFilter("chats", bot_id=BOT), ()),
    "bot in another status": (JobFilter(bot_id=BOT, status=Status.FAILED), ()),
    "stale": (JobFilter(state=JobState.STALE), ("stale", "stale for long")),
    "stale by creation": (
        JobFilter("media", state=JobState.STALE),
        ("stale for long", "stale"),
    ),
    "stale in another status": (JobFilter(status=Status.FAILED, state=JobState.STALE), ()),
    "parked": (JobFilter(state=JobState.PARKED), LATEST_DUE),
    "parked of a service": (
        JobFilter("media", state=JobState.PARKED),
        tuple(name for name in LATEST_DUE if name != "parked for an hour"),
    ),
    "parked of a bot": (JobFilter(bot_id=OTHER_BOT, state=JobState.PARKED), ("parked for long",)),
    "parked of another bot": (JobFilter(bot_id=BOT, state=JobState.PARKED), ()),
    "parked in another status": (JobFilter(status=Status.FAILED, state=JobState.PARKED), ()),
}


@pytest.mark.proves("console-lists")
@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS)
async def test_a_list_has_the_jobs_that_its_filters_match_in_both_orders(
    jobs: Jobs, wanted: JobFilter, expected: Sequence[str]
) -> None:
    made = each_in_its_state()
    await jobs.put(*made.values())
    names = {job.id: name for name, job in made.items()}
    for size in SIZES:
        newest = await jobs.walk(wanted, size)
        oldest = await jobs.walk(wanted, size, oldest_first=True)
        assert [names[each] for each in newest] == [*expected]
        assert oldest == newest[::-1]


async def test_a_parked_job_that_has_become_due_since_is_not_shown_on_the_next_page(
    jobs: Jobs,
) -> None:
    now = SystemClock().now()
    due = new_job(Status.PENDING, due=now - MINUTE)
    parked = new_job(Status.PENDING, due=now + HOUR)
    await jobs.put(due, parked)
    wanted = JobFilter(state=JobState.PARKED)
    for oldest_first, shown in ((True, [parked.id]), (False, [])):
        last = "0" * 24 if oldest_first else "f" * 24
        page = await jobs.lists.page(
            wanted, beyond=(now - MINUTE, last), oldest_first=oldest_first, limit=9
        )
        assert [each.position[1] for each in page] == shown


async def test_a_list_is_sorted_by_the_time_that_its_filter_says(jobs: Jobs) -> None:
    older = new_job(Status.FAILED, created_at=START - TICK, last_modified_at=START + TICK)
    newer = new_job(Status.FAILED, created_at=START, last_modified_at=START)
    await jobs.put(older, newer)
    assert await jobs.walk(JobFilter(status=Status.FAILED), 5) == [older.id, newer.id]
    assert await jobs.walk(JobFilter("conversations"), 5) == [newer.id, older.id]


async def test_completed_jobs_are_counted_between_two_times_up_to_a_limit(jobs: Jobs) -> None:
    times = [START - TICK, START, START + TICK, START + 2 * TICK]
    made = [new_job(Status.COMPLETE, last_modified_at=time) for time in times]
    await jobs.put(*made, new_job(Status.FAILED, last_modified_at=START))
    assert await jobs.lists.completed(START, START + 2 * TICK, 10) == 2
    assert await jobs.lists.completed(START, START + 2 * TICK, 1) == 1
    assert await jobs.lists.completed(START + 3 * TICK, START + 9 * TICK, 10) == 0


async def test_a_damaged_job_is_listed_beside_the_others(
    client: Client, database_name: str
) -> None:
    store = await indexed(MongoJobStore, client, database_name)
    damaged, whole = some(2)
    await store.record([damaged])
    await store.record([whole])
    change = {"$set": {"attempt": "many"}}
    await client[database_name][JOBS].update_one({"_id": ObjectId(damaged.id)}, change)
    lists = MongoJobLists(client, database_name, SystemClock(), POLICY)
    for wanted in (ALL, JobFilter("conversations")):
        found = await lists.page(wanted, beyond=None, oldest_first=False, limit=5)
        kinds = {each.position[1]: type(each.job) for each in found}
        assert kinds == {damaged.id: Unreadable, whole.id: Job}


@dataclass(frozen=True)
class Letters:
    """The same dead letters as they are recorded, and as lists show them."""

    store: DeadLetterStore
    lists: LetterLists


@pytest.fixture(params=PARTS)
async def letters(request: pytest.FixtureRequest, client: Client, database_name: str) -> Letters:
    if request.param == "memory":
        memory = MemoryDeadLetterStore()
        return Letters(memory, MemoryLetterLists(memory))
    store = await indexed(MongoDeadLetterStore, client, database_name)
    return Letters(store, MongoLetterLists(client, database_name))


async def test_new_letters_are_grouped_by_service_and_reason(letters: Letters) -> None:
    later = START + TICK
    await letters.store.record(
        [
            a_letter(service="media"),
            a_letter(service="media", last_seen_at=later),
            a_letter(service="media", reason=Reason.TOO_NEW),
            a_letter(service="", status=DeadLetterStatus.DISCARDED),
            a_letter(service="chats"),
        ]
    )
    assert await letters.lists.groups(100) == [
        LetterGroup("media", "undecodable", 2, later),
        LetterGroup("chats", "undecodable", 1, START),
        LetterGroup("media", "too_new", 1, START),
    ]
    assert sum(group.letters for group in await letters.lists.groups(2)) == 2


LETTERS_OF: dict[str, tuple[LetterFilter, Sequence[str]]] = {
    "all": (LetterFilter(), ("large", "old", "new")),
    "service": (LetterFilter(service="media"), ("large", "new")),
    "status": (LetterFilter(status=DeadLetterStatus.REPLAYED), ("old",)),
    "reason": (LetterFilter(reason=Reason.TOO_LARGE), ("large",)),
    "no match": (LetterFilter(service="chats", reason=Reason.TOO_LARGE), ()),
}


@pytest.mark.parametrize(("wanted", "expected"), LETTERS_OF.values(), ids=LETTERS_OF)
async def test_a_list_has_the_letters_that_its_filters_match_newest_first(
    letters: Letters, wanted: LetterFilter, expected: Sequence[str]
) -> None:
    made = {
        "new": a_letter(service="media"),
        "old": a_letter(status=DeadLetterStatus.REPLAYED),
        "large": a_letter(service="media", reason=Reason.TOO_LARGE),
    }
    await letters.store.record([*made.values()])
    for size in SIZES:

        async def page(before: str | None, size: int = size) -> Sequence[LetterHead | Unreadable]:
            return await letters.lists.heads(wanted, before=before, limit=size)

        heads = await walk(page, lambda head: head.id)
        assert [head.id for head in heads] == [made[name].id for name in expected]


async def test_a_listed_letter_has_no_bytes(letters: Letters) -> None:
    letter = a_letter()
    await letters.store.record([letter])
    [head] = await letters.lists.heads(LetterFilter(), before=None, limit=2)
    assert isinstance(head, LetterHead)
    assert not hasattr(head, "data")
    assert (head.service, head.reason, head.detail) == (
        letter.service,
        letter.reason,
        letter.detail,
    )


async def test_a_damaged_letter_is_listed_as_such(client: Client, database_name: str) -> None:
    store = await indexed(MongoDeadLetterStore, client, database_name)
    letter = a_letter()
    await store.record([letter])
    await client[database_name][LETTERS].update_one({}, {"$set": {"reason": "unheard of"}})
    lists = MongoLetterLists(client, database_name)
    [head] = await lists.heads(LetterFilter(), before=None, limit=9)
    assert isinstance(head, Unreadable)
    [group] = await lists.groups(9)
    assert group.reason == "unheard of"


@dataclass(frozen=True)
class Sweeps:
    """The same sweeps as recovery records them, and as lists show them."""

    store: SweepStore
    lists: SweepLists


@pytest.fixture(params=PARTS)
async def sweeps(request: pytest.FixtureRequest, client: Client, database_name: str) -> Sweeps:
    if request.param == "memory":
        memory = MemorySweepStore()
        return Sweeps(memory, MemorySweepLists(memory))
    store = await indexed(MongoSweepStore, client, database_name)
    return Sweeps(store, MongoSweepLists(client, database_name))


async def test_sweeps_are_listed_as_they_were_recorded_the_last_first(sweeps: Sweeps) -> None:
    ids = [sweeps.store.new_id() for _ in range(3)]
    for sweep_id, reason in zip(ids, ("", "no primary", ""), strict=True):
        sweep = Sweep.started(sweep_id, START)
        await sweeps.store.start(sweep, silent_since=START)
        counted = sweep.advanced(START + TICK, [Outcome.RESUMED, Outcome.SKIPPED])
        now = START + 2 * TICK
        await sweeps.store.save(counted.failed(now, reason) if reason else counted.completed(now))
    found = await sweeps.lists.newest(before=None, limit=9)
    assert [row.id for row in found] == ids[::-1]
    second = found[1]
    assert isinstance(second, Sweep)
    assert (second.status, second.error) == ("failed", "no primary")
    assert (second.resumed, second.exhausted, second.skipped) == (1, 0, 1)
    assert (second.started_at, second.finished_at) == (START, START + 2 * TICK)
    assert [row.id for row in await sweeps.lists.newest(before=ids[1], limit=9)] == ids[:1]
    assert [row.id for row in await sweeps.lists.newest(before=None, limit=1)] == ids[2:]


async def test_a_damaged_sweep_is_listed_as_such(client: Client, database_name: str) -> None:
    await client[database_name][SWEEPS].insert_one({"status": 7})
    [row] = await MongoSweepLists(client, database_name).newest(before=None, limit=9)
    assert isinstance(row, Unreadable)
