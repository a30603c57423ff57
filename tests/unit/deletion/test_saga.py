"""A saga goes forward to its end, or everything that it had begun is undone, in reverse."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from deletion.errors import Busy, Parked, PermanentError, PlanError, StepUnknown, StoreUnavailable
from deletion.job import Direction, Job, Status, StepProgress, StepStatus
from deletion.plan import Plan
from deletion.retry import Retry
from deletion.runner import ANSWER_ONLY, Runner
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, POLICY, SERVICE, a_job, items
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

REFUSED = PermanentError("403")
FORWARD = ("pause", "unpublish", "delete", "close")
POINT = "delete"


@dataclass
class World:
    """pause → unpublish → [no return] → delete → close; the first two can be undone."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    calls: list[str] = field(default_factory=list)
    counted: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = ScriptedStore(self.clock)
        self.stopping = asyncio.Event()
        self.steps = {name: self._step(name, name) for name in FORWARD}
        self.undo = {name: self._step(name, f"undo {name}") for name in ("pause", "unpublish")}
        self.plan = Plan(SERVICE, tuple(self.steps.values()), POINT, self.undo)
        steps = tuple(StepProgress(name) for name in FORWARD)
        self.store.put(a_job(steps=steps, point_of_no_return=POINT))

    def _step(self, name: str, call: str) -> ScriptedStep:
        step = ScriptedStep(name, items([BOT], 3), self.clock)
        step.script.append(lambda: self.calls.append(call))
        return step

    @property
    def stored(self) -> Job:
        (job,) = self.store.jobs.values()
        return job

    @property
    def compensations(self) -> dict[str, StepStatus]:
        return {each.name: each.status for each in self.stored.compensations}

    async def run(self, plan: Plan | None = None) -> Job:
        """Claim it, after a sweep where one is needed, and run it once."""
        job = self.stored
        if job.status is not Status.IN_PROGRESS:
            if job.due is None:
                job = self.swept()
            self.clock.pause(max(0, ((job.due or START) - self.clock.now()).total_seconds()))
            job = self.store.put(job.claim(f"worker/{len(self.store.applied)}", self.now).after)
        retry = Retry(self.clock, attempts=2)
        runner = Runner(
            plan or self.plan,
            self.store,
            self.clock,
            POLICY,
            stopping=self.stopping,
            retry=retry,
            retry_seconds=60,
            on_batch=lambda step, deleted: self.counted.append((step, deleted)),
        )
        await runner.run(job)
        return self.stored

    def swept(self) -> Job:
        """After a long rest, what a sweep makes of it."""
        self.clock.pause(timedelta(days=2).total_seconds())
        return self.store.put(self.stored.sweep(self.now, POLICY).after)

    async def until_it_ends(self) -> Job:
        """Run and sweep until nobody but an operator would move it."""
        for _ in range(4 * POLICY.max_attempts):
            await self.run()
            if self.stored.status in {Status.COMPLETE, Status.COMPENSATED}:
                break
            if self.stored.due is None and self.swept().status is Status.EXHAUSTED:
                break
        return self.stored

    @property
    def now(self) -> datetime:
        return self.clock.now()


@pytest.fixture
def world() -> World:
    return World()


async def test_without_an_error_everything_is_deleted_and_nothing_undone(world: World) -> None:
    job = await world.run()
    assert (job.status, job.direction, world.compensations) == (
        Status.COMPLETE,
        Direction.FORWARD,
        {},
    )
    assert world.calls == list(FORWARD)


@pytest.mark.proves("saga-ends")
@pytest.mark.parametrize(("failing", "undone"), [("pause", 1), ("unpublish", 2)])
async def test_an_error_that_will_not_pass_rolls_it_back_at_once(
    world: World, failing: str, undone: int
) -> None:
    """The step that failed is undone too: its call may have been made."""
    world.steps[failing].script.extend([REFUSED])
    job = await world.run()
    assert (job.status, job.direction, job.attempt) == (Status.PENDING, Direction.BACKWARD, 0)
    assert job.due == job.created_at, "at once, before newer ones"
    assert job.rollback_cause
    assert job.rollback_cause.type == "PermanentError"
    world.calls.clear()
    world.counted.clear()
    job = await world.run()
    assert (job.status, job.live, job.finished_at) == (Status.COMPENSATED, False, world.now)
    assert world.calls == ["undo unpublish", "undo pause"][2 - undone :]
    assert set(world.compensations.values()) == {StepStatus.COMPLETE}
    assert job.rollback_cause, "it says why"
    assert world.counted == [], "what is undone is not deleted"


