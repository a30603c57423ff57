"""Every query of the adapters walks an index.

The tests call every method of each adapter, record the commands that the driver sends, and run
each again with `explain` to see how long the server takes. Time decides, not the plan: the
embedded server explains a hinted query as an index scan though it reads the whole collection, and
a query on an indexed field and another one as a collection scan though it does not. The time that
it reports is real: 1 ms with an index, about 100 ms without.
"""

import copy
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from botdel.local.database import EmbeddedMongo
from console.lists import JobFilter, LetterFilter
from console.mongo_jobs import MongoDeletionJobs
from console.mongo_lists import MongoJobLists, MongoLetterLists, MongoSweepLists
from console.overview import HOUR
from deletion.adapters.mongo.breakers import COLLECTION as BREAKERS
from deletion.adapters.mongo.breakers import MongoBreakerStore
from deletion.adapters.mongo.census import UNFINISHED, MongoCensus
from deletion.adapters.mongo.connection import Client, Database
from deletion.adapters.mongo.coverage import MongoCoverageStore
from deletion.adapters.mongo.dead_letters import COLLECTION as DEAD_LETTERS
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, MongoJobStore
from deletion.adapters.mongo.operator_actions import COLLECTION as ACTIONS
from deletion.adapters.mongo.operator_actions import (
    PREVIEWS,
    MongoActionStore,
    MongoPreviewStore,
)
from deletion.adapters.mongo.requests import COLLECTION as REQUESTS
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.mongo.step import MongoStep
from deletion.breaker import Breaker, BreakerPolicy
from deletion.clock import TICK, SystemClock
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import LeaseLost
from deletion.job import MAX_EVENTS, Failure, Job, Status
from deletion.ledger import RequestChange, RequestFilter
from deletion.operating.record import (
    ActionKind,
    Entries,
    OperatorAction,
    Order,
    Preview,
    Run,
)
from deletion.request import Chore, RequestState
from deletion.silence import EPOCH
from recovery.mongo_sweeps import COLLECTION as SWEEPS
from recovery.mongo_sweeps import RUNNING, MongoSweepStore
from recovery.sweep import Sweep, SweepStatus
from tests.conformance.job_store.jobs import POLICY, SILENT
from tests.support.clock import START
from tests.support.factories import (
    LATER,
    a_deletion_request,
    a_letter,
    again,
    new_job,
    redelivered,
    replay,
    request_for,
)
from tests.support.indexed import indexed

CROWD = 3000
"""Documents in each collection that no query asks for."""
TRIES = 10
"""A busy machine makes single answers late, so the shortest of some decides, here and for scans."""
SCAN_TRIES = 5
SCAN_MILLISECONDS = 8
"""A scan must take at least this long, or it could not be told from a query with an index."""
MATCHES_NOTHING = {"no such field": 1}
"""No index has this field, so the server reads the whole collection."""
READS_NOTHING = {"insert", "createIndexes", "listIndexes", "hello", "ping", "endSessions"}
GOES_ON = {"getMore", "killCursors"}

Query = Mapping[str, Any]


class Listener(CommandListener):
    """Records every query sent while `on`, each as a `find` with the same filter."""

    def __init__(self) -> None:
        self.on = False
        self.queries: list[Query] = []
        self.unknown: set[str] = set()

    def started(self, event: CommandStartedEvent) -> None:
        if not self.on or event.command_name in READS_NOTHING | GOES_ON:
            return
        command = copy.deepcopy(dict(event.command))
        match event.command_name:
            case "find":
                parts = ("find", "filter", "projection", "sort", "limit", "hint")
                self.queries.append({part: command[part] for part in parts if part in command})
            case "update" | "delete" as kind:
                for each in command[f"{kind}s"]:
                    query = {"find": command[kind], "filter": each["q"], "is_write": True}
                    self.queries.append(query | ({"hint": each["hint"]} if "hint" in each else {}))
            case "aggregate" if [*command["pipeline"][0]] == ["$match"]:  # as a count begins
                query = command["pipeline"][0]["$match"]
                self.queries.append({"find": command["aggregate"], "filter": query})
            case unknown:
                self.unknown.add(unknown)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@dataclass
