"""A confirmed action is on record before it acts, and does what was previewed, once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deletion.bus import Message
from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetter, DeadLetterStatus
from deletion.errors import (
    BusUnavailable,
    Interrupted,
    LeaseLost,
    StoreUnavailable,
    TransientError,
)
from deletion.job import Change, Job, Status
from deletion.operating.actions import MOST_AT_ONCE, Actions
from deletion.operating.bulk import CHANGED, GROUP, GROUP_SECONDS, UNCLEAR
from deletion.operating.dead_letters import Choice as LetterChoice
from deletion.operating.jobs import Choice as JobChoice
from deletion.operating.journal import INTERRUPTED, WRITE_SECONDS
from deletion.operating.kinds import Kinds, Offer
from deletion.operating.record import (
    KEPT_FOR,
    MOST,
    SILENCE,
    ActionKind,
    ActionStatus,
    Entries,
    OperatorAction,
    Order,
    Run,
    WholeAction,
)
from deletion.operating.requests import Choice as RequestChoice
from deletion.ports import Unreadable
from deletion.request import Waiver
from tests.support.clock import START, VirtualClock
from tests.support.factories import (
    POLICY,
    SERVICE,
    a_deletion_request,
    a_job,
    a_letter,
    again,
)
from tests.support.memory_actions import MemoryActionStore, MemoryPreviewStore
from tests.support.memory_bus import MemoryBus
from tests.support.memory_requests import MemoryRequestStore
from tests.support.memory_stores import MemoryDeadLetterStore
from tests.support.polling import eventually
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

ADA, BOB = "ada", "bob"
WHY = "the billing API is back"
RUNNING, COMPLETE, FAILED = ActionStatus


class Watched(MemoryActionStore):
    """A store that counts its writes, and may fail at one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.before_write: Callable[[int], Awaitable[None]] | None = None

    async def insert(self, *args: Any, **kwargs: Any) -> bool:
        await self._count()
        return await super().insert(*args, **kwargs)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        await self._count()
        await super().save(*args, **kwargs)

    async def _count(self) -> None:
        self.writes += 1
        if self.before_write:
            await self.before_write(self.writes)


