"""One suite for the lists of the console: in memory, and on MongoDB over the wire."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

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
    SweepLists,
)
from console.mongo_job_lists import MongoJobLists
from console.mongo_lists import MongoLetterLists, MongoSweepLists
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import COLLECTION as LETTERS
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import COLLECTION as JOBS
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.sweeps import COLLECTION as SWEEPS
from deletion.clock import SystemClock, truncated
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Job, Status
from deletion.ports import DeadLetterStore, JobStore, Unreadable
from deletion.sweep import Outcome, Sweep
from recovery.mongo_sweeps import MongoSweepStore
from recovery.ports import SweepStore
from tests.conformance.replicas import PARTS
from tests.support.clock import START
from tests.support.factories import BOT, POLICY, a_letter, new_job
from tests.support.indexed import indexed
from tests.support.memory_lists import MemoryJobLists, MemoryLetterLists, MemorySweepLists
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore, MemorySweepStore

TICK = timedelta(milliseconds=1)
ALL = JobFilter()


@dataclass(frozen=True)
class Jobs:
    """The same jobs as runs write them, and as lists show them."""

    store: JobStore
    lists: JobLists

    async def put(self, *jobs: Job) -> None:
        for job in jobs:
            await self.store.record([job])

    async def walk(self, wanted: JobFilter, size: int, *, oldest_first: bool = False) -> list[str]:
        """The ids of all pages, one after the other."""
        ids: list[str] = []
        page = await self.page(wanted, size, oldest_first=oldest_first)
        while page:
            ids += [each.position[1] for each in page]
            page = await self.page(
                wanted, size, oldest_first=oldest_first, beyond=page[-1].position
            )
        return ids

    async def page(self, wanted: JobFilter, size: int, **more: Any) -> list[Listed]:
        options = {"beyond": None, "oldest_first": False} | more
        return [*await self.lists.page(wanted, limit=size, **options)]


@pytest.fixture(params=PARTS)
async def jobs(request: pytest.FixtureRequest, client: Client, database_name: str) -> Jobs:
    if request.param == "memory":
        memory = MemoryJobStore()
        return Jobs(memory, MemoryJobLists(memory, SystemClock(), POLICY))
    store = await indexed(MongoJobStore, client, database_name)
    return Jobs(store, MongoJobLists(client, database_name, SystemClock(), POLICY))


def some(count: int, **values: Any) -> list[Job]:
    """Jobs of several moments, some of the same, from seconds to years apart."""
    return [
        new_job(
            Status.EXHAUSTED,
            **({"created_at": START - apart, "last_modified_at": START - apart} | values),
        )
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


async def test_a_list_holds_what_every_filter_matches(jobs: Jobs) -> None:
    of_bot = new_job(Status.EXHAUSTED, bot_id=BOT, service="media")
    failed = new_job(Status.FAILED, service="media")
    other = new_job(Status.FAILED, service="chats")
    await jobs.put(of_bot, failed, other)

    async def found(**wanted: Any) -> set[str]:
        return {each.position[1] for each in await jobs.page(JobFilter(**wanted), 10)}

    assert await found() == {of_bot.id, failed.id, other.id}
    assert await found(service="media") == {of_bot.id, failed.id}
    assert await found(status=Status.FAILED) == {failed.id, other.id}
    assert await found(service="media", status=Status.FAILED) == {failed.id}
    assert await found(bot_id=BOT) == {of_bot.id}
    assert await found(bot_id=BOT, service="chats") == set()
    assert await found(bot_id=BOT, status=Status.FAILED) == set()


@pytest.mark.parametrize("service", [None, "media"], ids=["all services", "one service"])
async def test_parked_and_stale_jobs_are_told_from_others_of_their_status(
    jobs: Jobs, service: str | None
) -> None:
    now = truncated(datetime.now(UTC))
    hour = timedelta(hours=1)
    silent = now - 2 * POLICY.stale_after
    of = {"service": "media", "created_at": now - hour}
    parked = new_job(Status.PENDING, due=now + hour, last_modified_at=now, **of)
    due = new_job(Status.PENDING, due=now - hour, last_modified_at=now, **of)
    older, stale = (
        new_job(Status.IN_PROGRESS, last_modified_at=at, **of) for at in (silent - hour, silent)
    )
    running = new_job(Status.IN_PROGRESS, last_modified_at=now, **of)
    await jobs.put(parked, due, older, stale, running, *some(3))
    for size in (1, 5):
        wanted = JobFilter(service, state=JobState.STALE)
        found = await jobs.walk(wanted, size)
        assert found == ([stale.id, older.id] if service is None else sorted(found, reverse=True))
        assert {*found} == {stale.id, older.id}
        assert {*await jobs.walk(wanted, size, oldest_first=True)} == {*found}
        assert await jobs.walk(JobFilter(service, state=JobState.PARKED), size) == [parked.id]
    none = JobFilter(service, status=Status.FAILED, state=JobState.STALE)
    assert await jobs.walk(none, 5) == []


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


async def test_letters_are_listed_newest_first_without_their_bytes(letters: Letters) -> None:
    made = sorted((a_letter(service=f"service-{n % 2}") for n in range(5)), key=lambda x: x.id)
    await letters.store.record(made)
    newest = made[::-1]
    first = await letters.lists.heads(LetterFilter(), before=None, limit=2)
    assert [head.id for head in first] == [letter.id for letter in newest[:2]]
    rest = await letters.lists.heads(LetterFilter(), before=first[-1].id, limit=9)
    assert [head.id for head in rest] == [letter.id for letter in newest[2:]]
    head, letter = first[0], newest[0]
    assert isinstance(head, LetterHead)
    assert (head.service, head.reason, head.detail) == (
        letter.service,
        letter.reason,
        letter.detail,
    )
    assert not hasattr(head, "data")


async def test_letters_are_filtered(letters: Letters) -> None:
    new, old = a_letter(service="media"), a_letter(status=DeadLetterStatus.REPLAYED)
    large = a_letter(reason=Reason.TOO_LARGE)
    await letters.store.record([new, old, large])

    async def found(**wanted: Any) -> set[str]:
        heads = await letters.lists.heads(LetterFilter(**wanted), before=None, limit=9)
        return {head.id for head in heads}

    assert await found(service="media") == {new.id}
    assert await found(status=DeadLetterStatus.REPLAYED) == {old.id}
    assert await found(reason=Reason.TOO_LARGE) == {large.id}
    assert await found(reason=Reason.TOO_LARGE, service="media") == set()


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
