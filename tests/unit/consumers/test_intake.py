"""Decode, record, ack: in that order, whatever breaks in between."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.intake import RECORD_WITHIN, RETRY_WITHIN, Intake, Outcome, Taken
from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS
from deletion.adapters.pubsub.wanted import ACK_DEADLINE_SECONDS as ACK_DEADLINE
from deletion.alerts import Alert, AlertKind
from deletion.bus import Message
from deletion.dead_letter import Reason
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.events import (
    BotDeletionSubject,
    CompletedShare,
    DeletionCompleted,
    RequestPlaced,
    completion_id,
    to_message,
)
from deletion.events.checks import LATEST_YEAR
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.job import MAX_EVENTS, NOT_LIVE, Job, LeasePolicy, Status, StepProgress
from deletion.plan import Plan
from deletion.ports import Recorded
from deletion.quarantine import Quarantine
from tests.support.alerts import RecordedAlerts
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT, SERVICE, a_job, placed
from tests.support.killed import Killed
from tests.support.memory_bus import MemoryBus
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedDeadLetters, ScriptedStore

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]


class World:
    """One subscription and one store; intakes are what processes would have."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.journal: list[str] = []
        self.bus = MemoryBus(self.clock, self.journal)
        self.subscription = self.bus.subscribe(ack_deadline=ACK_DEADLINE)
        self.store = ScriptedStore(self.clock, self.journal)
        self.dead_letters = ScriptedDeadLetters(self.journal)
        self.alerts = RecordedAlerts()
        self.intake = self.process()

    def process(self) -> Intake:
        plan = Plan(SERVICE, (ScriptedStep("first", {}, self.clock),))
        quarantine = Quarantine(self.dead_letters, self.alerts, self.clock)
        return Intake(plan, self.subscription, self.store, quarantine, self.alerts, self.clock)

    async def publish(self, *events: BotDeletionSubject | Message) -> None:
        for event in events:
            await self.bus.publish(event if isinstance(event, Message) else to_message(event))

    async def take(self, *events: BotDeletionSubject | Message) -> list[Taken]:
        """Publish, pull and take in what there is."""
        await self.publish(*events)
        return await self.intake.take(await self.subscription.pull(100))

    @property
    def jobs(self) -> list[Job]:
        return list(self.store.jobs.values())

    @property
    def covered(self) -> list[str]:
        """Every event that a job covers."""
        return [event for job in self.jobs for event in job.event_ids]

    def put(self, status: Status, **values: Any) -> Job:
        """A job that is stored already, of an earlier event."""
        return self.store.put(a_job(status, **values))


def outcomes(taken: Sequence[Taken]) -> dict[str, Outcome]:
    """What became of each message, by its id."""
    return {each.delivery.message_id: each.outcome for each in taken}


def unknown_type() -> Message:
    """An event of a type that comes after this release."""
    message = pb.BotDeletionSubject.FromString(to_message(placed()).data)
    message.event_type = 77  # type: ignore[assignment]
    return Message(message.SerializeToString(), {"event_type": "77"})


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.proves("record-before-ack")
async def test_a_new_event_is_recorded_as_pending_and_then_acked(world: World) -> None:
    event = placed()
    message = to_message(event)
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    taken = await world.take(Message(message.data, {**message.attributes, **trace}))
    assert world.journal == [f"record {event.event_id}", "ack 1"]
    assert outcomes(taken) == {"1": Outcome.RECORDED}
    [job] = world.jobs
    assert (job.service, job.bot_id, job.event_ids) == (SERVICE, BOT, (event.event_id,))
    assert (job.status, job.attempt, job.claimed_by) == (Status.PENDING, 0, "")
    assert job.placed_at == START
    assert job.created_at == job.due == world.clock.now()
    assert job.steps == (StepProgress("first"),)
    assert job.traceparent == trace["traceparent"]


