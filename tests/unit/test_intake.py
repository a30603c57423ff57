"""Decode, record, ack: in that order, whatever breaks in between."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from consumers.intake import RECORD_WITHIN, Intake, Outcome, Taken
from deletion.alerts import Alert, AlertKind
from deletion.bus import Message
from deletion.dead_letter import Reason
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.events import BotDeletionSubject, ResumeRequested, to_message
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.job import Failure, Job, Status, StepProgress
from deletion.plan import Plan
from deletion.quarantine import Quarantine
from deletion.resume import resume_message
from tests.support.fakes import (
    BOT,
    OTHER_BOT,
    POLICY,
    SERVICE,
    START,
    Crash,
    MemoryArchive,
    MemoryBus,
    RecordedAlerts,
    ScriptedDeadLetters,
    ScriptedStep,
    ScriptedStore,
    VirtualClock,
    a_job,
    placed,
)

ACK_DEADLINE = 60
STALE_SECONDS = POLICY.stale_after.total_seconds()
FAILURE = Failure("ValueError", "broken", START)


class World:
    """One subscription and one store; intakes are what processes would have."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.journal: list[str] = []
        self.bus = MemoryBus(self.clock, self.journal)
        self.subscription = self.bus.subscribe(ack_deadline=ACK_DEADLINE)
        self.store = ScriptedStore(self.clock, self.journal)
        self.archive = MemoryArchive(self.journal)
        self.dead_letters = ScriptedDeadLetters(self.journal)
        self.alerts = RecordedAlerts()
        self.intake = self.process("worker-1")

    def process(self, worker: str) -> Intake:
        plan = Plan(SERVICE, (ScriptedStep("first", {}, self.clock),))
        quarantine = Quarantine(self.dead_letters, self.alerts, self.clock)
        return Intake(
            plan,
            self.subscription,
            self.store,
            self.archive,
            quarantine,
            self.clock,
            POLICY,
            worker,
        )

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

    def put(self, status: Status, **values: Any) -> Job:
        """A job that is stored already, of an earlier event."""
        failure = FAILURE if status is Status.FAILED else None
        return self.store.put(a_job(status, failure=failure, **values))


def to_run(taken: Sequence[Taken]) -> list[Job]:
    return [t.job for t in taken if t.job]


def unknown_type() -> Message:
    """An event of a type that comes after this release."""
    message = pb.BotDeletionSubject.FromString(to_message(placed()).data)
    message.event_type = 77  # type: ignore[assignment]
    return Message(message.SerializeToString(), {"event_type": "77"})


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What is logged, kept from being rendered."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_new_event_is_recorded_then_acked_then_to_be_run(world: World) -> None:
    event = placed()
    [taken] = await world.take(event)
    assert world.journal == [f"record {event.event_id}", "ack 1"]
    assert taken.outcome is Outcome.RUN
    [job] = world.jobs
    assert taken.job == job
    assert (job.service, job.bot_id, job.event_id) == (SERVICE, BOT, event.event_id)
    assert (job.status, job.attempt) == (Status.IN_PROGRESS, 1)
    assert job.claimed_by.startswith("worker-1/")
    assert job.placed_at == START
    assert job.created_at == world.clock.now()
    assert job.steps == (StepProgress("first"),)


async def test_what_arrives_together_is_recorded_by_one_call(world: World) -> None:
    events = [placed(f"{number:024x}") for number in range(50)]
    taken = await world.take(*events)
    assert world.store.calls == ["record"]
    assert len(to_run(taken)) == len(world.subscription.acked) == 50
    assert {job.bot_id for job in to_run(taken)} == {event.bot_id for event in events}


async def test_each_claim_has_a_name_of_its_own(world: World) -> None:
    taken = await world.take(placed(BOT), placed(OTHER_BOT))
    assert len({job.claimed_by for job in to_run(taken)}) == 2


async def test_nothing_comes_of_nothing(world: World) -> None:
    assert await world.take() == []
    assert world.store.calls == []


@pytest.mark.parametrize("crash", ["before the record", "after the record", "at the ack"])
async def test_a_crash_loses_neither_message_nor_job(world: World, crash: str) -> None:
    event = placed()
    if crash == "before the record":
        world.store.faults["record"] = deque([Crash()])
    elif crash == "after the record":
        world.store.lost["record"] = deque([Crash()])
    else:
        world.subscription.ack_faults.append(Crash())
    with pytest.raises(Crash):
        await world.take(event)
    assert world.subscription.unacked == ["1"], "the message is still Pub/Sub's"

    world.intake = world.process("worker-2")
    await world.clock.sleep(ACK_DEADLINE)
    taken = await world.take()
    assert world.subscription.unacked == []
    if crash == "before the record":
        assert [job.event_id for job in to_run(taken)] == [event.event_id]
    else:  # by then the job of the dead process is stale
        assert [job.attempt for job in to_run(taken)] == [2]
    assert len(world.jobs) == 1