class World:
    """All the records of an installation, and a process that acts on them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.jobs = ScriptedStore(self.clock)
        self.letters = MemoryDeadLetterStore()
        self.requests = MemoryRequestStore()
        self.bus = MemoryBus(self.clock)
        self.store = Watched()
        self.previews = MemoryPreviewStore()
        self.actions = self.process()

    @property
    def kinds(self) -> Kinds:
        async def attached(service: str) -> None:
            """It is."""

        return Kinds(self.jobs, self.letters, self.requests, self.bus, attached, self.clock, POLICY)

    def process(self) -> Actions:
        """A process, or another one."""
        return Actions(self.store, self.previews, self.kinds, self.clock)

    def put(self, count: int, status: Status = Status.EXHAUSTED) -> list[Job]:
        first = len(self.jobs.jobs) + 1
        ids = [f"{number:024x}" for number in range(first, first + count)]
        return [self.jobs.put(a_job(status, id=each, bot_id=each)) for each in ids]

    async def put_letters(self, count: int) -> list[DeadLetter]:
        letters = [a_letter(id=self.letters.new_id()) for _ in range(count)]
        return await self.letters.record(letters)

    def retry(self, status: Status = Status.EXHAUSTED) -> Offer:
        return self.kinds.retry(JobChoice(status=status), ADA)

    async def confirmed(self, offer: Offer) -> str:
        """The id of an action that was previewed and then confirmed."""
        preview = await self.actions.preview(offer)
        assert await self.actions.confirm(preview.id, by=ADA, reason=WHY) is None
        return preview.id

    async def ended(self, action_id: str, within: timedelta = timedelta(minutes=5)) -> WholeAction:
        def has_ended() -> bool:
            return self.store.actions[action_id].action.status is not RUNNING

        await eventually(has_ended, within.total_seconds())
        return self.store.actions[action_id]

    async def done(self, offer: Offer) -> WholeAction:
        return await self.ended(await self.confirmed(offer))

    def pending(self, jobs: list[Job]) -> list[bool]:
        return [self.jobs.jobs[job.id].status is Status.PENDING for job in jobs]


@pytest.fixture
def world() -> World:
    return World()


def refusals(whole: WholeAction) -> dict[str, str]:
    return {each.id: each.refusal for each in whole.outcomes if each.refusal}


# --- what is done is on record


async def test_a_confirmed_action_does_what_was_previewed_and_says_so(world: World) -> None:
    jobs = world.put(3 * GROUP + 1)
    whole = await world.done(world.retry())
    assert all(world.pending(jobs))
    action = whole.action
    assert (action.status, action.done, action.refused) == (COMPLETE, len(jobs), 0)
    assert (action.total, action.begun, action.is_frozen) == (len(jobs), len(jobs), True)
    assert action.order == Order(ActionKind.RETRY, ADA, WHY, {"status": "exhausted"})
    assert [each.id for each in whole.outcomes] == [job.id for job in jobs]
    assert action.finished_at is not None
    assert [run.by for run in action.runs] == [ADA]


@pytest.mark.proves("action-recorded-first")
async def test_the_record_names_each_job_before_it_is_changed(world: World) -> None:
    world.put(2 * GROUP + 3)
    seen: list[bool] = []

    async def look(change: Change) -> None:
        (whole,) = world.store.actions.values()
        begun = [target.id for target in whole.targets[: whole.action.begun]]
        seen.append(change.after.id in begun and whole.action.order.reason == WHY)

    world.jobs.before_apply = look
    await world.done(world.retry())
    assert seen == [True] * (2 * GROUP + 3)


@pytest.mark.proves("action-recorded-first")
@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_what_cannot_be_recorded_is_not_done(world: World, failing: int) -> None:
    jobs = world.put(3 * GROUP)

    async def away(write: int) -> None:
        if write >= failing:
            raise StoreUnavailable("the database is away")

    world.store.before_write = away
    preview = await world.actions.preview(world.retry())
    if failing == 1:
        with pytest.raises(StoreUnavailable):
            await world.actions.confirm(preview.id, by=ADA, reason=WHY)
    else:
        assert await world.actions.confirm(preview.id, by=ADA, reason=WHY) is None
    await asyncio.sleep(600)
    assert sum(world.pending(jobs)) == max(0, failing - 2) * GROUP


# --- what has changed since the preview


@pytest.mark.proves("action-changed")
async def test_a_job_that_has_changed_since_the_preview_is_refused_and_the_others_are_not(
    world: World,
) -> None:
    """It would be eligible again: somebody retried it, and it failed once more."""
    jobs = world.put(3)
    preview = await world.actions.preview(world.retry())
    moved = replace(jobs[1], last_modified_at=jobs[1].last_modified_at + timedelta(seconds=1))
    world.jobs.put(moved)
    assert await world.actions.confirm(preview.id, by=ADA, reason=WHY) is None
    whole = await world.ended(preview.id)
    assert refusals(whole) == {moved.id: CHANGED}
    assert world.pending(jobs) == [True, False, True]
    assert world.jobs.jobs[moved.id] == moved


@pytest.mark.proves("action-changed")
@pytest.mark.parametrize("kind", ["replay", "discard"])
async def test_a_letter_that_has_arrived_again_or_was_dealt_with_is_refused(
    world: World, kind: str
) -> None:
    arrived, dealt_with, sound = await world.put_letters(3)
    choice = LetterChoice(status=DeadLetterStatus.NEW)
    kinds = world.kinds
    offer = kinds.replay(choice, ADA) if kind == "replay" else kinds.discard(choice, ADA)
    preview = await world.actions.preview(offer)
    await world.letters.record([again(arrived)])
    await world.letters.mark(dealt_with, DeadLetterStatus.REPLAYED)
    assert await world.actions.confirm(preview.id, by=ADA, reason=WHY) is None
    whole = await world.ended(preview.id)
    assert refusals(whole) == dict.fromkeys([arrived.id, dealt_with.id], CHANGED)
    assert [each.id for each in whole.outcomes if not each.refusal] == [sound.id]
    assert world.letters.letters[sound.id].status is not DeadLetterStatus.NEW


async def test_a_record_that_is_gone_or_cannot_be_read_any_more_is_refused(world: World) -> None:
    gone, sound = world.put(2)
    preview = await world.actions.preview(world.retry())
    del world.jobs.jobs[gone.id]
    assert await world.actions.confirm(preview.id, by=ADA, reason=WHY) is None
    whole = await world.ended(preview.id)
    assert refusals(whole) == {gone.id: "there is no record with this id"}
    assert world.pending([sound]) == [True]


# --- each kind


async def test_letters_are_replayed_with_force_when_the_preview_was(world: World) -> None:
    (letter,) = await world.put_letters(1)
    await world.letters.mark(letter, DeadLetterStatus.DISCARDED)
    choice = LetterChoice([letter.id])
    assert (await world.actions.preview(world.kinds.replay(choice, ADA))).targets == ()
    whole = await world.done(world.kinds.replay(choice, ADA, force=True))
    assert whole.action.order.options == {"force": "yes"}
    assert (whole.action.done, len(world.bus.published)) == (1, 1)


async def test_a_service_is_waived_in_the_name_of_whoever_confirmed_it(world: World) -> None:
    requests = [a_deletion_request(SERVICE, "analytics") for _ in range(3)]
    await world.requests.record(requests)
    ids = [request.id for request in requests]
    offer = world.kinds.waive(RequestChoice(ids), "somebody else", service=SERVICE)
    whole = await world.done(offer)
    assert whole.action.done == 3
    assert whole.action.order.options == {"service": SERVICE}
    for each in ids:
        share = world.requests.requests[each].share(SERVICE)
        assert share
        assert share.waiver == Waiver(ADA, WHY)
    nothing_left = await world.actions.preview(offer)
    assert nothing_left.why_not == {f"{SERVICE} no longer owes it: it is waived already": 3}


# --- confirming


@pytest.mark.proves("action-once")
async def test_confirming_twice_begins_it_once(world: World, logs: list[dict[str, Any]]) -> None:
    world.put(1)
    preview = await world.actions.preview(world.retry())
    other = world.process()

    async def together(_: int) -> None:
        """All have looked before one of them inserts."""
        await asyncio.sleep(1)

    world.store.before_write = together
    answers = await asyncio.gather(
        *(each.confirm(preview.id, by=ADA, reason=WHY) for each in (world.actions, other) * 3)
    )
    assert answers == [None] * 6
    await world.ended(preview.id)
    assert len(world.jobs.applied) == 1
    assert [line["event"] for line in logs] == ["action started", "action ended"]
    assert await other.confirm(preview.id, by=BOB, reason=WHY) is None
    assert (await world.ended(preview.id)).action.order.by == ADA


@pytest.mark.proves("action-bounded")
@pytest.mark.parametrize(("limit", "expected"), [(None, MOST), (MOST + 1, MOST), (7, 7)])
async def test_a_preview_is_of_a_thousand_records_at_most(
    world: World, limit: int | None, expected: int
) -> None:
    world.put(MOST + 2)
    choice = JobChoice(status=Status.EXHAUSTED, limit=limit)
    preview = await world.actions.preview(world.kinds.retry(choice, ADA))
    assert (len(preview.targets), preview.is_cut_off) == (expected, True)


async def test_without_a_reason_nothing_is_done(world: World) -> None:
    jobs = world.put(1)
    preview = await world.actions.preview(world.retry())
    why = await world.actions.confirm(preview.id, by=ADA, reason=" \n")
    assert why == "say why: a reason is needed"
    assert (world.store.actions, world.pending(jobs)) == ({}, [False])


async def test_an_old_preview_is_refused(world: World) -> None:
    world.put(1)
    preview = await world.actions.preview(world.retry())
    await asyncio.sleep(KEPT_FOR.total_seconds() + 1)
    why = await world.actions.confirm(preview.id, by=ADA, reason=WHY)
    assert why == "the preview is no longer kept: preview it again"
    assert await world.actions.confirm("f" * 24, by=ADA, reason=WHY) == why
    assert world.store.actions == {}


async def test_a_process_runs_a_few_actions_at_a_time(world: World) -> None:
    world.put(MOST_AT_ONCE + 1)
    world.jobs.pauses["apply"] = 5
    ids = []
    for _ in range(MOST_AT_ONCE):
        ids.append(await world.confirmed(world.retry()))
    preview = await world.actions.preview(world.retry())
    with pytest.raises(TransientError, match="wait until one has ended"):
        await world.actions.confirm(preview.id, by=ADA, reason=WHY)
    for each in ids:
        await world.ended(each)
    assert await world.actions.confirm(preview.id, by=ADA, reason=WHY) is None


async def test_confirmed_side_by_side_they_are_no_more(world: World) -> None:
    world.put(1)
    world.jobs.pauses["apply"] = 5
    previews = [await world.actions.preview(world.retry()) for _ in range(MOST_AT_ONCE + 2)]

    async def slow(_: int) -> None:
        await asyncio.sleep(1)

    world.store.before_write = slow
    confirming = (world.actions.confirm(each.id, by=ADA, reason=WHY) for each in previews)
    answers = await asyncio.gather(*confirming, return_exceptions=True)
    assert answers[:MOST_AT_ONCE] == [None] * MOST_AT_ONCE
    assert [type(each) for each in answers[MOST_AT_ONCE:]] == [TransientError] * 2
    assert len(world.store.actions) == MOST_AT_ONCE
    for each in list(world.store.actions):
        await world.ended(each)
    assert await world.actions.confirm(previews[-1].id, by=ADA, reason=WHY) is None


async def test_a_lost_answer_to_its_insert_does_not_leave_an_action_that_nobody_runs(
    world: World,
) -> None:
    jobs = world.put(1)

    class Losing(Watched):
        async def insert(self, *args: Any, **kwargs: Any) -> bool:
            begun = await super().insert(*args, **kwargs)
            if self.writes == 1:
                raise StoreUnavailable("the answer was lost")
            return begun

    world.store = Losing()
    world.actions = world.process()
    whole = await world.done(world.retry())
    assert (whole.action.status, world.pending(jobs)) == (COMPLETE, [True])


# --- when it cannot go on


async def test_a_run_that_fails_is_recorded_with_its_reason_and_then_does_the_rest(
    world: World,
) -> None:
    letters = (await world.put_letters(2 * GROUP))[::-1]
    await world.letters.mark(letters[0], DeadLetterStatus.NEW)

    class Failing(MemoryBus):
        async def publish(self, message: Message) -> None:
            if message.attributes[RECORD_ATTRIBUTE] == letters[GROUP + 1].id:
                raise BusUnavailable("Pub/Sub does not answer")
            await super().publish(message)

    sound, world.bus = world.bus, Failing(world.clock)
    world.actions = world.process()
    offer = world.kinds.replay(LetterChoice(status=DeadLetterStatus.NEW), ADA)
    whole = await world.done(offer)
    action = whole.action
    assert (action.status, action.failure) == (FAILED, "Pub/Sub does not answer")
    assert (action.done, action.begun) == (2 * GROUP - 1, 2 * GROUP)
    world.bus = sound
    assert await world.process().again(action.id, by=BOB) is None
    action = (await world.ended(action.id)).action
    assert (action.status, action.failure, action.done) == (COMPLETE, None, 2 * GROUP)
    assert len(sound.published) == 1, "the rest alone"
    assert [run.by for run in action.runs] == [ADA, BOB]


async def test_an_unexpected_error_is_recorded_and_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, logs: list[dict[str, Any]]
) -> None:
    world.put(1)

    def broken(_: Order) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Kinds, "of", lambda _, order: broken(order))
    whole = await world.done(world.retry())
    assert whole.action.failure == "unexpected RuntimeError; see the log of the process"
    assert "unexpected error in an action" in [line["event"] for line in logs]


async def test_a_group_that_hangs_fails_long_before_the_action_looks_silent(world: World) -> None:
    jobs = world.put(1)
    world.jobs.pauses["apply"] = 3600
    action_id = await world.confirmed(world.retry())
    whole = await world.ended(action_id, within=SILENCE)
    assert whole.action.status is FAILED
    assert f"not dealt with within {GROUP_SECONDS:g} s" in (whole.action.failure or "")
    assert world.pending(jobs) == [False]


@pytest.mark.proves("action-once")
async def test_of_two_processes_that_do_the_rest_one_does(world: World) -> None:
    jobs = world.put(1)
    world.jobs.pauses["apply"] = 3600
    action_id = await world.confirmed(world.retry())
    await world.ended(action_id)
    world.jobs.pauses["apply"] = 1
    first, second = world.process(), world.process()
    said = await asyncio.gather(*(each.again(action_id, by=BOB) for each in (first, second)))
    assert [why is None for why in said] == [True, False]
    assert await second.again(action_id, by=BOB) is not None, "it is running"
    whole = await world.ended(action_id)
    assert (whole.action.done, len(whole.action.runs)) == (1, 2)
    assert len(world.jobs.applied) == 1
    assert world.pending(jobs) == [True]


def test_a_run_writes_well_before_it_looks_silent() -> None:
    """From the time of one write until the next one has arrived, if everything is as slow as it
    may be. What is left is for clocks that differ.
    """
    longest = timedelta(seconds=WRITE_SECONDS + GROUP_SECONDS + WRITE_SECONDS)
    assert SILENCE - longest >= timedelta(seconds=15)


@pytest.mark.proves("action-once")
@pytest.mark.parametrize(("seconds", "done"), [(6, 2 * GROUP), (20, 0)])
async def test_a_run_never_acts_while_it_looks_silent(
    world: World, seconds: int, done: int
) -> None:
    """Two of three tries of each write fail, each after `seconds`, and a group takes almost as long
    as it may.
    """
    world.put(2 * GROUP)
    world.jobs.pauses["apply"] = GROUP_SECONDS - 0.1
    action_id, silent = "", list[bool]()

    async def slow(write: int) -> None:
        if write > 1:
            await asyncio.sleep(seconds)
        if write > 1 and (write - 1) % 3:
            raise StoreUnavailable("no answer")

    async def look(_: Change) -> None:
        silent.append(world.store.actions[action_id].action.is_silent(world.clock.now()))

    world.store.before_write, world.jobs.before_apply = slow, look
    action_id = await world.confirmed(world.retry())
    await asyncio.sleep(600)
    assert len(silent) == done
    assert not any(silent)


@pytest.mark.proves("action-once")
async def test_a_run_that_was_taken_over_stops_before_its_next_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process was suspended for longer than the silence, and its timers with it."""
    monkeypatch.setattr("deletion.operating.journal.WRITE_SECONDS", 3600)
    jobs = world.put(2 * GROUP)
    woken = asyncio.Event()

    async def suspended(write: int) -> None:
        if write == 3:
            await woken.wait()

    world.store.before_write = suspended
    action_id = await world.confirmed(world.retry())
    await asyncio.sleep((SILENCE + timedelta(seconds=1)).total_seconds())
    assert sum(world.pending(jobs)) == GROUP
    assert await world.process().again(action_id, by=BOB) is None
    whole = await world.ended(action_id)
    woken.set()
    await asyncio.sleep(60)
    assert world.store.actions[action_id] == whole
    assert all(world.pending(jobs))
    assert len(world.jobs.applied) == 2 * GROUP