async def test_who_asked_is_kept_on_the_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    event = placed()
    named = replace(event, event=RequestPlaced(START, "crm"))
    monkeypatch.setattr("consumers.intake.decode", lambda _: named)
    await world.take(event)
    assert [job.requested_by for job in world.jobs] == ["crm"]


async def test_what_arrives_together_is_recorded_by_one_call(world: World) -> None:
    events = [placed(f"{number:024x}") for number in range(50)]
    taken = await world.take(*events)
    assert world.store.calls == ["record"]
    assert len(taken) == len(world.subscription.acked) == 50
    assert {job.bot_id for job in world.jobs} == {event.bot_id for event in events}


async def test_nothing_comes_of_nothing(world: World) -> None:
    assert await world.take() == []
    assert world.store.calls == []


@pytest.mark.proves("crash-between")
@pytest.mark.parametrize("crash", ["before the record", "after the record", "at the ack"])
async def test_a_crash_loses_neither_message_nor_job(world: World, crash: str) -> None:
    event = placed()
    if crash == "before the record":
        world.store.faults["record"] = deque([Killed()])
    elif crash == "after the record":
        world.store.lost["record"] = deque([Killed()])
    else:
        world.subscription.ack_faults.append(Killed())
    with pytest.raises(Killed):
        await world.take(event)
    assert world.subscription.unacked == ["1"], "the message is still Pub/Sub's"

    world.intake = world.process()
    await world.clock.sleep(ACK_DEADLINE)
    await world.take()
    assert world.subscription.unacked == []
    [job] = world.jobs
    assert (job.status, job.event_ids) == (Status.PENDING, (event.event_id,))


@pytest.mark.proves("hand-back")
async def test_a_database_that_is_away_hands_everything_back(world: World) -> None:
    world.store.down = True
    taken = await world.take(placed(BOT), placed(OTHER_BOT))
    assert outcomes(taken) == {"1": Outcome.RETURNED, "2": Outcome.RETURNED}
    assert world.journal == ["nack 1", "nack 2"]
    world.store.down = False
    assert len(await world.take()) == len(world.jobs) == 2, "the first redelivery is at once"


async def test_a_record_whose_answer_was_lost_is_repeated_and_recorded_once(world: World) -> None:
    world.store.lost["record"] = deque([StoreUnavailable("answer lost")])
    assert outcomes(await world.take(placed())) == {"1": Outcome.RECORDED}
    assert world.store.calls == ["record", "record"]
    assert world.subscription.unacked == []


async def test_a_record_is_not_repeated_beyond_what_the_ack_deadline_allows(world: World) -> None:
    world.store.down = True
    world.store.pauses["record"] = 10
    await world.publish(placed())
    await world.intake.take(await world.subscription.pull(1))
    took = (world.clock.now() - START).total_seconds()
    assert RETRY_WITHIN <= took < ACK_DEADLINE / 2
    assert world.subscription.nacked == ["1"]


async def test_no_record_is_begun_after_the_time_in_which_it_is_tried(world: World) -> None:
    """Not even after the pause that follows an error within that time."""
    world.store.faults["record"] = deque([StoreUnavailable("away")])
    world.store.pauses["record"] = RETRY_WITHIN - 0.001
    assert outcomes(await world.take(placed())) == {"1": Outcome.RETURNED}
    assert world.store.calls == ["record"]


JOIN_CALLS = 4
"""Insert, look for what covers the request, look for the live job, join it."""
CALL = LeasePolicy(timedelta(hours=1), max_attempts=5).call_seconds


def test_a_join_has_time_for_its_calls_and_its_ack_comes_before_the_deadline() -> None:
    """Before it, the clock may be compared once after the pull."""
    assert BOUNDED_RETRY.timeout
    ack = BOUNDED_RETRY.timeout + CALL_SECONDS
    assert JOIN_CALLS * CALL <= RECORD_WITHIN
    assert CALL + RECORD_WITHIN + ack < ACK_DEADLINE