class Watched:
    """A database of the real server, and the queries that are sent to it."""

    client: Client
    database: Database
    listener: Listener

    def watch(self) -> None:
        self.listener.queries.clear()
        self.listener.on = True

    async def scans(self) -> list[Query]:
        """The queries since `watch` that take as long as reading their collection."""
        self.listener.on = False
        assert not self.listener.unknown, "not measured: add these commands to `Listener.started`"
        names = {query["find"] for query in self.listener.queries}
        scan = {name: await self.shortest_scan(name) for name in names}
        fast = {name: took for name, took in scan.items() if took < SCAN_MILLISECONDS}
        assert not fast, "too few documents to tell a scan from an index: put more into them"
        return [each for each in self.listener.queries if await self.is_slow(each, scan)]

    async def shortest_scan(self, collection: str) -> int:
        """Milliseconds that reading the whole collection takes at least."""
        scan = {"find": collection, "filter": MATCHES_NOTHING}
        return min([await self.took(scan) for _ in range(SCAN_TRIES)])

    async def is_slow(self, query: Query, scan: Mapping[str, int]) -> bool:
        """Whether each of some tries takes more than a quarter of a scan."""
        for _ in range(TRIES):
            if await self.took(query) <= scan[query["find"]] / 4:
                return False
        return True

    async def took(self, query: Query) -> int:
        """Milliseconds that the server needs for `query`."""
        command = {part: value for part, value in query.items() if part != "is_write"}
        answer = await self.database.command({"explain": command, "verbosity": "executionStats"})
        return int(answer["executionStats"]["executionTimeMillis"])


@pytest.fixture(scope="module")
async def watched(mongo: EmbeddedMongo) -> AsyncIterator[Watched]:
    """A database for this module only. Dropping it would take longer than the tests."""
    listener = Listener()
    client: Client = AsyncIOMotorClient(mongo.uri, tz_aware=True, event_listeners=[listener])
    database = client[f"test_queries_{uuid4().hex[:8]}"]
    yield Watched(client, database, listener)
    client.close()


# --- the jobs


@pytest.fixture(scope="module")
async def store(watched: Watched) -> MongoJobStore:
    """A store with many complete jobs and ten of each status."""
    store = await indexed(MongoJobStore, watched.client, watched.database.name)
    crowd = [to_document(new_job(status=Status.COMPLETE)) for _ in range(CROWD)]
    await watched.database[COLLECTION].insert_many(crowd)
    await store.record([new_job(status=status) for status in Status for _ in range(10)])
    return store


async def record(store: MongoJobStore) -> None:
    """A new job, a redelivered event, requests that join, and one for a job that is full."""
    job, full = new_job(), new_job(event_ids=tuple(str(uuid4()) for _ in range(MAX_EVENTS)))
    await store.record([job, full])
    await store.record([redelivered(job), request_for(job), request_for(full), new_job(), job])


async def apply(store: MongoJobStore) -> None:
    """Changes that are written, under each of the two guards, and changes that are refused."""
    job = new_job(status=Status.PENDING)
    await store.record([job])
    claimed = await store.apply(job.claim("worker/a", START))
    beaten = await store.apply(claimed.checkpoint(START))
    failed = await store.apply(beaten.fail(Failure("ValueError", "broken", START)))
    await store.apply(failed.resume(SILENT, POLICY))
    for change in (claimed.complete(START), claimed.resume(SILENT, POLICY)):
        with pytest.raises(LeaseLost):
            await store.apply(change)


async def get(store: MongoJobStore) -> None:
    [job] = await store.find(status=Status.FAILED, limit=1)
    assert isinstance(job, Job)
    assert await store.get(job.id) == job
    assert await store.get(str(ObjectId())) is None


async def due(store: MongoJobStore) -> None:
    """Both queues, and windows with and without jobs."""
    for queue in ("conversations", "conversations/suspect"):
        for since, until in ((EPOCH, START), (START, SILENT), (EPOCH, EPOCH)):
            await store.due(queue, since, until, 100)


async def silent(store: MongoJobStore) -> None:
    """As a sweep does: its first page, and the next one."""
    for status in (Status.FAILED, Status.IN_PROGRESS):
        for skip in ((), [str(ObjectId()) for _ in range(100)]):
            await store.silent(status, since=EPOCH, until=START, skip=skip, limit=100)


async def count(store: MongoJobStore) -> None:
    assert await store.count(Status.EXHAUSTED) == 10


async def count_waiting(store: MongoJobStore) -> None:
    assert await store.count_waiting(Status.PENDING, until=EPOCH, limit=100) == 0


async def time(store: MongoJobStore) -> None:
    await store.time()


async def find(store: MongoJobStore) -> None:
    for service in (None, "conversations"):
        for bot_id in (None, str(ObjectId())):
            for status in (None, Status.FAILED):
                await store.find(service=service, bot_id=bot_id, status=status, limit=50)


JOB_QUERIES: dict[str, tuple[Callable[[MongoJobStore], Awaitable[None]], int]] = {
    "record": (record, 3),
    "due": (due, 6),
    "apply": (apply, 8),
    "get": (get, 3),
    "silent": (silent, 4),
    "count": (count, 1),
    "count_waiting": (count_waiting, 1),
    "find": (find, 8),
    "time": (time, 0),
}
"""For each method: a function that calls it in every way, and the fewest queries that it sends."""