async def test_an_action_is_taken_over_though_a_write_fails(world: World) -> None:
    jobs = world.put(1)
    world.jobs.pauses["apply"] = 3600
    action_id = await world.confirmed(world.retry())
    await world.ended(action_id)
    world.jobs.pauses["apply"], so_far = 0, world.store.writes

    async def away(write: int) -> None:
        if write == so_far + 1:
            raise StoreUnavailable("the database is away")

    world.store.before_write = away
    assert await world.process().again(action_id, by=BOB) is None, "the second try succeeds"
    await world.ended(action_id)
    assert world.pending(jobs) == [True]


async def test_an_action_that_is_not_taken_over_in_time_is_given_up(world: World) -> None:
    world.put(1)
    world.jobs.pauses["apply"] = 3600
    action_id = await world.confirmed(world.retry())
    await world.ended(action_id)

    async def hangs(_: int) -> None:
        await asyncio.sleep(3600)

    world.store.before_write = hangs
    began = world.clock.monotonic()
    with pytest.raises(StoreUnavailable, match=f"within {WRITE_SECONDS:g} s"):
        await world.process().again(action_id, by=BOB)
    assert world.clock.monotonic() - began == pytest.approx(WRITE_SECONDS)


async def test_what_is_complete_running_or_a_commands_is_not_performed_again(
    world: World,
) -> None:
    world.put(1)
    complete = await world.confirmed(world.retry())
    assert "it is running" in str(await world.actions.again(complete, by=BOB))
    await world.ended(complete)
    assert "it is complete" in str(await world.actions.again(complete, by=BOB))
    assert await world.actions.again("f" * 24, by=BOB) == "there is no such action"


