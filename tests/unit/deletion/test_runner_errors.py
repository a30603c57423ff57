"""Errors that may pass are retried; any other fails the job with its reason, or parks it."""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from structlog.typing import EventDict

from deletion.clock import rfc3339
from deletion.errors import Busy, Parked, SharedDocument, StoreUnavailable, TransientError
from deletion.job import LONGEST_REST, Status, StepProgress, StepStatus
from deletion.plan import Batch, Plan
from deletion.runner import PASSES, Runner
from tests.support.clock import START
from tests.support.factories import BOT, POLICY, SERVICE
from tests.support.scripted_step import Action, ScriptedStep
from tests.unit.deletion.running import PATIENCE, World

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.proves("nothing-left")
async def test_left_overs_fail_the_job_after_the_last_pass(world: World) -> None:
    def write_again() -> None:
        world.first.data[BOT] = [9]

    world.first.read_script.extend([write_again] * 99)
    await world.run()
    assert world.first.read_backs == 2 * PASSES - 1, "and once more before each further pass"
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.type == "LeftOvers"
    assert "first" in world.stored.failure.message
    assert "second" not in world.stored.failure.message


@pytest.mark.parametrize("error", [SharedDocument("not the bot's alone"), ValueError("a fault")])
async def test_only_an_error_that_nobody_foresaw_is_logged_with_its_trace(
    world: World, logs: list[EventDict], error: Exception
) -> None:
    def fail() -> None:
        raise error

    world.first.read_script.append(fail)
    await world.run()
    [failed] = [line for line in logs if line["event"] == "run failed"]
    assert failed["reason"] == f"{error} ({type(error).__name__})"
    assert failed["exc_info"] == isinstance(error, ValueError)


async def test_an_error_that_may_pass_is_tried_again_from_the_last_checkpoint(world: World) -> None:
    world.first.script.extend([None, TransientError("away"), TransientError("away")])
    await world.run()
    assert world.first.cursors == [None, "1", "1"]
    assert world.stored.status is Status.COMPLETE
    assert world.stored.progress("first").deleted == 5


async def test_errors_without_progress_use_up_the_patience(world: World) -> None:
    world.first.script.extend([TransientError("away")] * 9999)
    await world.run()
    assert PATIENCE <= (world.clock.now() - START).total_seconds() <= PATIENCE + 20
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert (world.stored.failure.type, world.stored.failure.message) == ("TransientError", "away")
    assert not world.stored.failure.interrupted
    assert world.stored.attempt == 1


async def test_progress_renews_the_patience(world: World) -> None:
    away: list[Action] = [TransientError("away"), PATIENCE - 30.0]
    world.first.script.extend([*away, *away, *away, TransientError("away")])
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert (world.clock.now() - START).total_seconds() > 2 * PATIENCE


async def test_a_step_or_a_look_has_all_of_the_patience_of_its_own(world: World) -> None:
    slow: list[Action] = [PATIENCE - 30.0, TransientError("away")]
    for script in (world.first.read_script, world.second.read_script):
        script.extend(slow[1:])
    world.first.script.extend(slow)
    world.second.script.extend(slow)
    await world.run()
    assert world.stored.status is Status.COMPLETE


async def test_progress_does_not_make_the_patience_endless(world: World) -> None:
    world.first.script.extend([None, *[TransientError("away")] * 9999])
    await world.run()
    assert (world.clock.now() - START).total_seconds() <= PATIENCE + 20
    assert world.stored.status is Status.FAILED
    assert world.stored.progress("first").deleted == 2


async def test_a_batch_that_did_nothing_after_an_error_is_no_progress() -> None:
    """Or a step that says so before it raises again would be retried for ever."""

    class Hollow(ScriptedStep):
        async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
            async with aclosing(super().delete(bot_id, cursor)) as batches:
                async for batch in batches:
                    yield batch
                    yield Batch(0, batch.cursor)
                    raise TransientError("away")
            yield Batch(0, cursor)
            raise TransientError("away")

    world = World(kind=Hollow)
    await world.run()
    assert world.stored.status is Status.FAILED
    assert world.stored.progress("first").deleted == 5
    assert (world.clock.now() - START).total_seconds() <= PATIENCE + 60