async def test_errors_that_may_pass_roll_it_back_once_its_attempts_are_spent(world: World) -> None:
    world.steps["unpublish"].script.extend([StoreUnavailable("down")] * 10_000)
    for attempt in range(1, POLICY.max_attempts + 1):
        job = await world.run()
        assert (job.status, job.attempt) == (Status.FAILED, attempt)
    job = world.swept()
    assert (job.status, job.direction, job.attempt) == (Status.PENDING, Direction.BACKWARD, 0)
    assert (await world.run()).status is Status.COMPENSATED


async def test_a_job_that_fell_silent_for_the_last_time_is_rolled_back_too(world: World) -> None:
    job = replace(world.stored, attempt=POLICY.max_attempts)
    world.store.put(job.begin(world.now, StepProgress("pause"), is_compensated=True).after)
    assert world.swept().direction is Direction.BACKWARD
    assert (await world.run()).status is Status.COMPENSATED
    assert world.calls == ["undo pause"]


@pytest.mark.proves("saga-ends")
async def test_a_step_is_on_record_as_begun_and_owed_before_its_first_call(world: World) -> None:
    seen: list[tuple[StepStatus, dict[str, StepStatus]]] = []
    world.steps["pause"].script.appendleft(
        lambda: seen.append((world.stored.progress("pause").status, world.compensations))
    )
    await world.run()
    assert seen == [(StepStatus.IN_PROGRESS, {"pause": StepStatus.PENDING})]


@pytest.mark.proves("saga-ends")
async def test_the_point_of_no_return_is_on_record_before_its_first_call(world: World) -> None:
    seen: list[bool] = []
    world.steps[POINT].script.appendleft(lambda: seen.append(world.stored.may_roll_back))
    await world.run()
    assert seen == [False]


@pytest.mark.parametrize("failing", [POINT, "close"])
async def test_after_the_point_of_no_return_it_goes_forward_only(
    world: World, failing: str
) -> None:
    world.steps[failing].script.extend([REFUSED] * 100)
    job = await world.run()
    assert (job.status, job.direction, job.attempt) == (Status.FAILED, Direction.FORWARD, 1)
    job = await world.until_it_ends()
    assert (job.status, job.direction) == (Status.EXHAUSTED, Direction.FORWARD)
    assert not any(call.startswith("undo") for call in world.calls)


async def test_what_can_be_undone_is_read_back_before_the_point_of_no_return(
    world: World,
) -> None:
    """A `pause` that answers and does nothing must not be noticed when all is deleted."""
    world.steps["pause"].read_script.append(lambda: world.steps["pause"].data[BOT].append(7))
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.steps["pause"].cursors == [None, None], "it was done again"
    assert world.steps["pause"].read_backs == 4, "three times before the point, and at the end"


async def test_a_step_that_never_reads_back_empty_rolls_the_job_back_in_the_end(
    world: World,
) -> None:
    pause = world.steps["pause"]
    pause.read_script.extend([lambda: pause.data[BOT].append(7)] * 100)
    job = await world.until_it_ends()
    assert (job.status, world.steps[POINT].cursors) == (Status.COMPENSATED, [])


async def test_a_rollback_that_fails_is_retried_with_attempts_of_its_own(world: World) -> None:
    world.steps["unpublish"].script.append(REFUSED)
    world.undo["unpublish"].script.append(ZeroDivisionError())
    await world.run()
    job = await world.run()
    assert (job.status, job.attempt, job.direction) == (Status.FAILED, 1, Direction.BACKWARD)
    (batch,) = [each.batches for each in job.compensations if each.name == "unpublish"]
    assert batch == 1, "it goes on behind its checkpoint"
    assert (await world.run()).status is Status.COMPENSATED
    assert world.undo["unpublish"].cursors == [None, "1"]