def public(adapter: type) -> set[str]:
    return {
        name
        for name, member in inspect.getmembers(adapter)
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member))
    }


def is_an_operators_look(query: Query) -> bool:
    """The newest jobs of all, or of a service, as `botdel jobs list` asks for.

    MongoDB stops at the limit; the embedded server reads on. Nothing in the pipeline waits for it.
    """
    fields = set(query["filter"])
    newest = query.get("sort") in ({"_id": -1}, {"createdAt": -1})
    return bool(query.get("limit")) and newest and fields in (set(), {"service", "status"})


def test_every_method_of_the_job_store_is_called_here() -> None:
    assert public(MongoJobStore) - {"ping", "check_writes"} == set(JOB_QUERIES)


@pytest.mark.proves("every-query-indexed")
@pytest.mark.parametrize("method", JOB_QUERIES)
async def test_every_query_for_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore, method: str
) -> None:
    call, at_least = JOB_QUERIES[method]
    watched.watch()
    await call(store)
    scanning = [query for query in await watched.scans() if not is_an_operators_look(query)]
    assert scanning == []
    assert len(watched.listener.queries) >= at_least


async def test_the_newest_of_all_are_read_along_the_ids_and_those_of_a_service_by_status(
    watched: Watched, store: MongoJobStore
) -> None:
    watched.watch()
    await store.find(limit=50)
    await store.find(service="conversations", limit=50)
    watched.listener.on = False
    newest, of_service = watched.listener.queries
    assert (newest["filter"], newest["sort"]) == ({}, {"_id": -1})
    assert of_service["filter"]["status"] == {"$in": list(Status)}
    assert of_service["sort"] == {"createdAt": -1}
    assert not any("hint" in query for query in watched.listener.queries)


async def test_every_update_of_a_job_names_the_shard_key(
    watched: Watched, store: MongoJobStore
) -> None:
    """Without it a sharded collection asks every shard."""
    watched.watch()
    await record(store)
    await apply(store)
    watched.listener.on = False
    updates = [query for query in watched.listener.queries if query.get("is_write")]
    assert len(updates) >= 7
    assert all("botId" in query["filter"] for query in updates)


@pytest.fixture
async def bare_store(watched: Watched, database_name: str) -> AsyncIterator[MongoJobStore]:
    """As many jobs, in a collection without indexes."""
    crowd = [to_document(new_job(status=Status.COMPLETE)) for _ in range(CROWD)]
    database = watched.client[database_name]
    await database[COLLECTION].insert_many(crowd)
    await database[COLLECTION].insert_one(to_document(new_job(status=Status.FAILED)))
    before, watched.database = watched.database, database
    yield MongoJobStore(watched.client, database_name)
    watched.database = before


@pytest.mark.parametrize("method", ["due", "silent", "find"])
async def test_it_is_seen_when_an_index_of_the_jobs_is_missing(
    watched: Watched, bare_store: MongoJobStore, method: str
) -> None:
    watched.watch()
    await JOB_QUERIES[method][0](bare_store)
    scanning = [query for query in await watched.scans() if not is_an_operators_look(query)]
    assert len(scanning) >= 4


async def test_it_is_seen_when_the_search_for_what_collides_has_no_index(
    watched: Watched, bare_store: MongoJobStore
) -> None:
    """Without a unique index only the `_id` collides: the same job is recorded twice."""
    job = new_job()
    watched.watch()
    await bare_store.record([job])
    await bare_store.record([job])
    found = [set(query["filter"]) for query in await watched.scans()]
    assert found == [{"botId", "service", "eventIds"}]


async def test_an_update_and_a_delete_without_an_index_are_seen(
    watched: Watched, store: MongoJobStore
) -> None:
    """Otherwise the tests above would pass whatever the store sends."""
    jobs = watched.database[COLLECTION]
    watched.watch()
    await jobs.find_one({"claimedBy": "nobody"})
    await jobs.update_one({"claimedBy": "nobody"}, {"$set": {"attempt": 1}})
    await jobs.delete_one({"claimedBy": "nobody"})
    assert len(await watched.scans()) == 3


async def test_a_command_that_cannot_be_measured_is_seen(
    watched: Watched, store: MongoJobStore
) -> None:
    watched.watch()
    await watched.database[COLLECTION].find_one_and_update({}, {"$set": {"attempt": 1}})
    with pytest.raises(AssertionError, match="not measured"):
        await watched.scans()
    watched.listener.unknown.clear()


# --- the jobs as a status shows them


async def look(seen: MongoDeletionJobs, job: Job) -> None:
    """The job of a request among those of other services and requests; and its place."""
    found = await seen.covering(job.bot_id, [job.service, "media"], [job.event_id, str(uuid4())])
    assert [each.job.id for each in found] == [job.id]
    await seen.count_due(job.service, SILENT, 100)