async def test_one_that_cannot_be_read_is_not_performed_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(action_id: str) -> Unreadable:
        return Unreadable(action_id, "damaged")

    monkeypatch.setattr(world.store, "get", get)
    assert "it cannot be read: damaged" in str(await world.actions.again("f" * 24, by=BOB))


# --- when its process ends


async def test_a_stop_lets_the_group_end_and_records_an_interruption(world: World) -> None:
    jobs = world.put(3 * GROUP)
    world.jobs.pauses["apply"] = 1
    action_id = await world.confirmed(world.retry())
    await asyncio.sleep(0.5)
    await world.actions.close(10)
    action = world.store.actions[action_id].action
    assert (action.status, action.failure, action.done) == (FAILED, INTERRUPTED, GROUP)
    with pytest.raises(Interrupted):
        await world.actions.again(action_id, by=BOB)
    assert await world.process().again(action_id, by=BOB) is None
    whole = await world.ended(action_id)
    assert (whole.action.status, whole.action.done) == (COMPLETE, 3 * GROUP)
    assert len(world.jobs.applied) == len(jobs)


@pytest.mark.parametrize("patience", [10, 1])
async def test_an_action_whose_insert_was_under_way_at_the_stop_does_not_begin(
    world: World, patience: float
) -> None:
    """Its record says so, whether or not the process waits for it."""
    jobs = world.put(1)
    preview = await world.actions.preview(world.retry())

    async def slow(write: int) -> None:
        if write == 1:
            await asyncio.sleep(5)

    world.store.before_write = slow
    confirming = asyncio.create_task(world.actions.confirm(preview.id, by=ADA, reason=WHY))
    await asyncio.sleep(1)
    await world.actions.close(patience)
    assert confirming.done() == (patience == 10)
    with pytest.raises(Interrupted):
        await confirming
    action = world.store.actions[preview.id].action
    assert (action.status, action.failure) == (FAILED, INTERRUPTED)
    await asyncio.sleep(60)
    assert world.pending(jobs) == [False]