@pytest.mark.proves("saga-ends")
async def test_a_rollback_that_fails_for_good_is_exhausted_and_says_what_was_undone(
    world: World,
) -> None:
    world.steps["unpublish"].script.append(REFUSED)
    world.undo["pause"].script.extend([REFUSED] * 100)
    job = await world.until_it_ends()
    assert (job.status, job.live, job.attempt) == (Status.EXHAUSTED, True, POLICY.max_attempts)
    assert world.compensations == {
        "pause": StepStatus.IN_PROGRESS,
        "unpublish": StepStatus.COMPLETE,
    }
    job = world.store.put(job.retry(world.now, POLICY).after)
    assert job.direction is Direction.BACKWARD, "an operator's retry goes on where it stands"


async def test_what_was_undone_is_read_back(world: World) -> None:
    """One is found not to be undone any more, once the others are."""
    world.steps["unpublish"].script.append(REFUSED)
    world.undo["pause"].script.append(lambda: world.undo["unpublish"].data[BOT].append(9))
    await world.run()
    assert (await world.run()).status is Status.COMPENSATED
    assert world.undo["unpublish"].data == {BOT: []}


async def test_a_rollback_can_be_parked_and_stopped(world: World) -> None:
    world.steps["pause"].script.append(REFUSED)
    world.undo["pause"].script.appendleft(Parked(world.now + timedelta(hours=1), "open"))
    await world.run()
    job = await world.run()
    assert (job.status, job.attempt, job.parks) == (Status.PENDING, 0, 1)
    world.undo["pause"].script.appendleft(world.stopping.set)
    job = await world.run()
    assert (job.status, job.failure and job.failure.interrupted) == (Status.FAILED, True)
    world.stopping.clear()
    assert (await world.run()).status is Status.COMPENSATED


async def test_what_ended_with_its_process_before_a_rollback_does_not_count_in_it(
    world: World,
) -> None:
    """Other calls are made there: neither does it rest for a day after one silence, nor is it a
    suspect, nor does a stop at the first batch of a compensation count as one of its step.
    """
    for _ in range(2):
        world.stopping.set()
        job = await world.run()
        assert job.failure
        assert job.failure.interrupted
        world.stopping.clear()
    world.steps["pause"].script.appendleft(REFUSED)
    job = await world.run()
    assert job.rollback_cause
    assert not job.is_suspect
    world.stopping.set()
    job = await world.run()
    assert job.failure
    assert (job.failure.interrupted, job.attempt) == (True, 0)


async def test_silences_before_a_rollback_make_no_rest_longer_in_it(
    world: World,
) -> None:
    begun = StepProgress("pause").began(world.stored.placed_at)
    world.store.put(world.stored.begin(world.now, begun, is_compensated=True).after)
    for attempt in range(1, POLICY.max_attempts + 1):
        if attempt > 1:
            world.store.put(world.stored.claim("worker", world.now).after)
        job = world.swept()
    assert (job.direction, job.queue) == (Direction.BACKWARD, SERVICE)
    job = world.store.put(job.claim("worker", world.now).after)
    assert job.rest(POLICY) == timedelta(0), "its first silence in the rollback"


async def test_a_step_begun_without_a_compensation_is_undone_once_the_plan_has_one(
    world: World,
) -> None:
    """Also one that was begun by a process that knows no sagas."""
    without = Plan(SERVICE, world.plan.steps, POINT, {"unpublish": world.undo["unpublish"]})
    world.steps["unpublish"].script.append(ZeroDivisionError())
    await world.run(without)
    assert world.compensations == {"unpublish": StepStatus.PENDING}
    world.steps["unpublish"].script.append(REFUSED)
    await world.run()
    world.calls.clear()
    assert (await world.run()).status is Status.COMPENSATED
    assert world.calls == ["undo unpublish", "undo pause"]
    assert set(world.compensations) == {"pause", "unpublish"}, "and the record says so"


async def test_a_point_that_an_older_version_has_passed_is_passed(world: World) -> None:
    """Its batches say so: that version keeps no `placed_at`."""
    done = [StepProgress(name, StepStatus.COMPLETE, 3, "3", 2) for name in FORWARD[:2]]
    point = StepProgress(POINT, StepStatus.IN_PROGRESS, 2, "2", 1)
    world.store.put(replace(world.stored, steps=(*done, point, StepProgress("close"))))
    assert not world.stored.may_roll_back
    world.steps[POINT].script.append(REFUSED)
    job = await world.run()
    assert (job.status, job.direction) == (Status.FAILED, Direction.FORWARD)


