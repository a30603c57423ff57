"""What only MongoDB's job store promises: its documents, its indexes, and how it is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from inspect import getmembers, iscoroutinefunction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from botdel.local.database import EmbeddedMongo
from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import (
    CALL_SECONDS,
    CLOSE_SECONDS,
    SERVER_SELECTION_SECONDS,
    Client,
    Clients,
    Collection,
    Document,
    connect,
)
from deletion.adapters.mongo.job_document import to_document
from deletion.adapters.mongo.jobs import COLLECTION, GROUP_LIMIT, GROUPS, MongoJobStore
from deletion.adapters.mongo.recording import Joins
from deletion.adapters.mongo.writes import Writes
from deletion.errors import ConfigurationError, LeaseLost, StoreUnavailable, UnreadableJob
from deletion.grouping import Grouping
from deletion.job import (
    RETRIED,
    ROLLED_BACK,
    STALE,
    Change,
    Direction,
    Failure,
    Job,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
)
from deletion.ports import Recorded, RecordOutcome, Unreadable
from tests.conformance.job_store.jobs import POLICY, put
from tests.support.clock import START
from tests.support.factories import new_job, redelivered, request_for
from tests.support.indexed import indexed
from tests.support.polling import SLACK, frozen


@pytest.fixture
async def store(client: Client, database_name: str) -> MongoJobStore:
    return await indexed(MongoJobStore, client, database_name)


@pytest.fixture
def jobs(store: MongoJobStore, client: Client, database_name: str) -> Collection:
    """What the store writes to."""
    return client[database_name][COLLECTION]


async def test_a_job_is_stored_under_the_names_and_types_others_read(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    steps = (StepProgress("messages", StepStatus.IN_PROGRESS, 3, "c", 2, 0.75, "majority"),)
    past = PastAttempt(1, "worker/a", "messages", 3, START, "stale", direction=Direction.BACKWARD)
    failure = Failure("ValueError", "broken", START, interrupted=True)
    compensation = StepProgress(
        "messages", StepStatus.COMPLETE, 1, None, 1, 0.5, "answer only", START
    )
    job = await put(
        store,
        new_job(
            status=Status.FAILED,
            due=START,
            steps=steps,
            failure=failure,
            parks=2,
            point_of_no_return="files",
            compensations=(compensation,),
            rollback_cause=Failure("PermanentError", "refused", START),
            past_attempts=(past,),
            requested_by="crm",
            traceparent="00-ab-cd-01",
        ),
    )
    document = await client[database_name][COLLECTION].find_one({})
    assert document == {
        "_id": ObjectId(job.id),
        "service": job.service,
        "botId": ObjectId(job.bot_id),
        "eventId": job.event_id,
        "eventIds": [job.event_id],
        "requestedBy": "crm",
        "traceparent": "00-ab-cd-01",
        "status": "failed",
        "attempt": 1,
        "claimedBy": job.claimed_by,
        "placedAt": job.placed_at,
        "createdAt": job.created_at,
        "lastModifiedAt": job.last_modified_at,
        "finishedAt": None,
        "queue": "conversations",
        "due": START,
        "steps": [
            {
                "name": "messages",
                "status": "in_progress",
                "deleted": 3,
                "cursor": "c",
                "batches": 2,
                "slowest": 0.75,
                "readBack": "majority",
                "placedAt": None,
            }
        ],
        "parks": 2,
        "direction": "backward",
        "pointOfNoReturn": "files",
        "compensations": [
            {
                "name": "messages",
                "status": "complete",
                "deleted": 1,
                "cursor": None,
                "batches": 1,
                "slowest": 0.5,
                "readBack": "answer only",
                "placedAt": START,
            }
        ],
        "turnedBack": {
            "type": "PermanentError",
            "message": "refused",
            "at": START,
            "interrupted": False,
        },
        "failure": {"type": "ValueError", "message": "broken", "at": START, "interrupted": True},
        "pastAttempts": [
            {
                "attempt": 1,
                "claimedBy": "worker/a",
                "step": "messages",
                "batch": 3,
                "at": START,
                "reason": "stale",
                "direction": "backward",
            }
        ],
        "live": True,
    }


async def test_queue_and_due_are_absent_and_not_null_while_no_worker_may_claim(
    store: MongoJobStore, jobs: Collection
) -> None:
    """The index that serves claims is sparse: a null would be in it."""
    job = await put(store, new_job(status=Status.PENDING))
    assert {"queue", "due"} <= set((await jobs.find_one({})) or {})
    await store.apply(job.claim("worker/a", START))
    assert not {"queue", "due"} & set((await jobs.find_one({})) or {})
    running = await put(store, new_job())
    found = await jobs.find_one({"_id": ObjectId(running.id)})
    assert found
    assert not {"queue", "due"} & set(found)


# --- records this code cannot read, or not altogether

STEP: Document = {"cursor": None, "batches": 0, "slowest": 0.0}
PAST: Document = {"attempt": 1, "claimedBy": "w", "step": None, "batch": 0, "reason": "stale"}
DAMAGE: dict[str, Document] = {
    "an unknown status": {"$set": {"status": "archived"}},
    "a missing field": {"$unset": {"claimedBy": ""}},
    "an attempt that is no number": {"$set": {"attempt": "many"}},
    "a null time": {"$set": {"createdAt": None}},
    "steps that are none": {"$set": {"steps": "all"}},
    "a step of an unknown status": {"$set": {"steps": [{"name": "a", "status": "skipped"}]}},
    "a step whose count is no number": {
        "$set": {"steps": [{**STEP, "name": "a", "status": "pending", "deleted": "many"}]}
    },
    "a failure of another shape": {"$set": {"failure": "broken"}},
    "a failure at no time": {
        "$set": {"failure": {"type": "E", "message": "m", "at": "now", "interrupted": False}}
    },
    "a past attempt at no time": {"$set": {"pastAttempts": [{**PAST, "at": "now"}]}},
    "an end at no time": {"$set": {"finishedAt": "now"}},
    "a placing at no time": {"$set": {"placedAt": "now"}},
}


@pytest.fixture(params=DAMAGE.values(), ids=list(DAMAGE))
async def damaged(
    request: pytest.FixtureRequest, store: MongoJobStore, jobs: Collection
) -> tuple[Job, Job]:
    """Two pending jobs, of which the first cannot be read any more."""
    first = new_job(status=Status.PENDING, service="damaged", last_modified_at=START)
    second = new_job(status=Status.PENDING, service="damaged", last_modified_at=START)
    await store.record([first, second])
    await jobs.update_one({"_id": ObjectId(first.id)}, request.param)
    return first, second


@pytest.mark.proves("unreadable-reported")
async def test_a_record_that_cannot_be_read_does_not_stop_a_page(
    store: MongoJobStore, damaged: tuple[Job, Job]
) -> None:
    first, second = damaged
    by_id = {job.id: job for job in await store.due("damaged", START, START, 9)}
    unreadable = by_id[first.id]
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.due, unreadable.last_modified_at) == (START, START)
    assert (unreadable.service, unreadable.bot_id) == (first.service, first.bot_id)
    assert by_id[second.id] == second
    assert second in await store.silent(Status.PENDING, since=START, until=START, limit=9)
    assert second in await store.find(service="damaged", limit=9)
    assert second in await store.find(limit=9)
    [found] = await store.find(bot_id=first.bot_id, limit=9)
    assert found == unreadable
    with pytest.raises(UnreadableJob, match=first.id):
        await store.get(first.id)


@pytest.mark.parametrize("name", ["due", "lastModifiedAt"])
async def test_a_time_that_is_none_is_no_time_of_a_record_that_cannot_be_read(
    store: MongoJobStore, jobs: Collection, name: str
) -> None:
    """Whoever walks the jobs by it would compare it with times."""
    job = await put(store, new_job(status=Status.PENDING, last_modified_at=START))
    await jobs.update_one({"_id": ObjectId(job.id)}, {"$set": {name: "soon"}})
    [found] = await store.find(bot_id=job.bot_id, limit=1)
    assert isinstance(found, Unreadable)
    expected = (None, START) if name == "due" else (START, None)
    assert (found.due, found.last_modified_at) == expected


async def test_a_service_and_a_bot_that_are_none_are_not_those_of_a_record(
    store: MongoJobStore, jobs: Collection
) -> None:
    job = await put(store, new_job(status=Status.PENDING, last_modified_at=START))
    await jobs.update_one({"_id": ObjectId(job.id)}, {"$set": {"service": 7, "botId": "a bot"}})
    [found] = await store.silent(Status.PENDING, since=START, until=START, limit=1)
    assert isinstance(found, Unreadable)
    assert (found.service, found.bot_id) == (None, None)


FORWARD, BACKWARD = Direction
ROLLBACK = Failure("HttpRefused", "refused", START)


@pytest.mark.parametrize(
    ("cause", "attempts"),
    [
        (None, [("a", STALE, FORWARD)]),
        (ROLLBACK, [("b", ROLLED_BACK, FORWARD), ("a", STALE, BACKWARD)]),
        (ROLLBACK, [("b", STALE, BACKWARD), ("a", STALE, BACKWARD)]),
        (
            None,
            [
                ("b", ROLLED_BACK, FORWARD),
                ("a", RETRIED, BACKWARD),
                (None, RETRIED, BACKWARD),
                ("a", STALE, FORWARD),
            ],
        ),
    ],
    ids=["no saga", "rolling back", "the rollback is no longer kept", "retried after a rollback"],
)
@pytest.mark.parametrize("recorded", [0, 1], ids=["no direction", "only the first direction"])
async def test_the_direction_that_an_earlier_version_did_not_record_is_inferred(
    store: MongoJobStore,
    jobs: Collection,
    cause: Failure | None,
    attempts: Sequence[tuple[str | None, str, Direction]],
    recorded: int,
) -> None:
    past = tuple(
        PastAttempt(number, "worker/a", step, 3, START, reason, direction=direction)
        for number, (step, reason, direction) in enumerate(attempts, start=1)
    )
    job = await put(store, new_job(past_attempts=past, rollback_cause=cause))
    for number in range(recorded, len(past)):
        earlier = {"$unset": {f"pastAttempts.{number}.direction": ""}}
        assert (await jobs.update_one({"_id": ObjectId(job.id)}, earlier)).modified_count == 1
    assert await store.get(job.id) == job


async def test_a_record_that_cannot_be_read_is_joined_all_the_same(
    store: MongoJobStore, damaged: tuple[Job, Job], jobs: Collection
) -> None:
    """Its bot's next request must not be lost, nor hold up those that came with it."""
    first, second = damaged
    offered = [
        request_for(first),
        redelivered(first),
        new_job(service="damaged"),
        request_for(second),
    ]
    recorded = await store.record(offered)
    assert [each.outcome for each in recorded] == ["joined", "known", "new", "joined"]
    found = await jobs.find_one({"_id": ObjectId(first.id)})
    assert found
    assert found["eventIds"] == [first.event_id, offered[0].event_id]