async def test_a_database_that_is_away_hands_everything_back_and_runs_nothing(
    world: World,
) -> None:
    world.store.down = True
    taken = await world.take(placed(BOT), placed(OTHER_BOT))
    assert [(t.outcome, t.job) for t in taken] == [(Outcome.RETURNED, None)] * 2
    assert world.journal == ["nack 1", "nack 2"]
    world.store.down = False
    assert len(to_run(await world.take())) == 2, "the first redelivery is at once"


async def test_a_record_whose_answer_was_lost_is_repeated_and_run_once(world: World) -> None:
    world.store.lost["record"] = deque([StoreUnavailable("answer lost")])
    taken = await world.take(placed())
    assert to_run(taken) == world.jobs
    assert world.store.calls == ["record", "record"]
    assert world.subscription.unacked == []


async def test_a_record_is_not_repeated_for_ever(world: World) -> None:
    world.store.down = True
    world.store.pauses["record"] = 3
    await world.publish(placed())
    pulled = await world.subscription.pull(1)
    await world.intake.take(pulled)
    took = world.clock.now() - START
    assert RECORD_WITHIN <= took < timedelta(seconds=ACK_DEADLINE / 2)
    assert world.subscription.nacked == ["1"]


async def test_a_record_nobody_confirmed_is_not_run_and_goes_stale_for_recovery(
    world: World,
) -> None:
    world.store.lost["record"] = deque([StoreUnavailable("answer lost")] * 999)
    assert to_run(await world.take(placed())) == []
    assert to_run(await world.take()) == [], "redelivered at once: taken for running"
    world.store.lost.clear()
    await world.clock.sleep(STALE_SECONDS)
    [job] = world.jobs
    assert len(to_run(await world.take(resume_message(job, world.clock.now())))) == 1


@pytest.mark.parametrize("error", [BusUnavailable("away"), RuntimeError("unexpected")])
async def test_a_lost_ack_does_not_keep_the_job_from_running(
    world: World, error: Exception
) -> None:
    world.subscription.ack_faults.append(error)
    taken = await world.take(placed())
    assert to_run(taken) == world.jobs
    await world.clock.sleep(ACK_DEADLINE - 1)
    world.store.put(replace(world.jobs[0], last_modified_at=world.clock.now()))
    assert to_run(await world.take()) == [], "its redelivery finds it running"
    assert world.subscription.unacked == []


async def test_duplicates_in_one_group_are_run_once(world: World) -> None:
    event = placed()
    taken = await world.take(event, event, event)
    assert len(to_run(taken)) == len(world.jobs) == 1
    assert world.subscription.acked == ["1", "2", "3"]


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.COMPLETE, Status.EXHAUSTED])
async def test_an_event_whose_job_runs_or_has_ended_is_only_acked(
    world: World, status: Status
) -> None:
    job = world.put(status)
    taken = await world.take(placed(event_id=job.event_id))
    assert to_run(taken) == []
    assert world.journal[-1] == "ack 1"
    assert world.jobs == [job]


@pytest.mark.parametrize("status", [Status.FAILED, Status.IN_PROGRESS])
async def test_the_redelivery_of_a_failed_or_stale_job_claims_it_before_the_ack(
    world: World, status: Status
) -> None:
    silent = START - timedelta(seconds=STALE_SECONDS)
    job = world.put(status, last_modified_at=silent)
    [taken] = await world.take(placed(event_id=job.event_id))
    assert world.journal[-2:] == ["apply in_progress", "ack 1"]
    assert world.jobs == [taken.job]
    assert taken.job is not None
    assert taken.job.id == job.id
    assert taken.job.attempt == 2
    assert taken.job.claimed_by.startswith("worker-1/")
    assert taken.job.last_modified_at == world.clock.now()


async def test_a_job_is_not_taken_a_millisecond_before_it_is_stale(world: World) -> None:
    silent = START - timedelta(seconds=STALE_SECONDS) + timedelta(milliseconds=1)
    job = world.put(Status.IN_PROGRESS, last_modified_at=silent)
    assert to_run(await world.take(placed(event_id=job.event_id))) == []
    assert world.jobs == [job]


@pytest.mark.parametrize("status", [Status.FAILED, Status.IN_PROGRESS])
async def test_a_job_whose_attempts_are_spent_is_acked_and_not_run(
    world: World, status: Status
) -> None:
    silent = START - timedelta(seconds=STALE_SECONDS)
    job = world.put(status, attempt=POLICY.max_attempts, last_modified_at=silent)
    assert to_run(await world.take(placed(event_id=job.event_id))) == []
    assert world.subscription.unacked == []
    assert world.jobs == [job], "ending it is recovery's"