@pytest.mark.proves("bounded-retries")
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_batches_that_did_nothing_after_an_error_are_no_progress_however_many(
    number: int,
) -> None:
    """Or a step that waits in empty batches before each failing call would be retried for ever."""

    class Waits(ScriptedStep):
        tries = 0

        async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
            self.tries += 1
            assert self.tries < 1000, "retried for ever"
            for _ in range(number):
                yield Batch(0, cursor)
            raise TransientError("away")

    world = World(kind=Waits)
    await world.run()
    assert world.stored.failure
    assert (world.stored.status, world.stored.failure.type) == (Status.FAILED, "TransientError")
    assert PATIENCE <= (world.clock.now() - START).total_seconds() <= PATIENCE + 20


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("until", [NAIVE, 3600.0, datetime.max.replace(tzinfo=UTC)])
async def test_a_wrong_time_to_wait_until_fails_the_job_or_is_a_day_at_most(
    world: World, until: Any
) -> None:
    world.first.script.append(lambda: parked(until))
    await world.run()
    assert world.stored.failure
    if world.stored.status is Status.PENDING:
        assert world.stored.due
        assert world.stored.due <= world.clock.now() + 3 * LONGEST_REST
    else:
        assert (world.stored.status, world.stored.failure.type) == (Status.FAILED, "TypeError")
        assert "time zone" in world.stored.failure.message


def parked(until: Any) -> None:
    raise Parked(until, "the circuit is open")


async def test_a_read_back_that_may_pass_is_tried_again(world: World) -> None:
    world.second.read_script.extend([TransientError("away")] * 10)
    await world.run()
    assert world.stored.status is Status.COMPLETE
    assert world.second.read_backs == 11


@pytest.mark.proves("nothing-left")
async def test_a_read_back_that_does_not_answer_is_never_taken_for_empty(world: World) -> None:
    world.second.read_script.extend([TransientError("away")] * 9999)
    await world.run()
    assert world.stored.status is Status.FAILED


@pytest.mark.parametrize("where", ["script", "read_script"])
async def test_any_other_error_fails_the_job_with_its_reason_at_once(
    world: World, where: str
) -> None:
    getattr(world.first, where).append(ZeroDivisionError("by nought"))
    ended = await world.run()
    assert ended == world.stored
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert world.stored.failure.type == "ZeroDivisionError"
    assert world.stored.failure.message == "by nought"
    assert not world.stored.failure.interrupted
    assert world.stored.attempt == 1
    assert world.second.cursors == ([] if where == "script" else [None])


async def test_the_progress_of_a_failed_run_is_kept(world: World) -> None:
    world.second.script.extend([None, ZeroDivisionError("by nought")])
    await world.run()
    assert world.stored.progress("first").status is StepStatus.COMPLETE
    assert world.stored.progress("second") == StepProgress(
        "second", StepStatus.IN_PROGRESS, 2, "1", batches=1, placed_at=world.job.placed_at
    )


@pytest.mark.parametrize(("has_called", "attempt"), [(False, 0), (True, 1)])
async def test_a_job_whose_step_must_not_call_now_is_parked(
    world: World, has_called: bool, attempt: int, logs: list[EventDict]
) -> None:
    until = START + timedelta(minutes=7)
    world.second.script.extend([None, Parked(until, "the circuit is open", has_called=has_called)])
    ended = await world.run()
    assert ended == world.stored
    assert world.stored.status is Status.PENDING
    assert world.stored.due
    wait = until - world.clock.now()
    if has_called:
        assert world.stored.due == world.clock.now() + POLICY.rest_after(1)
    else:
        assert until <= world.stored.due <= until + wait, "jobs that wait for one host are spread"
    assert world.stored.attempt == attempt
    assert world.stored.failure
    assert (world.stored.failure.type, world.stored.failure.message) == (
        "Parked",
        "the circuit is open",
    )
    assert world.stored.progress("second").deleted == 2, "what it has done is kept"
    [line] = [each for each in logs if each["event"] == "parked"]
    assert line["until"] == rfc3339(world.stored.due), "when a worker may claim it"
    assert line["until"].endswith("Z"), "as every time in a log is written"


