"""Writes records of every kind, through the stores of the code that runs it, old or new.

`python scribe.py MONGODB_URI DATABASE`, with that code on PYTHONPATH. It uses only what every
release has. All ids and times are fixed, so that two runs write the same; all are in the past.
"""

import asyncio
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from deletion.adapters.mongo import breakers, dead_letters, jobs
from deletion.adapters.mongo.connection import build_indexes, connect
from deletion.breaker import Breaker, BreakerPolicy
from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetter, DeadLetterStatus, Reason
from deletion.job import Change, Failure, Job, LeasePolicy, StepProgress, StepStatus
from recovery.mongo_sweeps import MongoSweepStore

START: Final = datetime(2025, 3, 30, 1, 59, 59, 250000, UTC)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
POLICY: Final = LeasePolicy(timedelta(minutes=10), max_attempts=3)
SERVICE, SAGA, STEP, POINT = "conversations", "billing", "messages", "erase"
RUN: Final = "worker-1/a"
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def somewhere(*modules: str) -> Any:
    """The first of these modules that there is: releases move things."""
    return import_module(next(module for module in modules if find_spec(module)))


def number(name: str) -> str:
    """24 hex digits that only `name` has."""
    return uuid.uuid5(uuid.NAMESPACE_URL, name).hex[:24]


