"""Whatever workers try, in any order: a store accepts what its model accepts, and nothing else.

Workers hold jobs as they read them some time ago, and make every transition with them.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.errors import LeaseLost, TransitionError
from deletion.job import Change, Failure, Job, LeasePolicy, StepProgress, StepStatus
from deletion.ports import JobStore
from deletion.silence import EPOCH
from tests.conformance.job_model import (
    MAX_ATTEMPTS,
    PARKED,
    POINT,
    REST,
    STALE_AFTER,
    STEP,
    TRANSITIONS,
    Model,
    Row,
)
from tests.support.clock import START
from tests.support.indexed import indexed
from tests.support.memory_stores import MemoryJobStore

POLICY = LeasePolicy(STALE_AFTER, MAX_ATTEMPTS, REST)
BOTS, EVENTS = 2, 5
SECONDS = [0, 1, REST.seconds, STALE_AFTER.seconds - 1, STALE_AFTER.seconds, 4 * REST.seconds]

SELDOM_FIRST = ("roll_back_spent", "exhaust", "compensate", "resume", "claim", "fail", "retry")
Held = Any
"""A job for a bundle, or nothing, which hypothesis calls `multiple()`."""
numbers = count(1)


def change_of(transition: str, job: Job, now: datetime, owner: str) -> Change:
    """The transition as the product makes it. Raises `TransitionError`."""
    broken = Failure("ValueError", "broken", now)
    calls: dict[str, Callable[[], Change]] = {
        "claim": lambda: job.claim(owner, now),
        "checkpoint": lambda: written(job, now),
        "complete": lambda: job.complete(now),
        "compensate": lambda: job.compensate(now),
        "roll_back": lambda: job.roll_back(broken),
        "roll_back_spent": lambda: job.roll_back_spent(now, POLICY),
        "fail": lambda: job.fail(broken),
        "hand_over": lambda: job.hand_over(broken),
        "park": lambda: job.park(
            Failure("Parked", "open", now), now + PARKED, POLICY, has_called=True
        ),
        "resume": lambda: job.resume(now, POLICY),
        "exhaust": lambda: job.exhaust(now, POLICY),
        "retry": lambda: job.retry(now, POLICY),
    }
    return calls[transition]()


def written(job: Job, now: datetime) -> Change:
    """What its run writes next: of a saga that it begins a step, or that it has undone one."""
    step = job.progress(STEP)
    if job.rollback_cause and not job.compensations:
        return job.checkpoint(now)
    if job.may_roll_back:
        name = POINT if step.is_begun else STEP
        begun = StepProgress(name).began(job.placed_at)
        return job.begin(now, begun, is_compensated=name == STEP)
    status = StepStatus.COMPLETE if job.rollback_cause else step.status
    return job.checkpoint(now, replace(step, status=status, deleted=step.deleted + 1))


class JobStoreMachine(RuleBasedStateMachine):
    """Workers over one store; `call` runs what it is asked."""

    held = Bundle("held")
    offered = Bundle("offered")

    def __init__(self, store: JobStore, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__()
        self.store = store
        self.call = call
        self.now = START
        self.service = f"service-{next(numbers)}"
        self.bots = [store.new_id() for _ in range(BOTS)]
        self.events = [str(uuid.uuid4()) for _ in range(EVENTS)]
        self.model = Model()

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        target=offered,
        events=st.lists(st.integers(0, EVENTS - 1), min_size=1, max_size=3),
        ago=st.integers(0, 100),
    )
    def events_arrive(self, events: list[int], ago: int) -> list[Job]:
        """Some at once, placed `ago` seconds ago."""
        jobs = [self.job(event, ago) for event in events]
        self.record(jobs)
        return jobs

    @rule(jobs=offered)
    def a_record_is_repeated(self, jobs: list[Job]) -> None:
        """Its answer was lost."""
        self.record(jobs)

    @rule(target=held, number=st.integers(0, 100))
    def a_worker_reads(self, number: int) -> Held:
        ids = sorted(self.model.rows)
        return self.call(self.store.get(ids[number % len(ids)])) if ids else multiple()

    @rule(target=held, job=held, number=st.integers(0, 100), times=st.sampled_from([1, 1, 1, 2]))
    def a_worker_writes(self, job: Job, number: int, times: int) -> Held:
        """What it may by what it knows, however old that is; twice, if the first answer is lost."""
        known = Row.of(job)
        legal = [name for name, each in TRANSITIONS.items() if each.is_legal(known, self.now)]
        if not legal:
            return multiple()
        name, owner = legal[number % len(legal)], f"worker/{next(numbers)}"
        change = change_of(name, job, self.now, owner)
        assert Row.of(change.after) == TRANSITIONS[name].after(known, self.now, owner)
        answers = [self.apply(name, change) for _ in range(times)]
        return multiple(*(answer for answer in answers if answer))

    @rule(target=held, number=st.integers(0, 100))
    def what_is_seldom_possible_happens(self, number: int) -> Held:
        """A life that goes on for long without being disturbed by what others remember."""
        ids = sorted(self.model.rows)
        if not ids:
            return multiple()
        job: Job = self.call(self.store.get(ids[number % len(ids)]))
        for _ in range(4):
            known = Row.of(job)
            legal = [name for name in SELDOM_FIRST if TRANSITIONS[name].is_legal(known, self.now)]
            if not legal or (legal[0] == "retry" and known.is_failure):
                self.now += 4 * REST
                continue
            change = change_of(legal[0], job, self.now, f"worker/{next(numbers)}")
            if not (written := self.apply(legal[0], change)):
                break
            job = written
        return job

    @rule(job=held)
    def a_worker_may_not_write(self, job: Job) -> None:
        """What is not legal by what it knows is refused before it is tried."""
        for name, transition in TRANSITIONS.items():
            if not transition.is_legal(Row.of(job), self.now):
                with pytest.raises(TransitionError):
                    change_of(name, job, self.now, "worker/0")

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        stored = self.call(self.store.find(service=self.service, limit=100))
        assert {job.id: Row.of(job) for job in stored} == self.model.rows

    @invariant()
    def the_queues_hold_what_may_be_claimed(self) -> None:
        for queue, expected in self.model.queues().items():
            due = self.store.due(self.service + queue, EPOCH, self.now + PARKED, 100)
            assert {job.id for job in self.call(due)} == expected

    @invariant()
    def the_model_breaks_no_rule(self) -> None:
        self.model.check()

    def job(self, event: int, ago: int) -> Job:
        return Job.placed(
            id=self.store.new_id(),
            service=self.service,
            bot_id=self.bots[event % BOTS],
            event_id=self.events[event],
            placed_at=self.now - timedelta(seconds=ago),
            steps=(StepProgress(STEP), StepProgress(POINT)),
            now=self.now,
            point_of_no_return=POINT if event % BOTS else None,
        )

    def record(self, jobs: list[Job]) -> None:
        """One at a time: which of two for one bot makes the job is nobody's to say."""
        for job in jobs:
            [found] = self.call(self.store.record([job]))
            assert (found.outcome, found.job_id) == self.model.record(job)

    def apply(self, transition: str, change: Change) -> Job | None:
        is_accepted = self.model.apply(transition, change.before, change.after)
        try:
            answer: Job = self.call(self.store.apply(change))
        except (LeaseLost, TransitionError):
            assert not is_accepted, f"{transition} was refused"
            return None
        assert is_accepted, f"{transition} was accepted"
        return answer


@pytest.mark.proves("one-holder", "transitions")
def test_a_store_in_memory_accepts_what_the_rules_accept_and_nothing_else() -> None:
    with asyncio.Runner() as runner:

        class InMemory(JobStoreMachine):
            def __init__(self) -> None:
                super().__init__(MemoryJobStore(), runner.run)

        run_state_machine_as_test(
            InMemory, settings=settings(max_examples=100, stateful_step_count=40, deadline=None)
        )


@pytest.mark.proves("one-holder", "transitions")
def test_mongodb_accepts_what_the_rules_accept_and_nothing_else(
    mongo: EmbeddedMongo, database_name: str
) -> None:
    """Each run of the machine is a service of its own, in one database."""
    with asyncio.Runner() as runner:
        store = runner.run(_connected(mongo.uri, database_name))

        class OverTheWire(JobStoreMachine):
            def __init__(self) -> None:
                super().__init__(store, runner.run)

        run_state_machine_as_test(
            OverTheWire,
            settings=settings(
                max_examples=12,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )


async def _connected(uri: str, database: str) -> MongoJobStore:
    return await indexed(MongoJobStore, connect(uri), database)