async def test_every_query_of_a_status_walks_an_index(
    watched: Watched, store: MongoJobStore
) -> None:
    assert public(MongoDeletionJobs) == {"covering", "count_due"}
    [job] = await store.find(status=Status.PENDING, limit=1)
    assert isinstance(job, Job)
    watched.watch()
    await look(MongoDeletionJobs(watched.client, watched.database.name), job)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 2


async def test_it_is_seen_when_an_index_of_a_status_is_missing(
    watched: Watched, bare_store: MongoJobStore
) -> None:
    [job] = await bare_store.find(status=Status.FAILED, limit=1)
    assert isinstance(job, Job)
    watched.watch()
    await look(MongoDeletionJobs(watched.client, watched.database.name), job)
    assert len(await watched.scans()) == 2


# --- the console's lists


async def list_jobs(lists: MongoJobLists) -> None:
    """Every filter, in both orders, on the first page and on one where no job is left. A page of
    all jobs matches the crowd, so only the last one of them is asked for.
    """
    beyond = (START - TICK, str(ObjectId()))
    few = {"status": Status.FAILED}
    for wanted in (few, {**few, "service": "conversations"}, {"bot_id": str(ObjectId())}):
        for oldest_first in (False, True):
            for begin in (None, beyond):
                await lists.page(
                    JobFilter(**wanted), beyond=begin, oldest_first=oldest_first, limit=50
                )
    for every in (JobFilter(), JobFilter("conversations")):
        await lists.page(every, beyond=beyond, oldest_first=False, limit=50)


async def count_completed(lists: MongoJobLists) -> None:
    """An hour before any job was completed."""
    assert await lists.completed(START - HOUR, START, 1000) == 0


def test_every_method_of_the_lists_is_called_here() -> None:
    assert public(MongoJobLists) == {"page", "completed"}
    assert public(MongoLetterLists) == {"groups", "heads"}
    assert public(MongoSweepLists) == {"newest"}, "along `_id`, one record for each sweep"


@pytest.mark.parametrize("call", [list_jobs, count_completed])
async def test_every_list_of_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore, call: Callable[[MongoJobLists], Awaitable[None]]
) -> None:
    watched.watch()
    await call(MongoJobLists(watched.client, watched.database.name, SystemClock()))
    assert await watched.scans() == []
    assert watched.listener.queries


async def test_every_list_of_dead_letters_walks_an_index(
    watched: Watched, letters: MongoDeadLetterStore
) -> None:
    lists = MongoLetterLists(watched.client, watched.database.name)
    watched.watch()
    await lists.groups(1000)
    for service in (None, "conversations"):
        for status in (None, DeadLetterStatus.NEW):
            for before in (None, letters.new_id()):
                wanted = LetterFilter(service=service, status=status)
                await lists.heads(wanted, before=before, limit=50)
    scanning = await watched.scans()
    assert [query for query in scanning if not is_an_operators_look_at_letters(query)] == []
    assert len(watched.listener.queries) == 9


# --- the dead letters


@pytest.fixture(scope="module")
async def letters(watched: Watched) -> MongoDeadLetterStore:
    """A store with many discarded letters of one service."""
    store = await indexed(MongoDeadLetterStore, watched.client, watched.database.name)
    await store.record([a_letter(service="crowded", status=DeadLetterStatus.DISCARDED)])
    collection = watched.database[DEAD_LETTERS]
    [document] = await collection.find({}).to_list(1)
    await collection.insert_many(
        [{**document, "_id": ObjectId(), "messageId": f"crowd {n}"} for n in range(CROWD)]
    )
    return store


async def record_letters(store: MongoDeadLetterStore) -> None:
    """New letters, one that is known, and a replay that comes back, twice."""
    letter, other = a_letter(), a_letter()
    await store.record([letter, other])
    back = replay(letter)
    assert [told.id for told in await store.record([again(other), back])] == [letter.id]
    assert await store.record([again(back)]) == []


async def get_letter(store: MongoDeadLetterStore) -> None:
    [letter] = await store.find(status=DeadLetterStatus.NEW, limit=1)
    assert await store.get(letter.id) == letter
    assert await store.get(store.new_id()) is None


async def find_letters(store: MongoDeadLetterStore) -> None:
    for service in (None, "conversations"):
        for status in (None, DeadLetterStatus.NEW):
            for reason in (None, Reason.UNDECODABLE):
                for before in (None, store.new_id()):
                    await store.find(
                        service=service, reason=reason, status=status, before=before, limit=50
                    )


