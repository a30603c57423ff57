"""The drawing of a job's states has every transition, and shows the path of one job."""

from typing import Any

import pytest

from console.pages.machine import NODES, PATHS, Edge, drawing, passed
from deletion.job import INTERRUPTED, RETRIED, ROLLED_BACK, RULES, STALE, PastAttempt, Status
from tests.support.clock import START
from tests.support.factories import new_job

P, R, F = Status.PENDING, Status.IN_PROGRESS, Status.FAILED
C, X, B = Status.COMPLETE, Status.EXHAUSTED, Status.COMPENSATED


def test_every_transition_between_two_states_is_a_line_and_no_other() -> None:
    edges = {
        (source, rule.target)
        for rule in RULES.values()
        for source in rule.sources
        if source is not rule.target
    }
    assert set(PATHS) == edges
    assert set(NODES) == set(Status)


def ended(reason: str) -> PastAttempt:
    return PastAttempt(1, "w", "messages", 1, START, reason)


PATHS_OF: dict[str, tuple[dict[str, Any], set[Edge]]] = {
    "new": ({"status": P, "attempt": 0}, set()),
    "running": ({"status": R}, {(P, R)}),
    "complete at once": ({"status": C}, {(P, R), (R, C)}),
    "failed": ({"status": F}, {(P, R), (R, F)}),
    "resumed": ({"status": P, "past_attempts": (ended("ValueError"),)}, {(P, R), (R, F), (F, P)}),
    "stale once": ({"status": R, "past_attempts": (ended(STALE),)}, {(P, R), (R, P)}),
    "handed over": (
        {"status": R, "past_attempts": (ended(INTERRUPTED),)},
        {(P, R), (R, F), (F, R)},
    ),
    "parked": ({"status": P, "attempt": 0, "parks": 2}, {(P, R), (R, P)}),
    "rolled back": (
        {"status": B, "past_attempts": (ended(ROLLED_BACK),)},
        {(P, R), (R, P), (R, B)},
    ),
    "exhausted by errors": (
        {"status": X, "past_attempts": (ended("ValueError"),)},
        {(P, R), (R, F), (F, X)},
    ),
    "exhausted by silence": (
        {"status": X, "past_attempts": (ended(STALE),)},
        {(P, R), (R, X)},
    ),
    "retried": ({"status": P, "past_attempts": (ended(RETRIED),)}, {(P, R)}),
}


@pytest.mark.parametrize(("values", "edges"), PATHS_OF.values(), ids=PATHS_OF.keys())
def test_the_path_of_a_job_is_what_its_record_shows(
    values: dict[str, Any], edges: set[Edge]
) -> None:
    job = new_job(**values)
    assert passed(job) == edges
    drawn = drawing(job)
    assert [node.status for node in drawn.nodes if node.is_here] == [job.status]
    assert sum(line.is_passed for line in drawn.lines) == len(edges)
    assert all(node.is_passed for node in drawn.nodes if node.is_here)
