"""The ledger's record of one request."""

from datetime import timedelta
from itertools import pairwise

import pytest

from deletion.request import (
    CHECKS_APART,
    LONGEST_CHECKS_APART,
    WARNINGS_APART,
    Chore,
    DeletionRequest,
    LedgerPolicy,
    RequestState,
    Waiver,
)
from tests.support.clock import START
from tests.support.factories import BOT

POLICY = LedgerPolicy(deadline=timedelta(days=30), missing_after=timedelta(minutes=10))
DUE = START + POLICY.deadline
EVENT = "3f0c9a52-6c1e-4a1f-9a2e-0d1f4f6c7b8a"
MINUTE = timedelta(minutes=1)


def a_request(*services: str) -> DeletionRequest:
    return DeletionRequest.received(
        event_id=EVENT,
        bot_id=BOT,
        placed_at=START,
        services=services,
        now=START,
        policy=POLICY,
    )


def test_a_request_is_settled_once_no_service_owes_it() -> None:
    request = a_request("media", "billing")
    assert request.owed == ("billing", "media")

    half = request.completed("media", "job-1", START + MINUTE)
    assert half.owed == ("billing",)
    assert half.state(START + MINUTE) is RequestState.OPEN

    whole = half.completed("billing", "job-2", START + 2 * MINUTE)
    assert whole.state(DUE) is RequestState.SETTLED
    assert whole.settled_at == START + 2 * MINUTE
    assert whole.chores == {Chore.ANNOUNCE: START + 2 * MINUTE}


def test_settling_a_share_twice_changes_nothing() -> None:
    once = a_request("media", "billing").completed("media", "job-1", START)
    assert once.completed("media", "job-2", DUE) is once
    assert once.waived("media", Waiver("ann", "gone"), DUE) is once
    assert once.completed("crm-sync", "job-3", DUE) is once


def test_a_waiver_settles_as_a_job_does_and_says_why() -> None:
    waiver = Waiver("ann", "the service was shut down")
    request = a_request("media").waived("media", waiver, START + MINUTE)
    assert request.settled_at == START + MINUTE
    assert request.shares[0].waiver == waiver


def test_a_request_that_nobody_owes_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no service owes"):
        a_request()


def test_it_is_overdue_from_its_deadline_on() -> None:
    request = a_request("media")
    assert request.state(DUE - MINUTE) is RequestState.OPEN
    assert request.state(DUE) is RequestState.OVERDUE


def test_it_warns_at_three_quarters_and_at_the_deadline() -> None:
    request = a_request("media")
    near = START + POLICY.deadline * 0.75
    assert request.chores[Chore.WARN] == near
    assert request.is_near(near)
    assert not request.is_near(near - MINUTE)

    once = request.warned(near)
    assert once.chores[Chore.WARN] == DUE
    assert once.warned(DUE).chores[Chore.WARN] == DUE + WARNINGS_APART


def test_past_its_deadline_it_warns_every_day() -> None:
    """So that a job which completes without a mark, as of an earlier release, is seen."""
    request, late = a_request("media"), DUE + 3 * MINUTE
    for _ in range(3):
        request = request.warned(late)
        assert request.chores[Chore.WARN] - late == timedelta(days=1)
        late = request.chores[Chore.WARN]


def test_an_open_request_is_checked_again_although_its_jobs_are_there() -> None:
    """They may complete without a mark, as of an earlier release, or be lost with a backup."""
    request = a_request("media")
    checks = [request.chores[Chore.REPUBLISH] - START]
    assert checks == [POLICY.missing_after]
    for _ in range(10):
        request = request.checked(START + checks[-1], missing=[])
        checks.append(request.chores[Chore.REPUBLISH] - START)
    assert checks[1] == POLICY.missing_after + CHECKS_APART
    apart = [later - earlier for earlier, later in pairwise(checks)]
    assert all(wait <= LONGEST_CHECKS_APART for wait in apart)
    assert apart[1:5] == checks[1:5], "each wait is as long as the request has been open"
    assert apart[-1] == LONGEST_CHECKS_APART
    assert Chore.REPUBLISH not in request.completed("media", "job-1", START).chores


def test_it_is_missing_until_a_check_finds_its_job() -> None:
    request = a_request("media", "billing")
    assert not request.is_missing
    request = request.checked(START, missing=["media"])
    assert request.is_missing
    request = request.checked(START, missing=[], waiting=["media"])
    assert request.is_missing, "it was published again, and became a dead letter"
    request = request.checked(START, missing=[])
    assert not request.is_missing
    assert [share.republished for share in request.shares] == [0, 1]


def test_a_missing_job_is_looked_for_ever_more_seldom() -> None:
    request, now = a_request("media", "billing"), START
    apart = []
    for _ in range(8):
        request = request.checked(now, missing=["media"])
        apart.append(request.chores[Chore.REPUBLISH] - now)
    assert apart[:3] == [CHECKS_APART, 2 * CHECKS_APART, 4 * CHECKS_APART]
    assert apart[-1] == LONGEST_CHECKS_APART
    assert [share.republished for share in request.shares] == [0, 8]


def test_a_new_dead_letter_is_waited_for_without_publishing() -> None:
    request = a_request("media").checked(START, missing=[], waiting=["media"])
    assert request.chores[Chore.REPUBLISH] == START + CHECKS_APART
    assert request.shares[0].republished == 0


def test_the_callback_follows_the_announcement_and_is_made_until_it_is_confirmed() -> None:
    settled = a_request("media").completed("media", "job-1", START)
    assert settled.announced(None).chores == {}

    called_at = START + MINUTE
    announced = settled.announced(called_at)
    assert announced.chores == {Chore.CALL: called_at}
    later = announced.postponed(Chore.CALL, called_at + MINUTE)
    assert later.chores == {Chore.CALL: called_at + MINUTE}
    assert later.called().chores == {}