async def mark_letter(store: MongoDeadLetterStore) -> None:
    """A letter that is as it was read, and one that has changed since."""
    [letter] = await store.record([a_letter()])
    assert await store.mark(letter, DeadLetterStatus.NEW)
    await store.record([again(letter)])
    assert not await store.mark(letter, DeadLetterStatus.NEW)


async def letters_of_events(store: MongoDeadLetterStore) -> None:
    """Of many services and events at once, as the ledger asks; and of one."""
    [letter] = await store.record([a_letter(attributes={"event_id": "e-1"})])
    many = [(service, str(uuid4())) for service in ("crowded", "media") for _ in range(100)]
    found = await store.of_events([*many, (letter.service, "e-1")])
    assert [each.letter_id for each in found] == [letter.id]
    assert await store.of_events([("media", "e-1")]) == []


LETTER_QUERIES: dict[str, tuple[Callable[[MongoDeadLetterStore], Awaitable[None]], int]] = {
    "record": (record_letters, 9),
    "get": (get_letter, 3),
    "find": (find_letters, 16),
    "mark": (mark_letter, 4),
    "of_events": (letters_of_events, 2),
}


def is_an_operators_look_at_letters(query: Query) -> bool:
    """The newest of all, or of all with a reason: MongoDB walks `_id` and stops at the limit."""
    return set(query["filter"]) <= {"reason", "_id"} and query.get("sort") == {"_id": -1}


def test_every_method_of_the_dead_letter_store_is_called_here() -> None:
    assert public(MongoDeadLetterStore) == set(LETTER_QUERIES)


@pytest.mark.parametrize("method", LETTER_QUERIES)
async def test_every_query_for_dead_letters_walks_an_index(
    watched: Watched, letters: MongoDeadLetterStore, method: str
) -> None:
    call, at_least = LETTER_QUERIES[method]
    watched.watch()
    await call(letters)
    scanning = await watched.scans()
    assert [query for query in scanning if not is_an_operators_look_at_letters(query)] == []
    assert len(watched.listener.queries) >= at_least


async def test_it_is_seen_when_an_index_of_the_dead_letters_is_missing(
    watched: Watched, letters: MongoDeadLetterStore, database_name: str
) -> None:
    bare = MongoDeadLetterStore(watched.client, database_name)
    before, watched.database = watched.database, watched.client[database_name]
    try:
        crowd = await before[DEAD_LETTERS].find({}).to_list(None)
        await watched.database[DEAD_LETTERS].insert_many(crowd)
        watched.watch()
        await bare.find(service="conversations", limit=50)
        await bare.find(status=DeadLetterStatus.NEW, before=bare.new_id(), limit=50)
        await record_letters(bare)
        by_message = {"service", "messageId", "publishedAt"}
        found = [set(query["filter"]) for query in await watched.scans()]
        assert found == [{"service"}, {"status", "_id"}, *[by_message] * 3]
    finally:
        watched.database = before


# --- the actions of operators, and their previews


ORDER: Final = Order(ActionKind.RETRY, "ada", "the API is back")


@pytest.fixture(scope="module")
async def actions(watched: Watched) -> MongoActionStore:
    """A store with many actions of one operator."""
    store = await indexed(MongoActionStore, watched.client, watched.database.name)
    crowded = Order(ActionKind.DISCARD, "crowd")
    action = OperatorAction.started(store.new_id(), crowded, Run("crowd", START, store.new_id()))
    await store.insert(action)
    collection = watched.database[ACTIONS]
    [document] = await collection.find({}).to_list(1)
    await collection.insert_many([{**document, "_id": ObjectId()} for _ in range(CROWD)])
    return store


async def test_every_query_for_actions_walks_an_index(
    watched: Watched, actions: MongoActionStore
) -> None:
    assert public(MongoActionStore) == {"insert", "save", "get", "find"}
    action, taken = (
        OperatorAction.started(actions.new_id(), ORDER, Run("ada", START, actions.new_id()))
        for _ in range(2)
    )
    further = action.added(Entries(), START, begun=0)
    watched.watch()
    assert await actions.insert(action)
    assert not await actions.insert(replace(taken, id=action.id))
    await actions.save(action, further)
    await actions.save(action, further)
    with pytest.raises(LeaseLost):
        await actions.save(action, replace(further, runs=taken.runs))
    assert await actions.get(action.id)
    for by in (None, "ada"):
        for kind in (None, ActionKind.RETRY):
            for before in (None, actions.new_id()):
                await actions.find(by=by, kind=kind, before=before, limit=50)
    scanning = await watched.scans()
    assert [query for query in scanning if not is_an_operators_look_at_letters(query)] == []
    assert len(watched.listener.queries) == 1 + 5 + 1 + 8