async def test_a_change_of_a_record_that_cannot_be_read_says_so_and_the_others_are_written(
    store: MongoJobStore, damaged: tuple[Job, Job], jobs: Collection
) -> None:
    first, second = damaged
    await jobs.update_one({"_id": ObjectId(first.id)}, {"$set": {"attempt": 77}})
    answers = await asyncio.gather(
        store.apply(first.claim("worker/a", START)),
        store.apply(second.claim("worker/b", START)),
        return_exceptions=True,
    )
    assert isinstance(answers[0], UnreadableJob | LeaseLost)
    assert isinstance(answers[1], Job)


@pytest.mark.proves("unreadable-record")
async def test_fields_of_later_versions_are_ignored_and_kept_on_every_write(
    store: MongoJobStore, jobs: Collection
) -> None:
    job = await put(
        store,
        new_job(
            steps=(StepProgress("a"), StepProgress("b")),
            failure=Failure("ValueError", "broken", START),
            past_attempts=(PastAttempt(1, "worker/a", "a", 3, START, "stale"),),
        ),
    )
    later = {
        "region": "eu",
        "steps.0.pace": 7,
        "pastAttempts.0.node": {"name": "n-1"},
        "failure.trace": ["x", "y"],
    }
    await jobs.update_one({"_id": ObjectId(job.id)}, {"$set": later})
    read = await store.get(job.id)
    assert read
    beaten = await store.apply(read.checkpoint(START, read.progress("a").advanced(5, "c", 0.1)))
    await store.apply(beaten.resume(START + timedelta(days=1), POLICY))
    found = await jobs.find_one({"_id": ObjectId(job.id)})
    assert found
    assert found["region"] == "eu"
    assert (found["steps"][0]["deleted"], found["steps"][0]["pace"]) == (5, 7)
    assert found["pastAttempts"][0]["node"] == {"name": "n-1"}
    assert found["failure"]["trace"] == ["x", "y"]
    assert len(found["pastAttempts"]) == 2


