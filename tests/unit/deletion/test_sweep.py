"""The sweep as a value."""

from datetime import timedelta

from deletion.job import LeasePolicy
from deletion.sweep import WENT_SILENT, Outcome, Sweep, SweepStatus, silence
from tests.support.clock import START

ID = "0" * 24
LATER = START + timedelta(minutes=1)


def test_a_started_sweep_runs_and_has_counted_nothing() -> None:
    assert Sweep.started(ID, START) == Sweep(ID, SweepStatus.RUNNING, START, START)


def test_a_page_adds_to_the_counts_and_is_a_heartbeat() -> None:
    page = [Outcome.RESUMED, Outcome.SKIPPED, Outcome.RESUMED, Outcome.EXHAUSTED]
    once = Sweep.started(ID, START).advanced(LATER, page)
    twice = once.advanced(LATER, page)
    assert (once.resumed, once.exhausted, once.skipped) == (2, 1, 1)
    assert (twice.resumed, twice.exhausted, twice.skipped) == (4, 2, 2)
    assert once.last_modified_at == LATER
    assert once.started_at == START


def test_an_ended_sweep_says_when_and_a_failed_one_why_and_both_keep_their_counts() -> None:
    sweep = Sweep.started(ID, START).advanced(START, [Outcome.RESUMED])
    complete, failed = sweep.completed(LATER), sweep.failed(LATER, "no Pub/Sub")
    assert (complete.status, complete.finished_at, complete.error) == ("complete", LATER, None)
    assert (failed.status, failed.finished_at, failed.error) == ("failed", LATER, "no Pub/Sub")
    assert complete.resumed == failed.resumed == 1
    assert WENT_SILENT == "its process went silent", "as the runbook says"


def test_silence_is_the_stale_threshold_but_at_least_a_minute() -> None:
    assert silence(LeasePolicy(timedelta(seconds=1), 5)) == timedelta(seconds=60)
    assert silence(LeasePolicy(timedelta(seconds=600), 5)) == timedelta(seconds=600)
