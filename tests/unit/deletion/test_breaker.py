"""A breaker opens on failures of two bots, lets one probe through, and closes on success."""

from datetime import datetime, timedelta

import pytest

from deletion.breaker import HEAD_START, LONGEST_WHY, Breaker, BreakerPolicy
from tests.support.clock import START

ONE, TWO, THREE = (f"65f0a1b2c3d4e5f60718293{number}" for number in range(3))
POLICY = BreakerPolicy()
SECOND = timedelta(seconds=1)
NEVER_OPEN = Breaker("h")


def fail(breaker: Breaker, bot: str, now: datetime = START, asked: float = 0) -> Breaker:
    return breaker.failed("s", bot, "503", now, POLICY, timedelta(seconds=asked))


def opened(now: datetime = START, asked: float = 0) -> Breaker:
    return fail(fail(NEVER_OPEN, ONE, now), TWO, now, asked)


@pytest.mark.proves("one-bad-bot")
def test_one_bot_alone_never_opens_it_however_often_its_calls_fail() -> None:
    breaker = NEVER_OPEN
    for minute in range(600):
        breaker = fail(breaker, ONE, START + timedelta(minutes=minute))
        assert not breaker.is_open
        assert breaker.waits_until(TWO, START + timedelta(minutes=minute)) is None


def test_a_second_bot_within_the_window_opens_it_and_after_the_window_does_not() -> None:
    breaker = fail(NEVER_OPEN, ONE)
    assert fail(breaker, TWO, START + POLICY.window - SECOND).is_open
    late = fail(breaker, TWO, START + POLICY.window)
    assert not late.is_open
    assert late.failed_bot == TWO, "the window begins again with it"


def test_the_window_is_longer_than_a_run_retries_in_place() -> None:
    """A consumer with one slot comes to its second bot only then."""
    assert POLICY.window > timedelta(seconds=600 + 60)


def test_a_failure_of_the_same_bot_is_not_written_each_time() -> None:
    breaker = fail(NEVER_OPEN, ONE)
    assert fail(breaker, ONE, START + SECOND) is breaker
    renewed = fail(breaker, ONE, START + POLICY.window / 2)
    assert renewed.failed_at == START + POLICY.window / 2


def test_a_success_forgets_the_failure_before() -> None:
    assert not fail(fail(NEVER_OPEN, ONE).closed("s"), TWO).is_open


def test_while_it_is_open_nobody_calls_until_its_time_has_come() -> None:
    breaker = opened()
    assert breaker.opened_at == START
    assert breaker.waits_until(THREE, START) == START + POLICY.first
    assert breaker.waits_until(THREE, START + POLICY.first - SECOND) == START + POLICY.first
    assert breaker.waits_until(THREE, START + POLICY.first) is None


def test_the_bot_whose_call_failed_last_waits_twice_as_long() -> None:
    breaker = opened()
    assert breaker.waits_until(TWO, START + POLICY.first) == START + 2 * POLICY.first
    assert breaker.waits_until(TWO, START + 2 * POLICY.first) is None
    asked = opened(asked=POLICY.longest_requested.total_seconds())
    assert asked.waits_until(TWO, START) == START + POLICY.longest_requested + HEAD_START


def test_while_a_probe_is_under_way_there_is_no_other_until_its_lease_expires() -> None:
    now = START + POLICY.first
    probing = opened().probing("p", now, 15 * SECOND)
    assert probing.is_open
    assert probing.waits_until(THREE, now) == now + 15 * SECOND
    assert probing.waits_until(THREE, now + 15 * SECOND) is None


def test_it_is_tried_again_when_its_time_has_come_and_no_probe_is_under_way() -> None:
    assert NEVER_OPEN.next_probe_at is None
    due = START + POLICY.first
    assert opened().next_probe_at == due
    assert opened().probing("p", due, 15 * SECOND).next_probe_at == due + 15 * SECOND


def test_it_is_open_twice_as_long_after_each_failed_probe_up_to_a_bound() -> None:
    breaker, now, waits = opened(), START, []
    for _ in range(8):
        assert breaker.retry_at
        waits.append((breaker.retry_at - now).total_seconds())
        now = breaker.retry_at
        breaker = fail(breaker.probing("p", now, 15 * SECOND), THREE, now)
        assert breaker.probe_until is None
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert breaker.opened_at == START


def test_doublings_without_end_do_not_overflow() -> None:
    assert POLICY.open_for(10**6, timedelta(0)) == POLICY.longest


@pytest.mark.parametrize(
    ("asked", "wait"), [(5, 10), (120, 120), (86_400, 86_400), (10 * 86_400, 86_400)]
)
def test_it_is_open_for_as_long_as_the_host_asks_up_to_a_day(asked: float, wait: float) -> None:
    assert opened(asked=asked).retry_at == START + timedelta(seconds=wait)


def test_a_probe_that_succeeds_closes_it_and_the_next_opening_is_short_again() -> None:
    breaker = fail(opened().probing("p", START, SECOND), THREE).closed("c")
    assert breaker == Breaker("h", "c")
    assert opened().retry_at == START + POLICY.first


def test_what_the_record_keeps_of_a_reason_is_bounded() -> None:
    assert len(NEVER_OPEN.failed("s", ONE, "x" * 9999, START, POLICY).why) == LONGEST_WHY
