"""What a command does is on record before it is done, whatever becomes of the command."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from deletion.errors import ClockSkew, LeaseLost, StoreUnavailable
from deletion.job import Change, Job, Status
from deletion.operating.acting import Tally
from deletion.operating.jobs import Choice, looks_of_job, retry_jobs
from deletion.operating.journal import INTERRUPTED, TRIES, do_once, on_record
from deletion.operating.record import (
    MOST,
    ActionKind,
    ActionStatus,
    OperatorAction,
    Order,
    Outcome,
    Target,
    WholeAction,
    in_words,
)
from tests.support.clock import VirtualClock
from tests.support.factories import POLICY, a_job
from tests.support.memory_actions import MemoryActionStore
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

ORDER = Order(ActionKind.RETRY, "ada@desk", "the API is back", {"status": "exhausted"})
RETIRE = Order(ActionKind.RETIRE, "ada@desk", "it is gone", {"service": "billing"})
RUNNING, COMPLETE, FAILED = ActionStatus


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.jobs = ScriptedStore(self.clock)
        self.store = MemoryActionStore()
        self.tally = Tally()

    def put(self, count: int, status: Status = Status.EXHAUSTED) -> list[Job]:
        first = len(self.jobs.jobs) + 1
        ids = [f"{number:024x}" for number in range(first, first + count)]
        return [self.jobs.put(a_job(status, id=each, bot_id=each)) for each in ids]

    async def retry(self, choice: Choice) -> None:
        """As `botdel jobs retry` does."""
        tally, clock = self.tally, self.clock
        async with on_record(ORDER, tally, looks_of_job, self.store, clock) as before:
            await retry_jobs(choice, self.jobs, clock, POLICY, tally, before=before)

    @property
    def recorded(self) -> WholeAction:
        (whole,) = self.store.actions.values()
        return whole


@pytest.fixture
def world() -> World:
    return World()


def ids(records: Sequence[Any]) -> list[str]:
    return [record.id for record in records]


@pytest.mark.proves("action-recorded-first")
async def test_each_job_is_on_record_as_it_looked_before_it_is_changed(world: World) -> None:
    jobs = world.put(250)
    seen: list[bool] = []

    async def look(change: Change) -> None:
        looked = Target(change.after.id, looks_of_job(change.before))
        seen.append(looked in world.recorded.targets and world.recorded.action.order == ORDER)

    world.jobs.before_apply = look
    await world.retry(Choice(status=Status.EXHAUSTED))
    assert seen == [True] * 250
    action = world.recorded.action
    assert (action.status, action.done, action.total) == (COMPLETE, 250, 250)
    assert ids(world.recorded.outcomes) == ids(jobs)
    assert not action.is_frozen


async def test_refusals_are_on_record_also_of_ids_that_no_record_has(world: World) -> None:
    (sound,), (complete,), unknown = world.put(1), world.put(1, Status.COMPLETE), "f" * 24
    await world.retry(Choice([unknown, complete.id, sound.id]))
    assert ids(world.recorded.targets) == [complete.id, sound.id]
    refused = {each.id: each.refusal for each in world.recorded.outcomes if each.refusal}
    assert refused == world.tally.refused
    assert list(refused) == [unknown, complete.id]
    assert (world.recorded.action.done, world.recorded.action.refused) == (1, 2)


async def test_what_a_limit_leaves_alone_is_no_target(world: World) -> None:
    jobs = world.put(30)
    await world.retry(Choice(status=Status.EXHAUSTED, limit=7))
    assert ids(world.recorded.targets) == ids(world.recorded.outcomes) == ids(jobs[:7])


async def test_a_command_that_finds_nothing_is_on_record(world: World) -> None:
    await world.retry(Choice())
    assert world.recorded.action.status is COMPLETE
    assert world.recorded.targets == ()


async def test_a_long_refusal_is_cut_in_the_record(world: World) -> None:
    world.put(1)
    world.jobs.faults["apply"] = deque([ValueError("x" * 5000)])
    await world.retry(Choice(status=Status.EXHAUSTED))
    (outcome,) = world.recorded.outcomes
    assert len(outcome.refusal or "") == 500


async def test_text_that_no_database_stores_stops_nothing(world: World) -> None:
    """Such as an argument that is not UTF-8, or an error that quotes one."""
    jobs = world.put(2)
    world.jobs.faults["apply"] = deque([ValueError("odd \udcff"), None])
    order = Order(ActionKind.RETRY, "a\udcff", "why \udcff", in_words([], service="s\udcff"))
    async with on_record(order, world.tally, looks_of_job, world.store, world.clock) as before:
        await retry_jobs(
            Choice(ids(jobs)), world.jobs, world.clock, POLICY, world.tally, before=before
        )
    order = world.recorded.action.order
    texts = [order.by, order.reason, order.choice["service"], world.recorded.outcomes[0].refusal]
    assert texts == ["a?", "why ?", "s?", "odd ? (ValueError)"]


@pytest.mark.proves("action-bounded")
async def test_more_than_a_thousand_are_several_records_each_bounded(world: World) -> None:
    jobs = world.put(2 * MOST + 50)
    await world.retry(Choice(status=Status.EXHAUSTED))
    records = list(world.store.actions.values())
    assert [len(whole.targets) for whole in records] == [MOST, MOST, 50]
    assert [target for whole in records for target in ids(whole.targets)] == ids(jobs)
    assert all(ids(whole.outcomes) == ids(whole.targets) for whole in records)
    assert {whole.action.status for whole in records} == {COMPLETE}
    first = records[0].action.id
    assert [whole.action.continues for whole in records] == [None, first, first]


async def test_many_that_no_record_has_are_bounded_too(world: World) -> None:
    unknown = [f"{number:024x}" for number in range(MOST + 10)]
    await world.retry(Choice(unknown))
    assert [len(whole.outcomes) for whole in world.store.actions.values()] == [MOST + 1, 9]


# --- when the command cannot go on


class Failing(MemoryActionStore):
    """Its saves fail from the `nth` on."""

    def __init__(self, nth: int, error: Exception) -> None:
        super().__init__()
        self.left = nth
        self.error = error

    async def save(self, *args: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error
        await super().save(*args, **kwargs)


@pytest.mark.proves("action-recorded-first")
@pytest.mark.parametrize("error", [StoreUnavailable("away"), LeaseLost("taken")])
async def test_what_cannot_be_recorded_is_not_done(world: World, error: Exception) -> None:
    jobs = world.put(150)
    world.store = Failing(1, error)
    with pytest.raises(type(error)):
        await world.retry(Choice(status=Status.EXHAUSTED))
    done = [job.id for job in jobs if world.jobs.jobs[job.id].status is Status.PENDING]
    assert done == ids(world.recorded.targets) == ids(jobs[:100])
    assert world.recorded.action.status is RUNNING, "it goes silent"


async def test_without_a_database_for_the_record_nothing_is_done(world: World) -> None:
    jobs = world.put(1)

    class Away(MemoryActionStore):
        async def insert(self, action: OperatorAction, targets: Sequence[Target] = ()) -> bool:
            raise StoreUnavailable("away")

    world.store = Away()
    with pytest.raises(StoreUnavailable):
        await world.retry(Choice(status=Status.EXHAUSTED))
    assert world.jobs.jobs[jobs[0].id] == jobs[0]


async def test_an_error_in_the_middle_is_the_failure_with_what_was_done_by_then(
    world: World,
) -> None:
    jobs = world.put(150)

    async def fail(change: Change) -> None:
        if change.after.id == jobs[120].id:
            raise StoreUnavailable("the database is away")

    world.jobs.before_apply = fail
    with pytest.raises(StoreUnavailable):
        await world.retry(Choice(status=Status.EXHAUSTED))
    action = world.recorded.action
    assert (action.status, action.failure) == (FAILED, "the database is away")
    assert (action.total, action.done) == (150, 149)
    assert len(world.recorded.left) == 1


async def test_a_wrong_clock_is_on_record_and_nothing_is_done(world: World) -> None:
    world.put(1)
    world.jobs.skew = 10 * POLICY.stale_after
    with pytest.raises(ClockSkew):
        await world.retry(Choice(status=Status.EXHAUSTED))
    assert world.recorded.action.status is FAILED
    assert "clock" in (world.recorded.action.failure or "")
    assert world.recorded.targets == ()


async def test_a_command_that_is_interrupted_says_so(world: World) -> None:
    world.put(1)
    world.jobs.pauses["apply"] = 100
    retrying = asyncio.create_task(world.retry(Choice(status=Status.EXHAUSTED)))
    await asyncio.sleep(1)
    retrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retrying
    action = world.recorded.action
    assert (action.status, action.failure, action.begun) == (FAILED, INTERRUPTED, 1)


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_full_record_stays_complete_when_the_insert_of_the_next_gets_no_answer(
    world: World, *, is_taken: bool
) -> None:
    """The next one is failed, and says why."""
    world.put(MOST + 1)
    left = TRIES

    class Silent(MemoryActionStore):
        async def insert(self, action: OperatorAction, targets: Sequence[Target] = ()) -> bool:
            nonlocal left
            if not action.continues or not left:
                return await super().insert(action, targets)
            if is_taken:
                await super().insert(action, targets)
            left -= 1
            raise StoreUnavailable("no answer")

    world.store = Silent()
    with pytest.raises(StoreUnavailable):
        await world.retry(Choice(status=Status.EXHAUSTED))
    full, following = (whole.action for whole in world.store.actions.values())
    assert (full.status, full.done) == (COMPLETE, MOST)
    assert (following.status, following.failure) == (FAILED, "no answer")
    assert (following.continues, following.total) == (full.id, 0)


# --- one thing


class Forgetful(MemoryActionStore):
    """Takes writes whose answers are lost, `lost` of them. `hangs` makes it answer none at all."""

    lost = 0
    hangs = False

    async def save(self, *args: Any, **options: Any) -> None:
        await super().save(*args, **options)
        if self.hangs:
            self.hangs = False
            await asyncio.Event().wait()
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("no answer")


async def test_the_end_is_on_record_after_a_write_of_which_every_answer_was_lost() -> None:
    world, store = World(), Forgetful()
    world.store = store
    (job,) = world.put(1)
    store.lost = TRIES
    with pytest.raises(StoreUnavailable):
        await world.retry(Choice([job.id]))
    action = world.recorded.action
    assert (action.status, action.failure) == (FAILED, "no answer")
    assert [target.id for target in world.recorded.targets] == [job.id]


async def test_the_end_is_on_record_of_a_command_that_is_interrupted_while_it_writes() -> None:
    world, store = World(), Forgetful()
    world.store = store
    (job,) = world.put(1)
    store.hangs = True
    command = asyncio.create_task(world.retry(Choice([job.id])))
    await world.clock.sleep(1)
    command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command
    action = world.recorded.action
    assert (action.status, action.failure) == (FAILED, INTERRUPTED)


async def test_one_thing_is_on_record_before_it_is_done(world: World) -> None:
    seen: list[tuple[Target, ...]] = []

    async def retire() -> Outcome:
        seen.append(world.recorded.targets)
        return Outcome("billing")

    target = Target("billing")
    outcome = await do_once(RETIRE, target, retire, world.store, world.clock)
    assert outcome == Outcome("billing")
    assert seen == [(target,)]
    assert world.recorded.outcomes == (outcome,)
    assert (world.recorded.action.status, world.recorded.action.done) == (COMPLETE, 1)


async def test_its_refusal_and_what_it_made_are_on_record(world: World) -> None:
    async def refused() -> Outcome:
        return Outcome("billing", "it is retired already")

    await do_once(RETIRE, Target("billing"), refused, world.store, world.clock)
    assert (world.recorded.action.done, world.recorded.action.refused) == (0, 1)


async def test_what_it_raises_is_its_failure(world: World) -> None:
    async def fail() -> Outcome:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await do_once(RETIRE, None, fail, world.store, world.clock)
    action = world.recorded.action
    assert (action.status, action.failure) == (FAILED, "broken (ValueError)")


# --- choices in words


def test_a_choice_is_named_by_its_first_ids_or_by_its_filters() -> None:
    assert in_words([], service="billing", bot=None, limit=3) == {
        "service": "billing",
        "limit": "3",
    }
    assert in_words(["a", "b"], service=None) == {"ids": "a, b"}
    words = in_words([str(number) for number in range(1_022)])["ids"]
    assert words.startswith("0, 1, 2")
    assert words.endswith("18, 19 and 1,002 more")