async def test_a_request_joins_although_the_database_needs_almost_its_bound_for_each_call(
    world: World,
) -> None:
    """Nothing of a join that is cut off is kept, so no redelivery would get any further."""
    running = world.put(Status.IN_PROGRESS)
    world.store.pauses["record"] = JOIN_CALLS * CALL - 0.1
    assert outcomes(await world.take(placed(running.bot_id))) == {"1": Outcome.JOINED}
    assert world.subscription.acked == ["1"]


async def test_a_record_that_goes_on_and_on_is_handed_back_before_the_ack_deadline(
    world: World,
) -> None:
    """One that loses race after race makes many calls."""
    world.store.pauses["record"] = 5 * JOIN_CALLS * CALL
    assert outcomes(await world.take(placed())) == {"1": Outcome.RETURNED}
    assert world.clock.monotonic() == RECORD_WITHIN


async def test_dead_letters_of_a_full_job_get_what_its_slow_record_has_left(world: World) -> None:
    world.put(Status.IN_PROGRESS, event_ids=tuple(f"{n}" for n in range(MAX_EVENTS)))
    world.store.pauses["record"] = RECORD_WITHIN - 5
    world.dead_letters.hangs = True
    assert outcomes(await world.take(placed(BOT))) == {"1": Outcome.RETURNED}
    assert world.clock.monotonic() == RECORD_WITHIN


@pytest.mark.proves("lost-answer")
async def test_a_record_nobody_confirmed_is_pending_and_nobody_owns_it(world: World) -> None:
    world.store.lost["record"] = deque([StoreUnavailable("answer lost")] * 999)
    assert outcomes(await world.take(placed())) == {"1": Outcome.RETURNED}
    [job] = world.jobs
    assert job.is_due(world.clock.now()), "a worker may claim it at once"
    world.store.lost.clear()
    assert outcomes(await world.take()) == {"1": Outcome.KNOWN}


@pytest.mark.parametrize("error", [BusUnavailable("away"), RuntimeError("unexpected")])
async def test_a_lost_ack_costs_a_redelivery_that_is_a_duplicate(
    world: World, error: Exception
) -> None:
    world.subscription.ack_faults.append(error)
    assert outcomes(await world.take(placed())) == {"1": Outcome.RECORDED}
    await world.clock.sleep(ACK_DEADLINE)
    assert outcomes(await world.take()) == {"1": Outcome.KNOWN}
    assert world.subscription.unacked == []
    assert len(world.jobs) == 1


async def test_duplicates_in_one_group_make_one_job(world: World) -> None:
    event = placed()
    taken = await world.take(event, event, event)
    assert sorted(outcomes(taken).values()) == [Outcome.KNOWN, Outcome.KNOWN, Outcome.RECORDED]
    assert world.covered == [event.event_id]
    assert world.subscription.acked == ["1", "2", "3"]


@pytest.mark.proves("redelivery-costs-nothing")
@pytest.mark.parametrize("status", list(Status))
async def test_a_redelivery_changes_nothing_whatever_the_state_of_its_job(
    world: World, status: Status
) -> None:
    job = world.put(status, last_modified_at=START - timedelta(days=9))
    taken = await world.take(placed(event_id=job.event_id))
    assert outcomes(taken) == {"1": Outcome.KNOWN}
    assert world.journal[-1] == "ack 1"
    assert world.jobs == [job]
    assert world.alerts.told == []


@pytest.mark.proves("join")
@pytest.mark.parametrize("status", [s for s in Status if s not in NOT_LIVE])
async def test_another_request_for_a_bot_whose_job_is_live_joins_it(
    world: World, status: Status
) -> None:
    job = world.put(status)
    world.clock.pause(1)
    request = placed(BOT, timestamp=world.clock.now())
    assert outcomes(await world.take(request)) == {"1": Outcome.JOINED}
    covered = (*job.event_ids, request.event_id)
    assert world.jobs == [replace(job, event_ids=covered, placed_at=world.clock.now())]
    assert world.subscription.acked == ["1"]