async def test_a_job_that_an_older_sweep_has_exhausted_can_still_be_rolled_back(
    world: World,
) -> None:
    """It does not know how to turn one back: an operator sends it on, as any exhausted job."""
    world.steps["pause"].script.append(ZeroDivisionError())
    job = await world.run()
    world.store.put(replace(job, status=Status.EXHAUSTED, attempt=POLICY.max_attempts))
    world.store.put(world.stored.retry(world.now, POLICY).after)
    world.steps["pause"].script.append(REFUSED)
    assert (await world.run()).direction is Direction.BACKWARD
    assert (await world.run()).status is Status.COMPENSATED


async def test_each_park_doubles_the_window_and_a_batch_ends_it(world: World) -> None:
    soon = world.now + timedelta(minutes=1)
    world.steps["pause"].script.extendleft(Parked(soon, "open") for _ in range(3))
    for parks in (1, 2, 3):
        assert (await world.run()).parks == parks
    assert (await world.run()).parks == 0


async def test_a_step_that_is_parked_after_an_error_of_its_own_has_made_a_call(
    world: World,
) -> None:
    """Its own call may be what opened the circuit: were the attempt handed back, it would be the
    only one ever to try.
    """
    soon = world.now + timedelta(minutes=1)
    world.steps["unpublish"].script.extendleft([Parked(soon, "open"), StoreUnavailable("down")])
    assert (await world.run()).attempt == 1
    world.steps["unpublish"].script.appendleft(Parked(soon, "open"))
    assert (await world.run()).attempt == 1, "handed back"


async def test_a_rollback_resets_the_count_of_parks(world: World) -> None:
    world.steps["pause"].script.appendleft(Parked(world.now + timedelta(minutes=1), "open"))
    assert (await world.run()).parks == 1
    world.steps["pause"].script.appendleft(REFUSED)
    job = await world.run()
    assert (job.direction, job.parks) == (Direction.BACKWARD, 0)


async def test_an_api_that_is_busy_makes_nobody_wait_for_longer_each_time(world: World) -> None:
    soon = world.now + timedelta(seconds=5)
    world.steps["pause"].script.extendleft(Busy(soon, "no permit", 60) for _ in range(4))
    for _ in range(3):
        now = world.now
        job = await world.run()
        assert (job.status, job.parks, job.attempt) == (Status.PENDING, 0, 0)
        assert job.due
        assert job.due - now <= timedelta(seconds=5 + 60)


async def test_a_run_that_retries_its_call_keeps_its_slot_where_no_permit_is_free(
    world: World,
) -> None:
    soon = world.now + timedelta(seconds=5)
    world.steps["pause"].script.extendleft(
        [Busy(soon, "2 calls are under way", 60), StoreUnavailable("503")]
    )
    assert (await world.run()).status is Status.COMPLETE


async def test_a_step_before_the_point_that_has_found_nothing_is_noticed_while_it_can_be_undone(
    world: World,
) -> None:
    """`expect: nonzero`: most likely its plan is wrong, so nothing may be deleted for good."""
    world.steps["pause"].data.clear()
    plan = replace(world.plan, expected=frozenset({"pause"}))
    job = await world.run(plan)
    assert (job.status, job.direction) == (Status.PENDING, Direction.BACKWARD)
    assert job.failure
    assert job.failure.type == "NothingFound"
    assert "delete" not in world.calls


async def test_a_run_that_finds_no_place_any_more_fails_with_the_error_of_its_call(
    world: World,
) -> None:
    soon = world.now + timedelta(seconds=5)
    none_free = [Busy(soon, "2 calls are under way", 60)] * 500
    world.steps["pause"].script.extendleft([*none_free, StoreUnavailable("503")])
    job = await world.run()
    assert job.failure
    assert (job.failure.type, job.failure.message) == ("StoreUnavailable", "503")