@pytest.fixture(scope="module")
async def previews(watched: Watched) -> MongoPreviewStore:
    """A store with many previews; they are deleted after an hour."""
    store = await indexed(MongoPreviewStore, watched.client, watched.database.name)
    crowd = [{"_id": ObjectId(), "at": START} for _ in range(CROWD)]
    await watched.database[PREVIEWS].insert_many(crowd)
    return store


async def test_every_query_for_previews_walks_an_index(
    watched: Watched, previews: MongoPreviewStore
) -> None:
    assert public(MongoPreviewStore) == {"keep", "get"}
    preview = Preview(previews.new_id(), ORDER, START, (), {}, is_cut_off=False)
    watched.watch()
    await previews.keep(preview)
    assert await previews.get(preview.id) == preview
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 2


async def test_it_is_seen_when_an_index_of_the_actions_or_previews_is_missing(
    watched: Watched,
    actions: MongoActionStore,
    previews: MongoPreviewStore,
    database_name: str,
) -> None:
    before, watched.database = watched.database, watched.client[database_name]
    try:
        for name in (ACTIONS, PREVIEWS):
            crowd = await before[name].find({}).to_list(None)
            await watched.database[name].insert_many(crowd)
        bare = MongoActionStore(watched.client, database_name)
        preview = Preview(previews.new_id(), ORDER, START, (), {}, is_cut_off=False)
        watched.watch()
        await bare.find(by="ada", limit=50)
        await bare.find(kind=ActionKind.RETRY, limit=50)
        await MongoPreviewStore(watched.client, database_name).keep(preview)
        found = [set(query["filter"]) for query in await watched.scans()]
        assert found == [{"by"}, {"kind"}, {"at"}]
    finally:
        watched.database = before


# --- the breakers


@pytest.fixture(scope="module")
async def breakers(watched: Watched) -> MongoBreakerStore:
    """A store with many hosts; an installation has a few."""
    store = MongoBreakerStore(watched.client, watched.database.name)
    crowd = [{"_id": f"host-{number}.example", "stamp": "a"} for number in range(CROWD)]
    await watched.database[BREAKERS].insert_many(crowd)
    return store


async def test_every_query_for_a_breaker_walks_an_index(
    watched: Watched, breakers: MongoBreakerStore
) -> None:
    reads_all = {"open_breakers", "damaged"}  # for an operator, who has a few hosts
    assert public(MongoBreakerStore) - reads_all == {"apply", "get", "time"}
    closed = Breaker("billing.example")
    failed = closed.failed("a", str(ObjectId()), "503", START, BreakerPolicy())
    watched.watch()
    assert await breakers.get(closed.host) == closed
    assert await breakers.apply(closed, failed)
    assert await breakers.apply(failed, failed.closed("b"))
    assert not await breakers.apply(failed, failed.closed("c"))
    await breakers.time()
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 4


async def test_a_query_for_a_breaker_by_anything_but_its_id_is_seen(
    watched: Watched, breakers: MongoBreakerStore
) -> None:
    """`_id` always has its index, so none can be left out here."""
    collection = watched.database[BREAKERS]
    watched.watch()
    await collection.find_one({"stamp": "nobody's"})
    await collection.update_one({"stamp": "nobody's"}, {"$set": {"stamp": "b"}})
    assert len(await watched.scans()) == 2


# --- the sweeps, and the count of the live jobs


@pytest.fixture(scope="module")
async def sweeps(watched: Watched) -> MongoSweepStore:
    """A store with the sweeps of years."""
    store = await indexed(MongoSweepStore, watched.client, watched.database.name)
    ended = {"status": SweepStatus.COMPLETE.value, "lastModifiedAt": EPOCH}
    await watched.database[SWEEPS].insert_many([ended | {"_id": ObjectId()} for _ in range(CROWD)])
    return store


async def test_every_query_for_a_sweep_walks_an_index(
    watched: Watched, sweeps: MongoSweepStore
) -> None:
    assert public(MongoSweepStore) == {"start", "save", "get"}
    first, second, third = (
        Sweep.started(sweeps.new_id(), at) for at in (EPOCH, START, START + timedelta(days=1))
    )
    watched.watch()
    assert await sweeps.start(first, silent_since=EPOCH) == first
    assert await sweeps.start(second, silent_since=EPOCH) == first, "it runs already"
    assert await sweeps.start(third, silent_since=START) == third, "the first one is silent"
    await sweeps.save(third.completed(third.started_at))
    with pytest.raises(LeaseLost):
        await sweeps.save(first.completed(START))
    assert await watched.scans() == []
    assert len(watched.listener.queries) >= 8


async def test_it_is_seen_when_the_index_of_the_sweeps_is_missing(
    watched: Watched, sweeps: MongoSweepStore, database_name: str
) -> None:
    before, watched.database = watched.database, watched.client[database_name]
    try:
        crowd = await before[SWEEPS].find({}).to_list(None)
        await watched.database[SWEEPS].insert_many(crowd)
        watched.watch()
        await watched.database[SWEEPS].find_one(RUNNING)
        assert len(await watched.scans()) == 1
    finally:
        watched.database = before