async def test_whoever_joins_an_exhausted_job_has_an_operator_told_again(world: World) -> None:
    job = world.put(Status.EXHAUSTED)
    request = placed(BOT)
    await world.take(request)
    told = Alert(AlertKind.JOB_EXHAUSTED, SERVICE, "a request joined it", job.id)
    assert world.alerts.told == [told]
    await world.take(request)
    assert world.alerts.told == [told], "a duplicate is no news"
    await world.take(placed(BOT))
    assert world.alerts.told == [told, told]


async def test_a_request_for_a_bot_whose_job_is_complete_is_a_new_job(world: World) -> None:
    world.put(Status.COMPLETE)
    assert outcomes(await world.take(placed(BOT))) == {"1": Outcome.RECORDED}
    assert len(world.jobs) == 2


async def test_one_request_more_than_a_job_covers_is_a_dead_letter(world: World) -> None:
    events = tuple(f"{n}" for n in range(MAX_EVENTS - 1))
    job = world.put(Status.IN_PROGRESS, event_ids=events)
    taken = await world.take(placed(BOT), placed(BOT), placed(OTHER_BOT))
    assert outcomes(taken) == {
        "1": Outcome.JOINED,
        "2": Outcome.QUARANTINED,
        "3": Outcome.RECORDED,
    }
    [letter] = world.dead_letters.letters.values()
    assert (letter.reason, letter.message_id) == (Reason.TOO_MANY, "2")
    assert job.id in letter.detail
    assert world.journal.index("quarantine 2") < world.journal.index("ack 2")
    assert [alert.kind for alert in world.alerts.told] == [AlertKind.DEAD_LETTER]


async def test_a_full_job_whose_dead_letter_cannot_be_recorded_hands_the_request_back(
    world: World,
) -> None:
    world.put(Status.IN_PROGRESS, event_ids=tuple(f"{n}" for n in range(MAX_EVENTS)))
    world.dead_letters.down = True
    taken = await world.take(placed(BOT), placed(OTHER_BOT))
    assert outcomes(taken) == {"1": Outcome.RETURNED, "2": Outcome.RECORDED}
    assert (world.subscription.acked, world.subscription.nacked) == (["2"], ["1"])


@pytest.mark.proves("old-and-new-events")
async def test_an_event_of_a_newer_type_is_a_dead_letter_and_never_run(world: World) -> None:
    """Where an operator sees it, and from where it is replayed after the upgrade."""
    message = unknown_type()
    taken = await world.take(message, placed())
    assert outcomes(taken) == {"1": Outcome.QUARANTINED, "2": Outcome.RECORDED}
    [letter] = world.dead_letters.letters.values()
    assert (letter.reason, letter.data) == (Reason.TOO_NEW, message.data)
    assert world.journal.index("quarantine 1") < world.journal.index("ack 1")
    assert world.alerts.told == [Alert(AlertKind.DEAD_LETTER, SERVICE, Reason.TOO_NEW, letter.id)]
    assert len(world.jobs) == 1


@pytest.mark.proves("old-and-new-events")
async def test_a_completion_on_the_topic_of_requests_is_a_dead_letter_and_never_run(
    world: World,
) -> None:
    """Its place is another topic; run, it would delete what came after its request."""
    request = placed()
    share = CompletedShare(SERVICE, "", START)
    event = DeletionCompleted(request.event_id, START, START, (share,))
    stray = replace(request, event_id=completion_id(request.event_id), event=event)
    taken = await world.take(stray, placed())
    assert outcomes(taken) == {"1": Outcome.QUARANTINED, "2": Outcome.RECORDED}
    [letter] = world.dead_letters.letters.values()
    assert letter.reason is Reason.INVALID
    assert "EVENT_TYPE_REQUEST_PLACED" in letter.detail
    assert len(world.jobs) == 1


