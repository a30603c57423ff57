"""One state, one sentence and one time for each service, from what is recorded."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from console.status import (
    MOST_CHARACTERS,
    MOST_COUNTED,
    Found,
    ServiceState,
    ServiceStatus,
    queue_of,
    status_of,
)
from deletion.clock import rfc3339
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import (
    STALE,
    Failure,
    Job,
    LeasePolicy,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
)
from deletion.ledger import EventLetter
from deletion.ports import Read, Unreadable
from deletion.request import Waiver
from tests.support.clock import START
from tests.support.factories import SERVICE, a_deletion_request, a_job

REST = timedelta(minutes=20)
POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3, rest=REST)
NOW = START + timedelta(hours=1)
RECENTLY = NOW - timedelta(seconds=10)
STEPS = (
    StepProgress("files", StepStatus.COMPLETE, deleted=1200, batches=3),
    StepProgress("rows", StepStatus.IN_PROGRESS, deleted=34, batches=2),
)
FAILURE = Failure("HttpRefused", "billing.example: 403", RECENTLY)


def status(
    job: Read | None = None, *, ahead: int | None = None, letters: Sequence[EventLetter] = ()
) -> ServiceStatus:
    request = a_deletion_request()
    return status_of(request, request.shares[0], Found(job, letters, ahead), NOW, POLICY)


def said(job: Job, ahead: int | None = None) -> tuple[str, str]:
    found = status(job, ahead=ahead)
    return found.state.value, found.reason


NO_JOB = (
    f"no job yet: no consumer of {SERVICE} has recorded the request; start one if none is running"
)


def running(**values: Any) -> Job:
    return a_job(Status.IN_PROGRESS, **({"last_modified_at": RECENTLY, "steps": STEPS} | values))


def failed(**values: Any) -> Job:
    return a_job(Status.FAILED, **({"last_modified_at": RECENTLY, "failure": FAILURE} | values))


class TestWithoutAJob:
    def test_it_is_missing_since_the_request_was_received(self) -> None:
        found = status()
        assert found == ServiceStatus(SERVICE, ServiceState.MISSING, NO_JOB, START)

    @pytest.mark.parametrize(
        ("times", "how_often"), [(1, "once"), (2, "2 times"), (1234, "1,234 times")]
    )
    def test_it_says_how_often_the_request_was_published_again(
        self, times: int, how_often: str
    ) -> None:
        request = a_deletion_request()
        share = replace(request.shares[0], republished=times)
        found = status_of(request, share, Found(), NOW, POLICY)
        assert found.reason == f"{NO_JOB}; the request was published again {how_often}"

    def test_a_new_dead_letter_is_named_with_its_reason(self) -> None:
        letter = EventLetter(
            "a" * 24, SERVICE, "e", DeadLetterStatus.NEW, Reason.TOO_MANY, RECENTLY
        )
        found = status(letters=[letter])
        why = f"dead letter {'a' * 24} is new (too many): replay or discard it"
        assert found == ServiceStatus(SERVICE, ServiceState.DEAD_LETTER, why, RECENTLY)

    def test_one_of_which_nothing_else_can_be_read_is_named_too(self) -> None:
        found = status(letters=[EventLetter("a" * 24, SERVICE, "e", DeadLetterStatus.NEW)])
        why = f"dead letter {'a' * 24} is new: replay or discard it"
        assert found == ServiceStatus(SERVICE, ServiceState.DEAD_LETTER, why, START)

    def test_of_several_the_latest_new_one_counts(self) -> None:
        by_id = {"c": DeadLetterStatus.REPLAYED, "b": DeadLetterStatus.NEW, "a": "new"}
        letters = [
            EventLetter(each * 24, SERVICE, "e", DeadLetterStatus(stands))
            for each, stands in by_id.items()
        ]
        assert "b" * 24 in status(letters=letters).reason

    @pytest.mark.parametrize("decided", [DeadLetterStatus.REPLAYED, DeadLetterStatus.DISCARDED])
    def test_one_that_was_dealt_with_leaves_it_missing(self, decided: DeadLetterStatus) -> None:
        found = status(letters=[EventLetter("a" * 24, SERVICE, "e", decided)])
        assert found.state is ServiceState.MISSING
        assert found.reason == f"{NO_JOB}; dead letter {'a' * 24} was {decided.value}"


class TestWaiting:
    @pytest.mark.parametrize(
        ("ahead", "where"),
        [
            (None, "pending"),
            (0, "pending at place 1"),
            (2, "pending at place 3"),
            (1233, "pending at place 1,234"),
            (MOST_COUNTED, "pending after at least 10,000 others"),
        ],
    )
    def test_a_pending_job_has_its_place(self, ahead: int | None, where: str) -> None:
        assert said(a_job(Status.PENDING), ahead) == ("pending", where)

    def test_it_waits_since_it_became_pending(self) -> None:
        found = status(a_job(Status.PENDING, last_modified_at=RECENTLY))
        assert (found.since, found.job_id) == (RECENTLY, a_job().id)

    def test_a_suspect_and_a_rollback_are_told_apart(self) -> None:
        silences = tuple(PastAttempt(n, "w", "rows", 1, START, STALE) for n in (1, 2))
        job = a_job(Status.PENDING, past_attempts=silences, rollback_cause=FAILURE)
        among = "pending at place 1 among the jobs that have ended their process, to be rolled back"
        assert said(job, 0) == ("pending", among)

    def test_a_parked_job_says_until_when_and_for_which_host(self) -> None:
        due = NOW + timedelta(minutes=1)
        open_breaker = Failure("Parked", "the breaker of billing.example is open", RECENTLY)
        job = a_job(Status.PENDING, due=due, failure=open_breaker)
        why = f"parked until {rfc3339(due)}: the breaker of billing.example is open (Parked)"
        assert said(job) == ("parked", why)

    def test_a_job_that_was_handed_over_has_its_place(self) -> None:
        job = failed(due=START, failure=replace(FAILURE, interrupted=True))
        why = "handed over at place 5: its run was interrupted, any worker may claim it"
        assert said(job, 4) == ("failed", why)

    @pytest.mark.parametrize(
        ("job", "waits"),
        [
            (a_job(Status.PENDING), (SERVICE, START)),
            (failed(due=START), (SERVICE, START)),
            (a_job(Status.PENDING, due=NOW), (SERVICE, NOW)),
            (a_job(Status.PENDING, due=NOW + timedelta(seconds=1)), None),
            (running(), None),
            (failed(), None),
            (Unreadable("a" * 24, "damaged", due=START), None),
            (None, None),
        ],
    )
    def test_only_a_job_that_may_be_claimed_is_in_a_queue(
        self, job: Read | None, waits: tuple[str, datetime] | None
    ) -> None:
        assert queue_of(job, NOW) == waits


class TestRunning:
    def test_a_run_stands_at_a_step_and_a_batch(self) -> None:
        found = status(running())
        why = "running at step rows, batch 3; 1,234 deleted so far"
        job_id = a_job().id
        assert found == ServiceStatus(
            SERVICE, ServiceState.IN_PROGRESS, why, RECENTLY, job_id, 1234
        )

    def test_after_the_last_step_it_reads_back(self) -> None:
        steps = tuple(replace(step, status=StepStatus.COMPLETE) for step in STEPS)
        assert status(running(steps=steps)).reason == "reading back; 1,234 deleted so far"

    def test_a_rollback_undoes_a_step(self) -> None:
        undo = (StepProgress("account"),)
        rolling = running(rollback_cause=FAILURE, compensations=undo)
        assert status(rolling).reason.startswith("undoing step account, batch 1;")
        undone = tuple(replace(step, status=StepStatus.COMPLETE) for step in undo)
        done = running(rollback_cause=FAILURE, compensations=undone)
        assert status(done).reason.startswith("reading back what was undone;")

    def test_a_stale_job_says_since_when_it_is_silent_and_who_moves_it(self) -> None:
        silent = NOW - POLICY.stale_after
        state, why = said(running(last_modified_at=silent))
        assert state == "in_progress"
        where = f"stale: silent since {rfc3339(silent)}, running at step rows, batch 3"
        assert why == f"{where}, the next sweep resumes it"

    def test_a_moment_before_that_it_is_running(self) -> None:
        almost = NOW - POLICY.stale_after + timedelta(milliseconds=1)
        assert said(running(last_modified_at=almost))[1].startswith("running at")

    def test_a_second_silence_rests(self) -> None:
        silent = NOW - POLICY.stale_after
        earlier = (PastAttempt(1, "w", "rows", 1, START, STALE),)
        _, why = said(running(last_modified_at=silent, past_attempts=earlier))
        assert why.endswith(f" and resting until {rfc3339(silent + REST)}")


class TestFailed:
    @pytest.mark.parametrize("attempt", [1, 2])
    def test_it_rests_longer_after_each_attempt(self, attempt: int) -> None:
        until = RECENTLY + POLICY.rest_after(attempt)
        why = f"failed and resting until {rfc3339(until)}: billing.example: 403 (HttpRefused)"
        assert said(failed(attempt=attempt)) == ("failed", why)

    @pytest.mark.parametrize(
        ("values", "following"),
        [
            ({"attempt": 1}, ", the next sweep resumes it"),
            ({"attempt": 3}, ", its attempts are spent: the next sweep marks it as exhausted"),
            (
                {"attempt": 3, "point_of_no_return": "rows"},
                ", its attempts are spent: the next sweep rolls it back",
            ),
        ],
    )
    def test_once_rested_a_sweep_moves_it(self, values: dict[str, Any], following: str) -> None:
        job = failed(last_modified_at=NOW - REST, **values)
        assert said(job)[1] == f"failed{following}: billing.example: 403 (HttpRefused)"


class TestEnded:
    def test_a_complete_job_counts_before_the_ledger_has_seen_it(self) -> None:
        job = a_job(Status.COMPLETE, finished_at=RECENTLY, steps=STEPS)
        why = "everything is deleted, and was read back empty"
        expected = ServiceStatus(SERVICE, ServiceState.COMPLETE, why, RECENTLY, job.id, 1234)
        assert status(job) == expected
        request = a_deletion_request().completed(SERVICE, job.id, NOW)
        assert status_of(request, request.shares[0], Found(job), NOW, POLICY) == expected

    @pytest.mark.parametrize(
        "job", [None, Unreadable("a" * 24, "damaged"), a_job(Status.PENDING, id="b" * 24)]
    )
    def test_a_settled_share_stays_complete_without_the_record_of_its_job(
        self, job: Read | None
    ) -> None:
        request = a_deletion_request().completed(SERVICE, "a" * 24, RECENTLY)
        found = status_of(request, request.shares[0], Found(job), NOW, POLICY)
        assert (found.state, found.since) == (ServiceState.COMPLETE, RECENTLY)
        assert (found.job_id, found.deleted) == ("a" * 24, None)

    @pytest.mark.parametrize(
        ("job", "job_id", "deleted"),
        [
            (None, None, 0),
            (running(), a_job().id, 1234),
            (Unreadable("a" * 24, "damaged"), "a" * 24, None),
        ],
    )
    def test_a_waiver_says_who_and_why(
        self, job: Read | None, job_id: str | None, deleted: int | None
    ) -> None:
        waiver = Waiver("ada", "its data is gone with the region")
        request = a_deletion_request().waived(SERVICE, waiver, RECENTLY)
        found = status_of(request, request.shares[0], Found(job), NOW, POLICY)
        why = "waived by ada: its data is gone with the region"
        state = ServiceState.WAIVED
        assert found == ServiceStatus(SERVICE, state, why, RECENTLY, job_id, deleted, waiver)

    def test_an_exhausted_job_waits_for_an_operator(self) -> None:
        job = a_job(Status.EXHAUSTED, failure=FAILURE)
        last = "an operator has to retry it: billing.example: 403 (HttpRefused)"
        assert said(job) == ("exhausted", f"all attempts are spent, {last}")
        rolled = replace(job, rollback_cause=FAILURE)
        assert said(rolled)[1] == f"all attempts to roll it back are spent, {last}"

    def test_a_compensated_job_says_why_it_was_rolled_back(self) -> None:
        job = a_job(Status.COMPENSATED, rollback_cause=FAILURE, finished_at=RECENTLY)
        why = "rolled back, the bot is not deleted: billing.example: 403 (HttpRefused)"
        assert said(job) == ("compensated", why)
        assert status(job).since == RECENTLY


class TestDamage:
    def test_a_record_that_cannot_be_read_is_shown_as_such(self) -> None:
        found = status(Unreadable("a" * 24, "attempt is missing", last_modified_at=RECENTLY))
        why = "the record of its job cannot be read: attempt is missing"
        expected = ServiceStatus(
            SERVICE, ServiceState.UNREADABLE, why, RECENTLY, "a" * 24, deleted=None
        )
        assert found == expected
        assert status(Unreadable("a" * 24, "damaged")).since == START

    @pytest.mark.proves("status-damage")
    @pytest.mark.parametrize(
        "damaged",
        [
            failed(failure=Failure(7, "", RECENTLY)),  # type: ignore[arg-type]
            failed(last_modified_at=datetime.max.replace(tzinfo=START.tzinfo)),
            failed(attempt="one"),
            a_job(Status.PENDING, past_attempts=({},)),
            running(steps=(replace(STEPS[0], deleted=None),)),  # type: ignore[arg-type]
        ],
    )
    def test_values_that_make_no_sense_are_shown_as_such(self, damaged: Job) -> None:
        found = status(damaged, ahead=0)
        assert found.state is ServiceState.UNREADABLE
        assert found.job_id == damaged.id
        assert queue_of(damaged, NOW) is None

    def test_the_text_of_others_is_bounded(self) -> None:
        found = status(failed(failure=Failure("E", "<script>" * 1000, RECENTLY)))
        assert len(found.reason) == MOST_CHARACTERS
        assert found.reason.endswith("…")
        request = a_deletion_request()
        whole = Waiver("ada", "x" * (MOST_CHARACTERS - len("waived by ada: ")))
        waived = request.waived(SERVICE, whole, RECENTLY)
        found = status_of(waived, waived.shares[0], Found(), NOW, POLICY)
        assert found.reason.endswith("x")


@pytest.mark.proves("status-of-each")
@pytest.mark.parametrize("each", Status)
def test_every_status_of_a_job_has_its_state(each: Status) -> None:
    assert status(a_job(each)).state is ServiceState(each.value)