async def test_the_count_of_the_live_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore
) -> None:
    census = MongoCensus(watched.client, watched.database.name)
    assert public(MongoCensus) == {"unfinished"}
    watched.watch()
    found = await census.unfinished()
    assert {group.status for group in found} == set(UNFINISHED)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 1


# --- the ledger


@pytest.fixture(scope="module")
async def requests(watched: Watched) -> MongoRequestStore:
    """A store with many settled requests, and ten open ones."""
    store = await indexed(MongoRequestStore, watched.client, watched.database.name)
    settled = [
        a_deletion_request("crowded").completed("crowded", str(ObjectId()), START)
        for _ in range(CROWD)
    ]
    await store.record([replace(each, chores={}) for each in settled])
    await store.record([a_deletion_request("media", now=LATER) for _ in range(10)])
    return store


async def record_requests(store: MongoRequestStore) -> None:
    """A new one, and one that is known: no query at all."""
    request = a_deletion_request()
    await store.record([request])
    await store.record([request, a_deletion_request()])


async def get_requests(store: MongoRequestStore) -> None:
    request = a_deletion_request()
    await store.record([request])
    assert await store.get([request.id, *(str(uuid4()) for _ in range(100))]) == [request]


async def save_requests(store: MongoRequestStore) -> None:
    """Changes that are written, and one that is refused."""
    request, other = a_deletion_request(), a_deletion_request()
    await store.record([request, other])
    change = RequestChange(request, request.warned(LATER))
    assert await store.save([change]) == []
    second = RequestChange(request, request.looked(LATER, missing=["conversations"]))
    assert await store.save([second, RequestChange(other, other.warned(LATER))]) == [second]


async def due_requests(store: MongoRequestStore) -> None:
    for chore in Chore:
        for since, until in ((EPOCH, LATER), (LATER, SILENT)):
            await store.due(chore, since, until, 100)


async def find_requests(store: MongoRequestStore) -> None:
    for bot_id in (None, str(ObjectId())):
        for service in (None, "media"):
            for state in (None, *RequestState):
                for before in (None, (LATER, str(uuid4()))):
                    wanted = RequestFilter(bot_id, service, state)
                    await store.find(wanted, START, before=before, limit=50)


async def count_requests(store: MongoRequestStore) -> None:
    census = await store.census(SILENT, 10_000)
    assert census.open >= 10


REQUEST_QUERIES: dict[str, tuple[Callable[[MongoRequestStore], Awaitable[None]], int]] = {
    "record": (record_requests, 0),
    "get": (get_requests, 1),
    "save": (save_requests, 4),
    "due": (due_requests, 8),
    "find": (find_requests, 40),
    "census": (count_requests, 5),
}


def is_an_operators_look_at_requests(query: Query) -> bool:
    """The newest of all, or of all settled ones: MongoDB walks an index and stops at the limit."""
    newest = query.get("sort") == {"receivedAt": -1, "_id": -1} and query.get("limit")
    fields = set(query["filter"]) - {"receivedAt", "_id"}
    settled = fields == {"open"} and query["filter"]["open"] is None
    return bool(newest) and (not fields or settled)


def test_every_method_of_the_request_store_is_called_here() -> None:
    assert public(MongoRequestStore) == set(REQUEST_QUERIES)


@pytest.mark.proves("every-query-indexed")
@pytest.mark.parametrize("method", REQUEST_QUERIES)
async def test_every_query_for_requests_walks_an_index(
    watched: Watched, requests: MongoRequestStore, method: str
) -> None:
    call, at_least = REQUEST_QUERIES[method]
    watched.watch()
    await call(requests)
    scanning = await watched.scans()
    assert [query for query in scanning if not is_an_operators_look_at_requests(query)] == []
    assert len(watched.listener.queries) >= at_least
    assert not any({"$or", "$nor"} & set(query["filter"]) for query in watched.listener.queries)


async def test_it_is_seen_when_the_indexes_of_the_requests_are_missing(
    watched: Watched, requests: MongoRequestStore, database_name: str
) -> None:
    bare = MongoRequestStore(watched.client, database_name)
    before, watched.database = watched.database, watched.client[database_name]
    try:
        crowd = await before[REQUESTS].find({}).to_list(None)
        await watched.database[REQUESTS].insert_many(crowd)
        watched.watch()
        await bare.due(Chore.LOOK, EPOCH, LATER, 100)
        await bare.find(RequestFilter(owed_by="media"), START, limit=50)
        await bare.find(RequestFilter(bot_id=str(ObjectId())), START, limit=50)
        await bare.census(SILENT, 10_000)
        found = [set(query["filter"]) for query in await watched.scans()]
        kinds = [{"open"}, {"open"}, {"near"}, {"open", "deadline"}, {"missing"}]
        assert found == [{"chores.look"}, {"owed"}, {"botId"}, *kinds]
    finally:
        watched.database = before


