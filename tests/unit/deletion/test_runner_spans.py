"""The spans of runs: one trace for each attempt, and few spans for many batches."""

import pytest

from deletion.errors import Interrupted, Parked, PermanentError, StoreUnavailable
from deletion.job import Change, Job, Status
from deletion.runner import Runner
from deletion.runner.spans import has_span
from deletion.tracing import Tracer, current
from tests.support.clock import START
from tests.support.factories import BOT, items
from tests.support.spans import Kept
from tests.unit.deletion.running import World

pytestmark = pytest.mark.virtual_time


class TracedWorld(World):
    """The same, with spans."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = Kept()
        self.runner = Runner(
            self.plan,
            self.store,
            self.clock,
            self.policy,
            stopping=self.stopping,
            tracer=Tracer(self.kept),
        )


@pytest.fixture
def world() -> TracedWorld:
    return TracedWorld()


async def test_a_run_has_its_steps_below_and_each_step_its_batches(world: TracedWorld) -> None:
    await world.run()
    run = world.kept.one("run conversations")
    for name, deleted in (("first", 5), ("second", 5)):
        step = world.kept.one(f"step {name}")
        assert step.parent_id == run.span_id
        assert step.attributes == {
            "botdel.step": name,
            "botdel.deleted": deleted,
            "botdel.batches": 3,
        }
        batches = [span for span in world.kept.named("batch") if span.parent_id == step.span_id]
        assert [span.attributes.get("botdel.deleted") for span in batches] == [2, 2, 1, None]
        assert world.kept.one(f"read back {name}").attributes["botdel.empty"] is True
    assert run.attributes["botdel.job.status"] == "complete"
    assert run.error is None


async def test_a_run_that_fails_says_why_and_so_does_its_step(world: TracedWorld) -> None:
    world.first.script.extend([None, PermanentError(f"no {BOT}")])
    await world.run()
    run, step = world.kept.one("run conversations"), world.kept.one("step first")
    assert (run.error, step.error) == ("PermanentError", "PermanentError")
    assert step.attributes["botdel.deleted"] == 2
    assert not any(BOT in f"{span.name} {span.attributes}" for span in world.kept.spans)


@pytest.mark.parametrize(
    ("error", "status"),
    [(Parked(START, "the API is down"), Status.PENDING), (Interrupted("stopping"), Status.FAILED)],
)
async def test_a_run_that_goes_on_later_has_not_failed(
    world: TracedWorld, error: Exception, status: Status
) -> None:
    world.first.script.append(error)
    if isinstance(error, Interrupted):
        world.stopping.set()
    await world.run()
    run = world.kept.one("run conversations")
    assert (run.attributes["botdel.job.status"], run.error) == (status.value, None)


async def test_a_run_that_loses_its_job_says_so(world: TracedWorld) -> None:
    world.first.script.extend([None, world.rob])
    assert await world.run() is None
    assert world.kept.one("run conversations").error == "LeaseLost"


async def test_of_many_batches_few_have_spans_and_what_they_call_has_none(
    world: TracedWorld,
) -> None:
    recorded: list[bool] = []

    def look() -> None:
        outer = current()
        assert outer
        recorded.append(outer.is_recorded)

    world.first.data.update(items([BOT], 2 * 100))
    world.first.script.extend([look] * 100)
    await world.run()
    step = world.kept.one("step first")
    numbers = [
        span.attributes["botdel.batch.number"]
        for span in world.kept.named("batch")
        if span.parent_id == step.span_id
    ]
    assert numbers == [*range(1, 17), 32, 64]
    assert [number for number, is_one in enumerate(recorded, 1) if is_one] == numbers
    assert step.attributes["botdel.batches"] == 100


async def test_heartbeats_have_no_spans_however_long_a_run_lasts(
    world: TracedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[bool] = []
    is_waiting = False
    apply = world.store.apply

    async def wait() -> None:
        nonlocal is_waiting
        is_waiting = True
        await world.clock.sleep(2 * world.policy.heartbeat_interval)
        is_waiting = False

    async def noted(change: Change) -> Job:
        outer = current()
        if is_waiting:
            beats.append(outer is not None and outer.is_recorded)
        return await apply(change)

    monkeypatch.setattr(world.store, "apply", noted)
    world.first.script.append(wait)
    await world.run()
    assert beats
    assert not any(beats)


async def test_tries_of_a_step_do_not_begin_to_count_anew(world: TracedWorld) -> None:
    world.first.script.extend([None, StoreUnavailable("once"), None, None])
    await world.run()
    numbers = [span.attributes["botdel.batch.number"] for span in world.kept.named("batch")]
    assert numbers.count(1) <= 2, "one for each step"


def test_of_a_million_batches_31_have_a_span() -> None:
    assert sum(map(has_span, range(1, 1_000_001))) == 31