async def test_one_bad_event_does_not_stop_the_others_of_its_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses the document of one bot, whatever it is that is wrong with it."""
    record = world.store.record

    async def refusing(jobs: Sequence[Job]) -> list[Recorded]:
        if any(job.bot_id == OTHER_BOT for job in jobs):
            raise OverflowError("cannot be stored")
        return await record(jobs)

    monkeypatch.setattr(world.store, "record", refusing)
    bots = [f"{number:024x}" for number in range(1, 5)]
    taken = await world.take(placed(bots[0]), placed(bots[1]), placed(OTHER_BOT), placed(bots[2]))
    assert outcomes(taken) == {
        "1": Outcome.RECORDED,
        "2": Outcome.RECORDED,
        "3": Outcome.RETURNED,
        "4": Outcome.RECORDED,
    }
    assert (sorted(world.subscription.acked), world.subscription.nacked) == (["1", "2", "4"], ["3"])


async def test_a_group_that_is_recorded_one_by_one_gets_no_more_time_than_one_that_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be held long after its messages have been delivered again."""
    monkeypatch.setattr(world.store, "record", refusing_groups(world))
    began = world.clock.monotonic()
    taken = await world.take(*(placed(f"{number:024x}") for number in range(1, 101)))
    assert world.clock.monotonic() - began < RETRY_WITHIN + 10
    assert set(outcomes(taken).values()) == {Outcome.RETURNED}