@pytest.mark.proves("action-recorded-first")
async def test_an_action_begins_though_nobody_waits_for_its_record_any_more(world: World) -> None:
    jobs = world.put(1)
    preview = await world.actions.preview(world.retry())

    async def slow(write: int) -> None:
        if write == 1:
            await asyncio.sleep(WRITE_SECONDS - 1)

    world.store.before_write = slow
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await world.actions.confirm(preview.id, by=ADA, reason=WHY)
    assert world.actions.is_taking_on(preview.id)
    await asyncio.sleep(WRITE_SECONDS)
    assert not world.actions.is_taking_on(preview.id)
    assert (await world.ended(preview.id)).action.status is COMPLETE
    assert world.pending(jobs) == [True]


async def test_a_record_that_is_not_written_is_logged_if_nobody_waits_for_it(
    world: World, logs: list[dict[str, Any]]
) -> None:
    world.put(1)
    preview = await world.actions.preview(world.retry())

    async def hangs(_: int) -> None:
        await asyncio.sleep(3600)

    world.store.before_write = hangs
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await world.actions.confirm(preview.id, by=ADA, reason=WHY)
    await asyncio.sleep(WRITE_SECONDS)
    levels = {each["action_id"]: each["log_level"] for each in logs if "not begun" in each["event"]}
    assert levels == {preview.id: "error"}
    assert not world.actions.is_taking_on(preview.id)