def event_of(name: str) -> str:
    """The event's id that only `name` has."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"event {name}"))


class Jobs:
    """Writes jobs, each with a name from which its ids are made."""

    def __init__(self, store: jobs.MongoJobStore) -> None:
        self._store = store

    async def placed(self, name: str, *, joined: Sequence[str] = (), saga: bool = False) -> Job:
        """A pending job of a new bot, and the requests that joined it."""
        made = [self._request(name, each, saga=saga) for each in (name, *joined)]
        for request in made:
            await self._store.record([request])
        return await self._get(made[0].id)

    async def moved(self, job: Job, *moves: Callable[[Job], Change]) -> Job:
        """The job after these transitions, each written."""
        for move in moves:
            job = await self._store.apply(move(job))
        return job

    def _request(self, bot: str, name: str, *, saga: bool) -> Job:
        steps = (StepProgress("suspend"), StepProgress(POINT)) if saga else (StepProgress(STEP),)
        return Job.placed(
            id=number(f"job {name}"),
            service=SAGA if saga else SERVICE,
            bot_id=number(f"bot {bot}"),
            event_id=event_of(name),
            placed_at=START,
            steps=steps,
            now=START + SECOND,
            point_of_no_return=POINT if saga else None,
            requested_by="customer-portal",
            traceparent=TRACE,
        )

    async def _get(self, job_id: str) -> Job:
        job = await self._store.get(job_id)
        if job is None:
            raise LookupError(job_id)
        return job


def claimed(at: datetime) -> Callable[[Job], Change]:
    """Claim it."""
    return lambda job: job.claim(RUN, at)


def worked(at: datetime, batches: int = 2) -> Callable[[Job], Change]:
    """Write the checkpoint of some batches of its first step."""

    def checkpoint(job: Job) -> Change:
        progress = job.current_steps[0].began(job.placed_at)
        for batch in range(batches):
            progress = progress.advanced(10, number(f"cursor {batch}"), 0.25)
        return job.checkpoint(at, progress.waited("the pace", 1.5))

    return checkpoint


def done(at: datetime) -> Callable[[Job], Change]:
    """Write that all of its steps are done and read back."""

    def checkpoint(job: Job) -> Change:
        steps = [
            StepProgress(step.name, StepStatus.COMPLETE, 20, None, 2, 0.25, "empty", job.placed_at)
            for step in job.current_steps
        ]
        return job.checkpoint(at, *steps)

    return checkpoint


def failed(at: datetime) -> Callable[[Job], Change]:
    """End its run with an error."""
    return lambda job: job.fail(Failure("StoreUnavailable", "the database is away", at))


def swept(at: datetime) -> Callable[[Job], Change]:
    """What a sweep does with it."""
    return lambda job: job.sweep(at, POLICY)


def begun(at: datetime) -> Callable[[Job], Change]:
    """Begin the first step of a saga, which has a compensation."""
    return lambda job: job.begin(at, job.steps[0].began(job.placed_at), is_compensated=True)


def refused(at: datetime) -> Callable[[Job], Change]:
    """Roll the saga back."""
    return lambda job: job.roll_back(Failure("PermanentError", "409 the account is disputed", at))


async def write_jobs(store: jobs.MongoJobStore) -> None:
    """A job in every status, and in every state that a status does not tell."""
    write, at = Jobs(store), [START + n * HOUR for n in range(30)]
    await write.placed("pending")
    await write.placed("joined", joined=("joins", "joins too"))
    await write.moved(await write.placed("running"), claimed(at[1]), worked(at[1] + MINUTE))
    await write.moved(await write.placed("failed"), claimed(at[1]), worked(at[2]), failed(at[3]))
    handed = Failure("Interrupted", "the process is about to end", at[2])
    await write.moved(
        await write.placed("handed over"),
        claimed(at[1]),
        worked(at[1] + MINUTE),
        lambda job: job.hand_over(handed),
    )
    busy = Failure("CircuitOpen", "the breaker of api.example.org is open", at[2])
    await write.moved(
        await write.placed("parked"),
        claimed(at[1]),
        lambda job: job.park(busy, at[3], POLICY, has_called=False),
    )
    await write.moved(
        await write.placed("suspect"), claimed(at[1]), swept(at[2]), claimed(at[3]), swept(at[4])
    )
    await write.moved(
        await write.placed("exhausted"),
        *(move for n in (1, 3, 5) for move in (claimed(day(n)), failed(day(n) + MINUTE), rested)),
    )
    await write.moved(
        await write.placed("complete", joined=("completes",)),
        claimed(at[1]),
        worked(at[1] + MINUTE),
        done(at[2]),
        lambda job: job.complete(at[3]),
    )
    await write_sagas(write, at)


def day(number_of_days: int) -> datetime:
    """The time so many days after `START`."""
    return START + number_of_days * DAY


def rested(job: Job) -> Change:
    """What a sweep does with it once it has rested for as long as a job may."""
    return job.sweep(job.last_modified_at + DAY, POLICY)


async def write_sagas(write: Jobs, at: Sequence[datetime]) -> None:
    """Jobs of a saga: begun, rolled back, and compensated."""
    await write.moved(await write.placed("saga", saga=True), claimed(at[1]), begun(at[2]))
    await write.moved(
        await write.placed("turned back", saga=True), claimed(at[1]), begun(at[2]), refused(at[3])
    )
    await write.moved(
        await write.placed("compensated", saga=True),
        claimed(at[1]),
        begun(at[2]),
        refused(at[3]),
        claimed(at[4]),
        done(at[5]),
        lambda job: job.compensate(at[6]),
    )


def letter(name: str, reason: Reason, **values: Any) -> DeadLetter:
    """A dead letter of a message that only `name` has."""
    fields: dict[str, Any] = {
        "id": number(f"letter {name}"),
        "service": SERVICE,
        "message_id": name,
        "data": b"\xff\x00" + name.encode(),
        "attributes": {"event_id": event_of(name), "bot_id": number(f"bot {name}")},
        "published_at": START,
        "delivery_attempt": 1,
        "reason": reason,
        "detail": f"a message that is {reason.value}",
        "first_seen_at": START + MINUTE,
        "last_seen_at": START + MINUTE,
    }
    return DeadLetter(**(fields | values))


async def write_letters(store: dead_letters.MongoDeadLetterStore) -> None:
    """A dead letter of each reason and status, one seen twice, and one whose replay came back."""
    for reason in Reason:
        await store.record([letter(reason.value, reason)])
    await store.record([letter("undecodable", Reason.UNDECODABLE, delivery_attempt=4)])
    await store.record([letter("nobody", Reason.UNDELIVERED, service="", attributes={})])
    mark = getattr(store, "mark", None) or store.settle  # type: ignore[attr-defined]
    for status in (DeadLetterStatus.REPLAYED, DeadLetterStatus.DISCARDED):
        one = letter(status.value, Reason.INVALID)
        await store.record([one])
        await mark(one, status)
    origin = letter("returns", Reason.TOO_NEW)
    await store.record([origin])
    await mark(origin, DeadLetterStatus.REPLAYED)
    attributes = {**origin.attributes, RECORD_ATTRIBUTE: origin.id}
    again = letter("replay", Reason.INVALID, data=origin.data, attributes=attributes)
    await store.record([again])


async def write_breakers(store: breakers.MongoBreakerStore) -> None:
    """A breaker in every state."""
    policy = BreakerPolicy()

    async def moved(host: str, *moves: Callable[[Breaker], Breaker]) -> None:
        breaker = Breaker(host)
        for move in moves:
            after = move(breaker)
            if not await store.apply(breaker, after):
                raise RuntimeError(f"the breaker of {host} was not written")
            breaker = after

    def down(name: str, at: datetime) -> Callable[[Breaker], Breaker]:
        return lambda breaker: breaker.failed(name, number(name), "503", at, policy)

    first, second = down("one", START), down("two", START + MINUTE)
    probing = START + 2 * MINUTE
    await moved("https://failed.example.org", first)
    await moved("https://open.example.org", first, second)
    await moved(
        "https://probing.example.org",
        first,
        second,
        lambda breaker: breaker.probing("probe", probing, MINUTE),
    )
    await moved("https://closed.example.org", first, second, lambda each: each.closed("closed"))


async def write_sweeps(store: MongoSweepStore) -> None:
    """A sweep that ended well, one that failed, and one whose process died."""
    sweeps = somewhere("deletion.sweep", "recovery.sweep")
    outcome = sweeps.Outcome

    async def started(name: str, at: datetime) -> Any:
        return await store.start(sweeps.Sweep.started(number(name), at), silent_since=at - HOUR)

    outcomes = [outcome.RESUMED, outcome.RESUMED, outcome.EXHAUSTED, outcome.SKIPPED]
    complete = (await started("complete", START)).advanced(START + MINUTE, outcomes)
    await store.save(complete.completed(START + 2 * MINUTE))
    broken = await started("broken", START + DAY)
    await store.save(broken.failed(START + DAY + MINUTE, "the database is away"))
    await started("died", START + 2 * DAY)


async def write(uri: str, database: str) -> None:
    """Write everything, with the indexes of this code in place."""
    client = connect(uri)
    try:
        sweeps = somewhere("deletion.adapters.mongo.sweeps", "recovery.mongo_sweeps")
        for module in (jobs, dead_letters, sweeps):
            await build_indexes(client[database][module.COLLECTION], module.INDEXES)
        store = jobs.MongoJobStore(client, database)
        await store.check_writes()
        await write_jobs(store)
        await write_letters(dead_letters.MongoDeadLetterStore(client, database))
        await write_breakers(breakers.MongoBreakerStore(client, database))
        await write_sweeps(MongoSweepStore(client, database))
    finally:
        client.close()


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:3]))