async def test_an_operator_starts_a_compensated_job_anew(world: World) -> None:
    world.steps["pause"].script.append(REFUSED)
    await world.run()
    await world.run()
    job = world.store.put(world.stored.retry(world.now, POLICY).after)
    assert (job.status, job.direction, job.live) == (Status.PENDING, Direction.FORWARD, True)
    assert job.steps == tuple(StepProgress(name) for name in FORWARD)
    assert (job.compensations, job.finished_at) == ((), None)
    assert (await world.run()).status is Status.COMPLETE


async def test_a_plan_without_a_needed_compensation_does_not_pass_over_it(world: World) -> None:
    world.steps["pause"].script.append(REFUSED)
    await world.run()
    changed = Plan(SERVICE, world.plan.steps, POINT, {})
    job = await world.run(changed)
    assert job.failure
    assert (job.status, job.failure.type) == (Status.FAILED, StepUnknown.__name__)
    assert "no compensation for pause" in job.failure.message
    assert (await world.run()).status is Status.COMPENSATED, "once it is back in the plan"


async def test_a_moved_point_of_no_return_counts_for_jobs_that_have_not_begun(
    world: World,
) -> None:
    moved = Plan(SERVICE, world.plan.steps, "unpublish", {"pause": world.undo["pause"]})
    world.steps["unpublish"].script.append(REFUSED)
    job = await world.run(moved)
    assert (job.status, job.point_of_no_return) == (Status.FAILED, "unpublish")


async def test_a_job_under_way_is_not_run_with_a_moved_point_of_no_return(world: World) -> None:
    world.steps["pause"].script.append(StoreUnavailable("down"))
    world.steps["pause"].script.extend([ZeroDivisionError()])
    await world.run()
    moved = Plan(SERVICE, world.plan.steps, "unpublish", {"pause": world.undo["pause"]})
    job = await world.run(moved)
    assert job.failure
    assert job.failure.type == StepUnknown.__name__
    assert (await world.run()).status is Status.COMPLETE


@pytest.mark.parametrize(
    ("point", "compensated", "said"),
    [
        ("nowhere", (), "the point of no return 'nowhere'"),
        (None, ("pause",), "before the point of no return only, found one of 'pause'"),
        (POINT, ("close",), "found one of 'close'"),
        (POINT, (POINT,), "found one of 'delete'"),
    ],
)
def test_a_plan_that_is_no_saga_is_refused(
    world: World, point: str | None, compensated: tuple[str, ...], said: str
) -> None:
    undo = {name: world.steps[name] for name in compensated}
    with pytest.raises(PlanError, match=said):
        Plan(SERVICE, world.plan.steps, point, undo)


class Told(ScriptedStep):
    """A step that cannot read back."""

    by_answer_only = True


async def test_a_step_that_cannot_read_back_runs_again_for_a_request_that_joined() -> None:
    clock = VirtualClock()
    store = ScriptedStore(clock)
    step = Told("call", items([BOT], 1), clock)
    job = store.put(a_job(steps=(StepProgress("call"),)))
    newer = job.placed_at + timedelta(seconds=1)

    async def join() -> None:
        step.data[BOT].append(9)
        await store.record([a_job(id="d" * 24, event_ids=("b",), placed_at=newer)])

    step.script.append(join)
    runner = Runner(Plan(SERVICE, (step,)), store, clock, POLICY, stopping=asyncio.Event())
    ended = await runner.run(job)
    assert ended
    assert ended.status is Status.COMPLETE
    assert step.cursors == [None, None], "once for each request"
    progress = ended.progress("call")
    assert (progress.read_back, progress.placed_at) == (ANSWER_ONLY, newer)
    assert step.read_backs == 0


async def test_a_step_that_can_read_back_by_now_is_not_recorded_as_confirmed_by_answer_only() -> (
    None
):
    """Its plan has changed since."""
    clock = VirtualClock()
    store = ScriptedStore(clock)
    told = StepProgress("call", StepStatus.COMPLETE, read_back=ANSWER_ONLY)
    job = store.put(a_job(steps=(told,)))
    plan = Plan(SERVICE, (ScriptedStep("call", {}, clock),))
    ended = await Runner(plan, store, clock, POLICY, stopping=asyncio.Event()).run(job)
    assert ended
    assert (ended.status, ended.progress("call").read_back) == (Status.COMPLETE, None)