async def test_the_last_attempt_does_not_park_once_it_has_called_out(world: World) -> None:
    """A job that parks again and again would never run out of attempts."""
    world.job = world.store.put(replace(world.job, attempt=POLICY.max_attempts))
    world.second.script.extend([None, Parked(START, "the circuit is open", has_called=True)])
    await world.run()
    assert world.stored.status is Status.FAILED
    assert world.stored.failure is not None
    assert (world.stored.failure.type, world.stored.due) == ("Parked", None)


@pytest.mark.parametrize("kind", [Parked, partial(Busy, window=60)])
async def test_a_job_that_parks_after_progress_does_not_pay_for_an_error_before_it(
    world: World, kind: Callable[[datetime, str], Parked]
) -> None:
    """503, then 202 with a long Retry-After: the host has accepted, and asks to be called later."""
    world.job = world.store.put(replace(world.job, attempt=POLICY.max_attempts))
    parked = kind(START + timedelta(minutes=5), "the next poll is not due yet")
    world.second.script.extend([StoreUnavailable("503"), None, parked])
    await world.run()
    assert (world.stored.status, world.stored.attempt) == (
        Status.PENDING,
        POLICY.max_attempts - 1,
    )
    assert world.stored.due
    assert world.stored.due <= START + timedelta(minutes=11), "no rest as after a failure"


async def test_a_step_that_fails_polls_in_vain_and_parks_in_each_run_is_exhausted() -> None:
    """Two batches that did nothing are no progress either."""

    class Polls(ScriptedStep):
        tries = 0

        async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
            self.tries += 1
            if self.tries % 2:
                raise TransientError("503")
            yield Batch(0, "call")
            yield Batch(0, "call")
            raise Parked(self.clock.now() + timedelta(minutes=5), "not now")

    world = World(kind=Polls)
    world.given(StepProgress("first", StepStatus.IN_PROGRESS, cursor="call"))
    for attempt in range(1, POLICY.max_attempts):
        await world.run()
        assert (world.stored.status, world.stored.attempt) == (Status.PENDING, attempt)
        assert world.stored.due
        world.clock.pause((world.stored.due - world.clock.now()).total_seconds())
        world.take_up()
    await world.run()
    assert (world.stored.status, world.stored.attempt) == (Status.FAILED, POLICY.max_attempts)


async def test_a_message_that_cannot_be_stored_as_it_is_is_stored_all_the_same(
    world: World,
) -> None:
    """Of a file name, say: half a character would be refused with the failure itself."""
    world.first.script.append(ValueError("\udcff" + "x" * 5000))
    await world.run()
    assert world.stored.failure is not None
    assert world.stored.failure.message == "?" + "x" * 999


async def test_a_database_that_refuses_a_checkpoint_fails_the_job(world: World) -> None:
    world.store.faults["apply"] = deque([PermissionError("not authorised")])
    await world.run()
    assert world.stored.failure is not None
    assert world.stored.failure.type == "PermissionError"


async def test_a_database_that_refuses_everything_is_the_only_error_that_comes_out(
    world: World,
) -> None:
    world.store.faults["apply"] = deque([PermissionError("not authorised")] * 99)
    with pytest.raises(PermissionError):
        await world.run()
    assert world.first.deleted == [0, 1], "no deletion without a checkpoint"
    assert world.stored.status is Status.IN_PROGRESS


async def test_an_error_while_a_step_cleans_up_is_recorded_too(world: World) -> None:
    class Untidy(ScriptedStep):
        async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
            try:
                yield Batch(1, "0")
            finally:
                raise OSError("cannot clean up")

    untidy = Untidy("first", {}, world.clock)
    runner = Runner(
        Plan(SERVICE, (untidy,)), world.store, world.clock, POLICY, stopping=world.stopping
    )
    await runner.run(world.job)
    assert world.stored.failure is not None
    assert world.stored.failure.type == "OSError"