async def test_of_a_group_that_is_recorded_one_by_one_a_slow_database_gets_as_many_as_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others come again, and each time some more are recorded."""
    record = world.store.record

    async def one_by_one(jobs: Sequence[Job]) -> list[Recorded]:
        if len(jobs) > 1:
            raise OverflowError("cannot be stored")
        await world.clock.sleep(CALL)
        return await record(jobs)

    monkeypatch.setattr(world.store, "record", one_by_one)
    taken = await world.take(*(placed(f"{number:024x}") for number in range(1, 5)))
    assert list(outcomes(taken).values()) == [Outcome.RECORDED] * 2 + [Outcome.RETURNED] * 2
    assert world.clock.monotonic() == 2 * CALL


def refusing_groups(world: World) -> Callable[[Sequence[Job]], Awaitable[list[Recorded]]]:
    """A group cannot be stored, and each by itself meets a database that is away by then."""

    async def record(jobs: Sequence[Job]) -> list[Recorded]:
        if len(jobs) > 1:
            raise OverflowError("cannot be stored")
        await world.clock.sleep(5)
        raise StoreUnavailable("away")

    return record


NO_BOT = pb.BotDeletionSubject(event_type=pb.EVENT_TYPE_REQUEST_PLACED).SerializeToString()
POISON = {
    "not a message": (b"\xff\xff\xff", Reason.UNDECODABLE),
    "empty": (b"", Reason.INVALID),
    "too long": (b"\x00" * 70_000, Reason.TOO_LARGE),
    "no bot": (NO_BOT, Reason.INVALID),
}


@pytest.mark.proves("quarantine")
@pytest.mark.parametrize(("data", "reason"), POISON.values(), ids=POISON.keys())
async def test_poison_is_quarantined_before_its_ack_and_the_rest_of_its_group_is_recorded(
    world: World, data: bytes, reason: Reason
) -> None:
    good = [placed(BOT), placed(OTHER_BOT)]
    taken = await world.take(good[0], Message(data, {"colour": "green"}), good[1])
    assert world.covered == [event.event_id for event in good]
    assert outcomes(taken)["2"] is Outcome.QUARANTINED
    assert world.journal.index("quarantine 2") < world.journal.index("ack 2")
    assert sorted(world.subscription.acked) == ["1", "2", "3"]
    [letter] = world.dead_letters.letters.values()
    assert (letter.service, letter.message_id, letter.data) == (SERVICE, "2", data)
    assert (letter.attributes, letter.reason) == ({"colour": "green"}, reason)
    assert (letter.delivery_attempt, letter.count, letter.status) == (1, 1, "new")
    assert letter.first_seen_at == letter.last_seen_at == world.clock.now()
    assert world.alerts.told == [Alert(AlertKind.DEAD_LETTER, SERVICE, reason, letter.id)]


@pytest.mark.proves("one-letter")
async def test_poison_that_comes_again_is_counted_and_told_once(world: World) -> None:
    world.subscription.ack_faults.extend([BusUnavailable("away")])
    await world.take(Message(b"\xff", {}))
    await world.clock.sleep(ACK_DEADLINE)
    await world.take()
    [letter] = world.dead_letters.letters.values()
    assert (letter.count, letter.delivery_attempt) == (2, 2)
    assert letter.last_seen_at > letter.first_seen_at
    assert world.subscription.unacked == []
    assert len(world.alerts.told) == 1


async def test_poison_that_arrives_together_is_recorded_by_one_call(world: World) -> None:
    await world.take(*(Message(bytes([255, number]), {}) for number in range(50)))
    assert len(world.dead_letters.letters) == len(world.subscription.acked) == 50
    assert world.dead_letters.calls == 1


@pytest.mark.proves("quarantine")
async def test_poison_that_cannot_be_recorded_is_handed_back_and_the_rest_is_recorded(
    world: World,
) -> None:
    world.dead_letters.down = True
    taken = await world.take(Message(b"\xff", {}), placed())
    assert outcomes(taken) == {"1": Outcome.RETURNED, "2": Outcome.RECORDED}
    assert (world.subscription.acked, world.subscription.nacked) == (["2"], ["1"])
    assert world.alerts.told == []


@pytest.mark.proves("replay")
@pytest.mark.parametrize(
    "data",
    [b"\xff", to_message(placed()).data, unknown_type().data],
    ids=["poison", "an event", "an event of a newer type"],
)
async def test_what_is_addressed_to_another_service_is_acked_and_nothing_else(
    world: World, data: bytes
) -> None:
    """A filter keeps it away on Pub/Sub; an emulator delivers it."""
    [taken] = await world.take(Message(data, {"service": "billing"}))
    assert taken.outcome is Outcome.FOREIGN
    assert world.journal == ["ack 1"]


async def test_an_event_that_is_replayed_to_this_service_is_recorded(world: World) -> None:
    event = placed()
    message = Message(to_message(event).data, {"service": SERVICE, "dead_letter": "a" * 24})
    assert outcomes(await world.take(message)) == {"1": Outcome.RECORDED}
    assert world.covered == [event.event_id]


async def test_the_dead_letters_database_away_does_not_hold_up_the_jobs(world: World) -> None:
    """Nor the other way round: neither waits for the other."""
    world.store.down = True
    taken = await world.take(Message(b"\xff", {}), placed())
    assert outcomes(taken) == {"1": Outcome.QUARANTINED, "2": Outcome.RETURNED}


async def test_a_record_that_hangs_is_given_up_in_time_to_hand_its_events_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record may take many calls, each within its own bound."""

    async def hanging(_jobs: Sequence[Job]) -> list[Recorded]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("consumers.intake.RECORD_WITHIN", 0.01)
    monkeypatch.setattr(world.store, "record", hanging)
    async with asyncio.timeout(5):
        taken = await world.take(placed(BOT), placed(OTHER_BOT))
    assert outcomes(taken) == {"1": Outcome.RETURNED, "2": Outcome.RETURNED}
    assert world.subscription.nacked == ["1", "2"]


@pytest.mark.proves("letters-hold-no-ack")
@pytest.mark.parametrize("full", [False, True], ids=["poison", "one request too many"])
async def test_jobs_are_acked_before_the_dead_letters_of_their_group_are_recorded(
    world: World, full: bool
) -> None:
    """A dead-letter store that hangs must not hold their acks beyond the ack deadline."""
    world.dead_letters.hangs = True
    if full:
        world.put(Status.IN_PROGRESS, event_ids=tuple(f"{n}" for n in range(MAX_EVENTS)))
    bad = placed(BOT) if full else Message(b"\xff", {})
    taken = await world.take(bad, placed(OTHER_BOT), Message(b"x", {"service": "billing"}))
    assert world.journal[-1] == "nack 1", "in the end"
    assert sorted(world.subscription.acked) == ["2", "3"]
    assert outcomes(taken)["1"] is Outcome.RETURNED