async def test_of_two_processes_that_want_a_failed_job_one_gets_it(world: World) -> None:
    job = world.put(Status.FAILED)
    await world.publish(placed(event_id=job.event_id), placed(event_id=job.event_id))
    groups = [await world.subscription.pull(1) for _ in range(2)]
    intakes = [world.process("worker-1"), world.process("worker-2")]
    taken = await asyncio.gather(
        *(intake.take(group) for intake, group in zip(intakes, groups, strict=True))
    )
    assert sorted(len(to_run(each)) for each in taken) == [0, 1]
    assert world.store.calls.count("apply") == 2, "both tried"
    assert world.subscription.unacked == []


async def test_a_claim_the_database_does_not_answer_is_handed_back(world: World) -> None:
    job = world.put(Status.FAILED)
    world.store.faults["apply"] = deque([StoreUnavailable("away")])
    taken = await world.take(placed(event_id=job.event_id))
    assert to_run(taken) == []
    assert world.subscription.nacked == ["1"]
    assert len(to_run(await world.take())) == 1


async def test_another_request_for_a_bot_that_is_being_deleted_joins_its_job(world: World) -> None:
    job = world.put(Status.IN_PROGRESS)
    world.clock.pause(1)
    request = placed(BOT, timestamp=world.clock.now())
    assert to_run(await world.take(request)) == []
    assert world.jobs == [replace(job, placed_at=world.clock.now())]


async def test_a_request_for_a_bot_whose_job_is_complete_is_a_new_job(world: World) -> None:
    world.put(Status.COMPLETE)
    [job] = to_run(await world.take(placed(BOT)))
    assert job.attempt == 1
    assert len(world.jobs) == 2


async def test_a_resumption_claims_the_job_it_names(world: World) -> None:
    job = world.put(Status.FAILED)
    [resumed] = to_run(await world.take(resume_message(job, START)))
    assert (resumed.id, resumed.attempt) == (job.id, 2)
    assert world.journal == ["apply in_progress", "ack 1"]


async def test_a_resumption_that_comes_twice_is_run_once(world: World) -> None:
    job = world.put(Status.FAILED)
    message = resume_message(job, START)
    assert len(to_run(await world.take(message, message))) == 1
    assert to_run(await world.take(message)) == []
    assert world.subscription.unacked == []


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.COMPLETE, Status.EXHAUSTED])
async def test_a_resumption_of_a_job_that_runs_or_has_ended_is_only_acked(
    world: World, status: Status
) -> None:
    job = world.put(status)
    assert to_run(await world.take(resume_message(job, START))) == []
    assert world.subscription.acked == ["1"]
    assert world.jobs == [job]


async def test_a_resumption_never_gives_a_spent_job_another_attempt(world: World) -> None:
    job = world.put(Status.FAILED, attempt=POLICY.max_attempts)
    assert to_run(await world.take(resume_message(job, START))) == []
    assert world.subscription.acked == ["1"]
    assert world.jobs == [job]


async def test_a_resumption_for_another_service_is_acked_unseen(world: World) -> None:
    job = world.put(Status.FAILED)
    other = resume_message(replace(job, service="billing"), START)
    assert to_run(await world.take(other)) == []
    assert world.subscription.acked == ["1"]
    assert world.store.calls == []


async def test_a_job_of_another_service_is_never_run_whoever_asks(world: World) -> None:
    job = world.put(Status.FAILED, service="billing")
    asked = resume_message(replace(job, service=SERVICE), START)
    assert to_run(await world.take(asked)) == []
    assert world.subscription.acked == ["1"]
    assert world.jobs == [job]


async def test_a_resumption_of_a_job_that_does_not_exist_is_acked(world: World) -> None:
    assert to_run(await world.take(resume_message(a_job(), START))) == []
    assert world.subscription.acked == ["1"]


async def test_a_resumption_is_handed_back_while_the_database_is_away(world: World) -> None:
    job = world.put(Status.FAILED)
    world.store.down = True
    await world.take(resume_message(job, START))
    assert world.subscription.nacked == ["1"]


async def test_an_event_of_a_newer_type_is_kept_then_acked_and_never_run(world: World) -> None:
    message = unknown_type()
    assert to_run(await world.take(message)) == []
    assert world.journal == ["keep 1", "ack 1"]
    [kept] = world.archive.kept.values()
    assert kept.message == message
    assert world.jobs == []


async def test_an_event_that_cannot_be_kept_is_handed_back(world: World) -> None:
    world.archive.down = True
    await world.take(unknown_type())
    assert world.journal == ["nack 1"]