NOT_STORABLE: dict[str, StepProgress] = {
    "a number that is too large": StepProgress("a", deleted=2**70),
    "half a character": StepProgress("a", cursor="\udcff"),
    "more than a document holds": StepProgress("a", cursor="x" * 17_000_000),
}


@pytest.mark.parametrize("progress", NOT_STORABLE.values(), ids=NOT_STORABLE.keys())
async def test_a_change_that_cannot_be_stored_does_not_fail_its_group(
    store: MongoJobStore, progress: StepProgress
) -> None:
    jobs = [await put(store, new_job()) for _ in range(4)]
    changes = [job.checkpoint(START, StepProgress("a", deleted=3)) for job in jobs]
    changes[2] = jobs[2].checkpoint(START, progress)
    answers = await asyncio.gather(*map(store.apply, changes), return_exceptions=True)
    assert isinstance(answers[2], Exception)
    assert not isinstance(answers[2], LeaseLost | StoreUnavailable)
    for number in (0, 1, 3):
        assert answers[number] == changes[number].after
        assert await store.get(jobs[number].id) == changes[number].after
    assert await store.get(jobs[2].id) == jobs[2]


async def test_a_change_the_server_refuses_does_not_fail_its_group(store: MongoJobStore) -> None:
    """A document that breaks a rule of validation, say."""
    first, second = await put(store, new_job()), await put(store, new_job())
    refusal = BulkWriteError(
        {
            "writeErrors": [{"index": 0, "code": 121, "errmsg": "validation"}],
            "writeConcernErrors": [],
        }
    )
    real = store._jobs.bulk_write

    async def bulk_write(updates: Sequence[UpdateOne], *, ordered: bool) -> NoReturn:
        assert not ordered
        await real(updates[1:], ordered=ordered)
        raise refusal

    replace_bulk_write(store, bulk_write)
    answers = await asyncio.gather(
        store.apply(first.checkpoint(START)),
        store.apply(second.checkpoint(START)),
        return_exceptions=True,
    )
    assert isinstance(answers[0], OperationFailure)
    assert answers[1] == second.checkpoint(START).after