async def test_poison_is_acked_while_the_jobs_of_its_group_are_still_tried(world: World) -> None:
    world.store.pauses["record"] = 5
    await world.take(Message(b"\xff", {}), placed())
    assert world.journal[:2] == ["quarantine 1", "ack 1"]
    assert world.journal[-1] == "ack 2"


async def test_a_clock_that_is_set_back_does_not_lengthen_how_long_a_record_is_tried(
    world: World,
) -> None:
    world.store.down = True
    now, began = world.clock.now, world.clock.monotonic()
    world.clock.now = lambda: now() - 2 * (now() - START)  # type: ignore[method-assign]
    assert outcomes(await world.take(placed())) == {"1": Outcome.RETURNED}
    assert world.clock.monotonic() - began < ACK_DEADLINE / 2


async def test_each_message_of_a_mixed_group_gets_its_own_outcome(world: World) -> None:
    running = world.put(Status.IN_PROGRESS, id="a" * 24, bot_id=f"{1:024x}")
    failed = world.put(Status.FAILED, id="b" * 24, bot_id=f"{2:024x}")
    taken = await world.take(
        placed(running.bot_id, running.event_id),
        placed(failed.bot_id),
        Message(b"x", {"service": "billing"}),
        unknown_type(),
        Message(b"\xff", {}),
        placed(),
    )
    assert outcomes(taken) == {
        "1": Outcome.KNOWN,
        "2": Outcome.JOINED,
        "3": Outcome.FOREIGN,
        "4": Outcome.QUARANTINED,
        "5": Outcome.QUARANTINED,
        "6": Outcome.RECORDED,
    }
    assert sorted(world.subscription.acked) == ["1", "2", "3", "4", "5", "6"]


async def test_handing_back_while_the_bus_is_away_is_left_to_the_deadline(world: World) -> None:
    await world.publish(placed())
    pulled = await world.subscription.pull(1)
    world.subscription.down = world.store.down = True
    await world.intake.take(pulled)
    world.subscription.down = world.store.down = False
    await world.clock.sleep(ACK_DEADLINE)
    assert outcomes(await world.take()) == {"1": Outcome.RECORDED}


async def test_the_time_of_an_event_from_the_future_is_kept_as_it_is(world: World) -> None:
    future = START + timedelta(days=400)
    await world.take(placed(timestamp=future))
    [job] = world.jobs
    assert job.placed_at == future
    assert job.created_at == world.clock.now()


@pytest.mark.proves("ask-again")
async def test_a_request_of_the_last_moment_that_can_be_written_is_a_dead_letter(
    world: World,
) -> None:
    """Recorded, it would be joined by nothing: every later request of its bot would be refused."""
    last = pb.BotDeletionSubject.FromString(to_message(placed(BOT)).data)
    last.request_placed.placed_at.FromDatetime(datetime.max.replace(tzinfo=UTC))
    taken = await world.take(Message(last.SerializeToString(), {}))
    assert outcomes(taken) == {"1": Outcome.QUARANTINED}
    [letter] = world.dead_letters.letters.values()
    assert letter.reason is Reason.INVALID
    assert "placed_at" in letter.detail
    assert outcomes(await world.take(placed(BOT))) == {"2": Outcome.RECORDED}


@pytest.mark.proves("ask-again")
async def test_a_request_of_the_latest_time_that_is_taken_can_be_joined(world: World) -> None:
    latest = datetime(LATEST_YEAR, 12, 31, 23, 59, 59, 999_999, UTC)
    events = [placed(BOT, timestamp=latest) for _ in range(MAX_EVENTS)]
    await world.take(events[0])
    for number in range(1, MAX_EVENTS, 100):
        await world.take(*events[number : number + 100])
    [job] = world.jobs
    assert len(job.event_ids) == MAX_EVENTS
