"""When two worlds are the same: what can happen next does not differ.

Names of claims and times are normalised: two worlds are the same if a renaming of claims and a
shift of time turn one into the other. A time longer ago than the longest wait of the policy is
just "long ago".
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import takewhile
from typing import Any, Final

from deletion.job import INTERRUPTED, RETRIED, ROLLED_BACK, STALE, Job, LeasePolicy, Status
from tests.model.world import TICK, Run, World, at

_MILLISECOND: Final = timedelta(milliseconds=1)
_PER_TICK: Final = TICK // _MILLISECOND

Key = tuple[Any, ...]


class Canonical:
    """Computes keys of worlds. The part of a job is cached: many worlds have the same job."""

    def __init__(self, policy: LeasePolicy) -> None:
        longest = max(policy.stale_after, policy.rest_after(policy.max_attempts - 1))
        self._long_ago = -(longest // TICK + 1)
        self._parts: dict[int, tuple[Job, Key, str, int, int]] = {}

    def key(self, world: World) -> Key:
        """A hashable key, equal for worlds that are the same."""
        now = (at(world.tick) - at(0)) // _MILLISECOND
        runs = sorted(world.runs, key=lambda run: run.view.claimed_by)
        parts = [self._part(job) for job in _jobs(world, runs)]
        names: dict[str, int] = {}
        times = _ages(sorted({modified for *_, modified, _ in parts}), now, self._long_ago)
        jobs = tuple(
            (known, names.setdefault(name, len(names)), times[modified], max(0, due - now))
            for _, known, name, modified, due in parts
        )
        return (
            jobs,
            tuple(known(job)[-1] for job in world.jobs if not job.live),
            tuple(run[1:] for run in runs),
            tuple((write.rule, write.spent) for write in world.flights),
            max(self._long_ago, world.read_at - world.tick) if world.old else None,
            names.get(world.holder),
            world.received,
            world.letters,
            world.covered,
            world.fresh,
            world.bad_ends,
            world.parked,
            world.silences,
            world.stops,
            tuple(sorted(world.called)),
            tuple(sorted(world.undone)),
            world.faults,
        )

    def _part(self, job: Job) -> tuple[Job, Key, str, int, int]:
        part = self._parts.get(id(job))
        if part is None:
            part = self._parts[id(job)] = (job, known(job), job.claimed_by, *_times(job))
        return part


def known(job: Job) -> Key:
    """Everything that counts of a job except the name of its claim and its times."""
    return (
        job.id,
        job.status,
        job.attempt,
        job.due is None,
        tuple((step.status, step.is_begun) for step in job.steps),
        tuple((step.name, step.status) for step in job.compensations),
        job.rollback_cause is not None,
        job.failure is not None and job.failure.interrupted,
        _ends_with_process(job),
        job.placed_at,
        tuple(sorted(job.event_ids)),
    )


def _ends_with_process(job: Job) -> Key:
    """The silences and interruptions since the last retry or rollback, each with its step."""
    anew = {RETRIED, ROLLED_BACK}
    latest = takewhile(lambda past: past.reason not in anew, reversed(job.past_attempts))
    ends = [past for past in latest if past.reason in {STALE, INTERRUPTED}]
    return tuple(sorted((past.reason, past.step or "") for past in ends))


def _times(job: Job) -> tuple[int, int]:
    """`last_modified_at` and `due`, in milliseconds from the start."""
    modified = (job.last_modified_at - at(0)) // _MILLISECOND
    return modified, (job.due - at(0)) // _MILLISECOND if job.due else 0


def _jobs(world: World, runs: Iterable[Run]) -> Iterator[Job]:
    """Every version of a job that a later move may start from, stored or read.

    A complete job never changes, so only those versions of it count that a run or an outsider read.
    """
    for job in world.jobs:
        if job.live or job.status is Status.COMPENSATED:
            yield job
    if world.old:
        yield world.old
    for run in runs:
        yield run.view
    for write in world.flights:
        yield write.change.before
        yield write.change.after


def _ages(times: Iterable[int], now: int, long_ago: int) -> dict[int, tuple[int, int]]:
    """Each time as (ticks from `now`, position within that tick).

    The writes of one tick differ by milliseconds, as each is at least 1 ms later than the one
    before. What counts is which of two is later, and whether the next millisecond is taken, but not
    how far apart they are. So a gap of 1 ms counts as 1, and every longer gap as 2.
    """
    ages: dict[int, tuple[int, int]] = {}
    last, place = None, 0
    for time in times:
        age, within = divmod(time - now, _PER_TICK)
        tick = max(long_ago, age)
        if last is None or ages[last][0] != tick:
            place = min(within, 2) if age > long_ago else 0
        else:
            place += min(time - last, 2)
        ages[time] = (tick, place)
        last = time
    return ages