def replace_bulk_write(store: MongoJobStore, bulk_write: Callable[..., Awaitable[Any]]) -> None:
    """Let `store` make its changes with `bulk_write`, in groups as before."""
    jobs: Any = SimpleNamespace(bulk_write=bulk_write, find=store._jobs.find)
    store._changes = Grouping(Writes(jobs, 10).apply, limit=GROUP_LIMIT, senders=GROUPS)


UNCONFIRMED = pytest.mark.parametrize("code", [64, 11602], ids=["too few", "stepped down"])
"""What a write concern error may be: a primary that steps down, or secondaries that are away."""


@UNCONFIRMED
async def test_a_change_that_may_be_rolled_back_is_not_taken_for_written(
    store: MongoJobStore, code: int
) -> None:
    job = await put(store, new_job())

    async def bulk_write(updates: Sequence[UpdateOne], *, ordered: bool) -> NoReturn:
        raise BulkWriteError(
            {"writeErrors": [], "writeConcernErrors": [{"code": code, "errmsg": "unconfirmed"}]}
        )

    replace_bulk_write(store, bulk_write)
    with pytest.raises(StoreUnavailable):
        await store.apply(job.checkpoint(START))


async def test_changes_of_one_moment_go_out_together(store: MongoJobStore) -> None:
    jobs = [await put(store, new_job()) for _ in range(12)]
    sizes: list[int] = []
    real = store._jobs.bulk_write

    async def bulk_write(updates: Sequence[UpdateOne], *, ordered: bool) -> Any:
        sizes.append(len(updates))
        assert all("botId" in update._filter for update in updates), "the shard key"
        return await real(updates, ordered=ordered)

    replace_bulk_write(store, bulk_write)
    await asyncio.gather(*(store.apply(job.checkpoint(START)) for job in jobs))
    assert sum(sizes) == 12
    assert len(sizes) <= 3