@pytest.fixture
def coverage(watched: Watched, store: MongoJobStore) -> MongoCoverageStore:
    """The jobs of `store` as the ledger sees them."""
    return MongoCoverageStore(watched.client, watched.database.name)


@pytest.mark.proves("every-query-indexed")
async def test_every_query_of_the_ledger_for_jobs_walks_an_index(
    watched: Watched, store: MongoJobStore, coverage: MongoCoverageStore
) -> None:
    assert public(MongoCoverageStore) == {"unreported", "mark_reported", "covering"}
    jobs = [new_job() for _ in range(10)]
    await store.record(jobs)
    for job in jobs:
        await store.apply(job.complete(LATER))
    watched.watch()
    assert len(await coverage.unreported(LATER, LATER, 5)) == 5
    assert await coverage.unreported(EPOCH, EPOCH, 100) == []
    await coverage.mark_reported([job.id for job in jobs])
    asked = [(job.bot_id, job.event_id) for job in jobs]
    assert len(await coverage.covering(asked)) == 10
    assert await coverage.covering([(str(ObjectId()), str(uuid4()))]) == []
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 5


async def test_a_service_is_written_by_its_name_and_all_are_read_at_once(
    watched: Watched,
) -> None:
    """There are a few. `_id` always has its index."""
    assert public(MongoServiceStore) == {"register", "all", "retire"}
    services = MongoServiceStore(watched.client, watched.database.name)
    crowd = [{"_id": f"service-{number}"} for number in range(CROWD)]
    await watched.database[SERVICES].insert_many(crowd)
    watched.watch()
    await services.register(["media"], START)
    assert await services.retire("media", "ann", "shut down", LATER)
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 2


# --- the step that deletes from a collection

BOTS = [ObjectId() for _ in range(4)]


@pytest.fixture(params=["objectid", "string"])
async def step(request: pytest.FixtureRequest, watched: Watched) -> MongoStep:
    """A step with batches of three; each bot has ten documents among many others."""
    collection = watched.database[f"messages_{uuid4().hex[:8]}"]
    of_type: Callable[[ObjectId], Any] = str if request.param == "string" else lambda bot: bot
    await collection.insert_many([{"bot": of_type(ObjectId())} for _ in range(CROWD)])
    await collection.insert_many([{"bot": of_type(bot)} for _ in range(10) for bot in BOTS])
    return MongoStep("messages", collection, "bot", request.param, batch_size=3)


async def run(step: MongoStep) -> int:
    """Delete one batch, resume from its cursor to the end, and return the number of batches."""
    bot = str(BOTS[0])
    assert await step.count(bot) == 10
    assert not await step.is_empty(bot)
    batches = step.delete(bot, None)
    first = await anext(batches)
    await batches.aclose()
    later = [batch async for batch in step.delete(bot, first.cursor)]
    assert first.deleted + sum(batch.deleted for batch in later) == 10
    assert await step.is_empty(bot)
    return 1 + len(later)


def test_every_method_of_the_step_is_called_here() -> None:
    others = {"faults", "bots", "forbidden"}  # they read a hundred documents at most, or none
    assert public(MongoStep) - others == {"count", "delete", "is_empty", "missing", "provide"}


@pytest.mark.proves("every-query-indexed")
async def test_every_query_of_a_step_walks_its_index(step: MongoStep, watched: Watched) -> None:
    await step.provide()
    assert await step.missing() is None
    watched.watch()
    batches = await run(step)
    assert await watched.scans() == []
    assert batches == 4
    what = "a count, two read-backs, two searches for ids, and a deletion for each batch"
    assert len(watched.listener.queries) == 1 + 2 + 2 + batches, what


async def test_it_is_seen_and_reported_when_the_index_of_a_step_is_missing(
    step: MongoStep, watched: Watched
) -> None:
    said = await step.missing()
    assert said is not None
    assert "(bot, _id)" in said
    watched.watch()
    batches = await run(step)
    scanning = [set(query["filter"]) for query in await watched.scans()]
    assert scanning.count({"bot"}) >= 2, "a first look for ids, and the last read-back"
    assert batches == 4


async def test_a_step_deletes_the_documents_of_its_bot_and_no_other(step: MongoStep) -> None:
    await run(step)
    assert await step.collection.count_documents({}) == CROWD + 30
    assert not any([await step.is_empty(str(bot)) for bot in BOTS[1:]])