async def test_a_group_that_hangs_is_cut_short_at_the_end_of_the_process(world: World) -> None:
    world.put(1)
    world.jobs.pauses["apply"] = 3600
    action_id = await world.confirmed(world.retry())
    await asyncio.sleep(0.5)
    await asyncio.wait_for(world.actions.close(5), 10)
    action = world.store.actions[action_id].action
    assert (action.status, action.failure) == (FAILED, INTERRUPTED)


@pytest.mark.proves("action-crash")
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("at", range(1, 5))
async def test_a_crash_at_any_write_leaves_a_record_that_is_true_and_the_rest_is_done_once(
    world: World, at: int, *, answered: bool
) -> None:
    """It ends at a write after the insert: before that is written, or once it is."""
    jobs = world.put(3 * GROUP)

    class Mortal(Watched):
        async def save(self, *args: Any, **kwargs: Any) -> None:
            if answered:
                await MemoryActionStore.save(self, *args, **kwargs)
            await self._count()
            if not answered:
                await MemoryActionStore.save(self, *args, **kwargs)

    world.store = Mortal()

    async def count(write: int) -> None:
        if write == at + 1:
            await asyncio.Event().wait()

    world.store.before_write = count
    world.actions = world.process()
    preview = await world.actions.preview(world.retry())
    assert await world.actions.confirm(preview.id, by=ADA, reason=WHY) is None
    await asyncio.sleep((SILENCE + timedelta(seconds=1)).total_seconds())
    whole = world.store.actions[preview.id]
    began = {target.id for target in whole.targets[: whole.action.begun]}
    done = {change.after.id for change in world.jobs.applied}
    assert done <= began, "nothing was done that is not on record"
    assert {each.id for each in whole.outcomes} <= done, "nothing is on record that was not done"
    world.store.before_write = None
    why = await world.process().again(preview.id, by=BOB)
    ended = world.store.actions[preview.id] if why else await world.ended(preview.id)
    assert ended.action.status is COMPLETE
    assert all(world.pending(jobs))
    assert len(world.jobs.applied) == len(jobs), "each of them once"
    assert {each.id for each in ended.outcomes} == {job.id for job in jobs}
    assert len(ended.outcomes) == len(jobs), "one outcome each"
    unclear = refusals(ended)
    assert set(unclear.values()) <= {UNCLEAR}
    assert len(unclear) <= GROUP