# --- indexes


async def test_the_indexes_are_those_declared_and_begin_with_the_shard_key_where_unique(
    store: MongoJobStore, jobs: Collection
) -> None:
    indexes = {
        name: (tuple(field for field, _ in index["key"]), index)
        for name, index in (await jobs.index_information()).items()
        if name != "_id_"
    }
    assert {name: keys for name, (keys, _) in indexes.items()} == {
        "bot_service_events_unique": ("botId", "service", "eventIds"),
        "bot_service_live_unique": ("botId", "service"),
        "queue_due": ("queue", "due"),
        "unreported": ("unreported",),
        "status_modified": ("status", "lastModifiedAt"),
        "status_service_created": ("status", "service", "createdAt"),
    }
    unique = {name for name, (_, index) in indexes.items() if index.get("unique")}
    assert unique == {"bot_service_events_unique", "bot_service_live_unique"}
    live = indexes["bot_service_live_unique"][1]
    assert dict(live["partialFilterExpression"]) == {"live": True}
    for name in ("queue_due", "unreported"):
        assert indexes[name][1].get("sparse"), "only jobs with the field"


@pytest.mark.proves("duplicates")
async def test_the_database_itself_refuses_a_second_job(
    store: MongoJobStore, jobs: Collection
) -> None:
    job = await put(store, new_job())
    done = await put(store, new_job(status=Status.COMPLETE))
    for second in (request_for(job), redelivered(done)):
        with pytest.raises(DuplicateKeyError):
            await jobs.insert_one(to_document(second))


async def test_creating_the_indexes_again_is_harmless(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    await indexed(MongoJobStore, client, database_name)


async def test_an_index_of_the_same_name_that_differs_is_not_taken_for_right(
    client: Client, database_name: str
) -> None:
    jobs = client[database_name][COLLECTION]
    await jobs.create_index([("service", 1), ("eventId", 1)], name="bot_service_events_unique")
    with pytest.raises(ConfigurationError, match=COLLECTION):
        await indexed(MongoJobStore, client, database_name)


JOB = replace(new_job(), last_modified_at=START)
CALLS: dict[str, Callable[[MongoJobStore], Awaitable[object]]] = {
    "ping": lambda store: store.ping(),
    "check_writes": lambda store: store.check_writes(),
    "record": lambda store: store.record([JOB]),
    "apply": lambda store: store.apply(JOB.complete(START)),
    "get": lambda store: store.get(JOB.id),
    "time": lambda store: store.time(),
    "due": lambda store: store.due("conversations", START, START, 1),
    "silent": lambda store: store.silent(Status.FAILED, since=START, until=START, limit=1),
    "count": lambda store: store.count(Status.FAILED),
    "count_waiting": lambda store: store.count_waiting(Status.FAILED, until=START, limit=9),
    "find": lambda store: store.find(limit=1),
}


async def test_each_call_says_so_within_seconds_when_the_database_is_away() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}/?directConnection=true")
    store = MongoJobStore(client, "nowhere")
    names = list(CALLS)
    for few in (names[:5], names[5:]):  # each takes one of the driver's threads
        async with asyncio.timeout(CALL_SECONDS + 2 * SERVER_SELECTION_SECONDS):
            answers = await asyncio.gather(
                *(CALLS[call](store) for call in few), return_exceptions=True
            )
        for call, answer in zip(few, answers, strict=True):
            assert isinstance(answer, StoreUnavailable), call
    client.close()


def test_every_call_is_among_them() -> None:
    assert {name for name, _ in getmembers(MongoJobStore, iscoroutinefunction)} - set(CALLS) == {
        name for name, _ in getmembers(MongoJobStore, iscoroutinefunction) if name.startswith("_")
    }