NO_BOT = pb.BotDeletionSubject(event_type=pb.EVENT_TYPE_REQUEST_PLACED).SerializeToString()
POISON = {
    "not a message": (b"\xff\xff\xff", Reason.UNDECODABLE),
    "empty": (b"", Reason.INVALID),
    "too long": (b"\x00" * 70_000, Reason.TOO_LARGE),
    "no bot": (NO_BOT, Reason.INVALID),
}


@pytest.mark.parametrize(("data", "reason"), POISON.values(), ids=POISON.keys())
async def test_poison_is_quarantined_before_its_ack_and_the_rest_of_its_group_is_run(
    world: World, data: bytes, reason: Reason
) -> None:
    good = [placed(BOT), placed(OTHER_BOT)]
    taken = await world.take(good[0], Message(data, {"colour": "green"}), good[1])
    assert [job.event_id for job in to_run(taken)] == [event.event_id for event in good]
    assert [t.outcome for t in taken if not t.job] == [Outcome.QUARANTINED]
    assert world.journal.index("quarantine 2") < world.journal.index("ack 2")
    assert sorted(world.subscription.acked) == ["1", "2", "3"]
    [letter] = world.dead_letters.letters.values()
    assert (letter.service, letter.message_id, letter.data) == (SERVICE, "2", data)
    assert (letter.attributes, letter.reason) == ({"colour": "green"}, reason)
    assert (letter.delivery_attempt, letter.count, letter.status) == (1, 1, "new")
    assert letter.first_seen_at == letter.last_seen_at == world.clock.now()
    assert world.alerts.told == [Alert(AlertKind.DEAD_LETTER, SERVICE, reason, letter.id)]


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


async def test_poison_that_cannot_be_recorded_is_handed_back_and_the_rest_is_run(
    world: World,
) -> None:
    world.dead_letters.down = True
    taken = await world.take(Message(b"\xff", {}), placed())
    assert [t.outcome for t in taken] == [Outcome.RUN, Outcome.RETURNED]
    assert (world.subscription.acked, world.subscription.nacked) == (["2"], ["1"])
    assert world.alerts.told == []


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
    assert taken.outcome is Outcome.KNOWN
    assert world.journal == ["ack 1"]


async def test_an_event_that_is_replayed_to_this_service_is_run(world: World) -> None:
    event = placed()
    message = Message(to_message(event).data, {"service": SERVICE, "dead_letter": "a" * 24})
    [job] = to_run(await world.take(message))
    assert job.event_id == event.event_id


async def test_each_message_of_a_mixed_group_gets_its_own_outcome(world: World) -> None:
    running = world.put(Status.IN_PROGRESS, id="a" * 24, bot_id=f"{1:024x}")
    failed = world.put(Status.FAILED, id="b" * 24, bot_id=f"{2:024x}")
    resumable = world.put(Status.FAILED, id="c" * 24, bot_id=f"{3:024x}")
    new = placed()
    taken = await world.take(
        placed(running.bot_id, running.event_id),
        placed(failed.bot_id, failed.event_id),
        resume_message(resumable, START),
        unknown_type(),
        Message(b"\xff", {}),
        new,
    )
    assert {job.event_id for job in to_run(taken)} == {
        failed.event_id,
        resumable.event_id,
        new.event_id,
    }
    assert sorted(world.subscription.acked) == ["1", "2", "3", "4", "5", "6"]
    assert sorted(t.delivery.message_id for t in taken) == ["1", "2", "3", "4", "5", "6"]


async def test_handing_back_records_nothing(world: World) -> None:
    await world.publish(placed())
    await world.intake.hand_back(await world.subscription.pull(1))
    assert world.journal == ["nack 1"]
    assert world.store.calls == []


async def test_handing_back_while_the_bus_is_away_is_left_to_the_deadline(world: World) -> None:
    await world.publish(placed())
    pulled = await world.subscription.pull(1)
    world.subscription.down = True
    await world.intake.hand_back(pulled)
    world.subscription.down = False
    await world.clock.sleep(ACK_DEADLINE)
    assert len(to_run(await world.take())) == 1


async def test_the_time_of_an_event_from_the_future_is_kept_as_it_is(world: World) -> None:
    future = START + timedelta(days=400)
    [job] = to_run(await world.take(placed(timestamp=future)))
    assert job.placed_at == future
    assert job.created_at == world.clock.now()


async def test_a_resumption_carries_ids_in_lower_case(world: World) -> None:
    job = world.put(Status.FAILED)
    request = ResumeRequested(SERVICE, job.id.upper(), START)
    event = BotDeletionSubject(placed().event_id, START, BOT, request)
    assert len(to_run(await world.take(event))) == 1
