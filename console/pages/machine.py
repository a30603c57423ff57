"""The states of a job as a drawing, with the path that one job has taken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deletion.job import INTERRUPTED, RETRIED, ROLLED_BACK, STALE, Job, Status

Edge = tuple[Status, Status]

P, R, F = Status.PENDING, Status.IN_PROGRESS, Status.FAILED
C, X, B = Status.COMPLETE, Status.EXHAUSTED, Status.COMPENSATED

NODES: Final[Mapping[Status, tuple[int, int]]] = {
    P: (80, 60),
    R: (300, 60),
    F: (300, 180),
    C: (540, 30),
    B: (540, 95),
    X: (540, 180),
}
"""The centre of each state, in units of the drawing."""
PATHS: Final[Mapping[Edge, str]] = {
    (P, R): "M140 54H236",
    (R, P): "M240 66H144",
    (R, C): "M360 54L476 34",
    (R, B): "M360 66L476 91",
    (R, F): "M294 77V159",
    (F, R): "M306 163V81",
    (F, P): "M240 178C150 172 96 132 88 81",
    (F, X): "M360 180H476",
    (R, X): "M352 77L486 161",
    (X, P): "M540 197C500 246 50 246 66 81",
    (B, P): "M600 90C660 -40 110 -40 82 39",
}
"""The line of each transition between two states."""


@dataclass(frozen=True, slots=True)
class Node:
    """A state: whether the job has been there, and whether it is there now."""

    x: int
    y: int
    status: Status
    is_passed: bool
    is_here: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A transition, and whether the job has made it."""

    path: str
    is_passed: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """The lines that were not passed come first, so that the others are drawn over them."""

    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]


def drawing(job: Job) -> Drawing:
    """The drawing of one job."""
    edges = passed(job)
    been = {job.status, P} | {status for edge in edges for status in edge}
    nodes = tuple(
        Node(x, y, status, status in been, status is job.status) for status, (x, y) in NODES.items()
    )
    lines = (Line(path, edge in edges) for edge, path in PATHS.items())
    return Drawing(nodes, tuple(sorted(lines, key=lambda line: line.is_passed)))


def passed(job: Job) -> frozenset[Edge]:
    """Return the transitions that the job's record shows. It keeps only the latest attempts, and no
    parks that were followed by progress.
    """
    return frozenset(_passed(job))


def _passed(job: Job) -> Iterator[Edge]:
    has_run = job.attempt > 0 or job.past_attempts or job.status in {R, C, F, X, B} or job.parks
    if has_run:
        yield P, R
    if job.parks:
        yield R, P
    for past in job.past_attempts[:-1] if job.status is X else job.past_attempts:
        yield from _ends(past.reason)
    if job.status is F:
        yield R, F
    if job.status in {C, B}:
        yield R, job.status
    if job.status is X:
        is_failed = job.past_attempts and job.past_attempts[-1].reason != STALE
        yield from ((R, F), (F, X)) if is_failed else ((R, X),)


def _ends(reason: str) -> Iterator[Edge]:
    """The transitions of an attempt that ended for `reason` and was queued again. The state from
    which an operator retried a job is not on record.
    """
    if reason in {STALE, ROLLED_BACK}:
        yield R, P
    elif reason == INTERRUPTED:
        yield from ((R, F), (F, R))
    elif reason != RETRIED:
        yield from ((R, F), (F, P))