async def test_a_ping_that_gets_no_answer_does_not_keep_anybody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A suspended server takes the connection and says nothing."""
    monkeypatch.setattr("deletion.adapters.mongo.connection.PING_SECONDS", 0.2)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = connect(f"mongodb://127.0.0.1:{port}/?directConnection=true")
    async with asyncio.timeout(SERVER_SELECTION_SECONDS):
        with pytest.raises(StoreUnavailable):
            await MongoJobStore(client, "nowhere").ping()
    client.close()
    server.close()


async def test_a_server_that_hangs_does_not_hold_up_the_end_of_a_process(tmp_path: Path) -> None:
    async with EmbeddedMongo(tmp_path) as own:
        clients = Clients(own.uri)
        await clients.get()["x"]["y"].find_one({})
        async with frozen(own.pid):
            began = time.monotonic()
            clients.close()
            assert time.monotonic() - began < CLOSE_SECONDS + SLACK


def refusing(monkeypatch: pytest.MonkeyPatch, store: MongoJobStore, **details: Any) -> None:
    """The next bulk insert of `store` ends with `details`."""

    class Refusing:
        async def insert_many(self, documents: Sequence[Document], *, ordered: bool) -> NoReturn:
            assert not ordered
            raise BulkWriteError({"writeErrors": [], "writeConcernErrors": []} | details)

    monkeypatch.setattr(store, "_jobs", Refusing())


@UNCONFIRMED
async def test_an_insert_that_may_be_rolled_back_is_not_taken_for_recorded(
    store: MongoJobStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A primary that steps down may have written, and its successor may not have it."""
    refusing(monkeypatch, store, writeConcernErrors=[{"code": code, "errmsg": "unconfirmed"}])
    with pytest.raises(StoreUnavailable):
        await store.record([new_job()])


async def test_an_insert_refused_for_another_reason_is_no_duplicate(
    store: MongoJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, store, writeErrors=[{"index": 0, "code": 121, "errmsg": "validation"}])
    with pytest.raises(BulkWriteError):
        await store.record([new_job()])


class Racing(MongoJobStore):
    """A store where the jobs in the way move just before their bots' requests join them."""

    def __init__(self, client: Client, database: str, *moves: Callable[[Job], Change]) -> None:
        super().__init__(client, database)
        self.moves = list(moves)
        self.others = MongoJobStore(client, database)

    async def _joins(self, jobs: Sequence[Job]) -> Joins:
        if jobs and self.moves:
            move = self.moves.pop()
            [live] = await self.others.find(bot_id=jobs[0].bot_id, limit=1)
            assert isinstance(live, Job)
            await self.others.apply(move(live))
        return await super()._joins(jobs)


async def test_a_request_whose_live_job_completes_meanwhile_is_a_new_job(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    first = await put(store, new_job())
    racing = Racing(client, database_name, lambda live: live.complete(START))
    second = request_for(first)
    assert await racing.record([second]) == [Recorded(RecordOutcome.NEW, second.id)]


async def test_a_request_whose_live_job_beats_meanwhile_joins_it(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    first = await put(store, new_job())
    racing = Racing(client, database_name, lambda live: live.checkpoint(START))
    [outcome] = await racing.record([request_for(first)])
    assert outcome == Recorded(RecordOutcome.JOINED, first.id)


class Doubled(MongoJobStore):
    """A store where each request that is to join is recorded by a redelivery just before."""

    async def _joins(self, jobs: Sequence[Job]) -> Joins:
        if jobs:
            other = await super()._joins([redelivered(job) for job in jobs])
            assert await self._all_match(other.updates)
        return await super()._joins(jobs)


async def test_a_request_that_joins_twice_at_once_is_covered_once(
    store: MongoJobStore, client: Client, database_name: str
) -> None:
    """A unique index does not keep one document from naming an event twice."""
    first = await put(store, new_job())
    request = request_for(first)
    [outcome] = await Doubled(client, database_name).record([request])
    assert outcome == Recorded(RecordOutcome.KNOWN, first.id)
    joined = await store.get(first.id)
    assert joined
    assert joined.event_ids == (first.event_id, request.event_id)


async def test_a_request_that_collides_with_nothing_that_can_be_read_is_not_recorded(
    store: MongoJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await put(store, new_job())

    async def nothing(_: Document) -> list[Document]:
        return []

    monkeypatch.setattr(store, "_brief", nothing)
    with pytest.raises(StoreUnavailable):
        await store.record([request_for(first)])