# --- its record


def an_action(**values: Any) -> OperatorAction:
    order = Order(ActionKind.RETRY, "x" * 500, "y" * 5000)
    action = OperatorAction.started("1" * 24, order, Run(ADA, START, "claim"), frozen=1)
    return replace(action, **values)


def test_names_and_reasons_are_kept_short() -> None:
    order = an_action().order
    assert (len(order.by), len(order.reason)) == (200, 1000)


def test_it_is_silent_after_a_while_and_only_while_it_runs() -> None:
    action, late = an_action(), START + SILENCE + timedelta(milliseconds=1)
    assert not action.is_silent(START + SILENCE)
    assert action.is_silent(late)
    assert not action.added(Entries(), late, begun=0).is_silent(late)
    assert not action.ended(START).is_silent(late)
    assert action.obstacle(late) is None
    assert "run the command again" in str(replace(action, is_frozen=False).obstacle(late))


async def test_a_write_of_another_run_is_no_longer_taken(world: World) -> None:
    action = an_action()
    await world.store.insert(action)
    await world.store.save(action, action.added(Entries(), START, begun=0))
    with pytest.raises(LeaseLost):
        await world.store.save(action, action.added(Entries(), START, begun=1))


async def test_whoever_asks_hears_how_each_run_ended(world: World) -> None:
    heard: list[tuple[ActionKind, str | None]] = []
    world.put(3)
    world.actions = Actions(
        world.store,
        world.previews,
        world.kinds,
        world.clock,
        lambda kind, failure: heard.append((kind, failure)),
    )
    await world.done(world.retry())
    [job] = world.put(1)
    world.jobs.jobs[job.id] = job
    letters = await world.put_letters(1)
    assert letters
    world.bus.down = True
    await world.done(world.kinds.replay(LetterChoice(), ADA))
    await eventually(lambda: len(heard) == 2, 60)
    assert heard == [(ActionKind.RETRY, None), (ActionKind.REPLAY, "the topic is down")]
