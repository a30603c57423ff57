"""A saga: switches before a point of no return, and what must hold of them, whatever goes wrong.

The rules are in words of their own. They go by who had claimed the job when a call took effect:
what a process that was paused in the middle of a call still sends after it has lost its job is a
known limit, and makes the switches of that bot doubtful from then on.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field

from structlog.contextvars import get_contextvars

from deletion.errors import PermanentError
from deletion.job import Job, Status, StepStatus
from deletion.plan import Batch
from tests.simulation.loop import HOST

BEFORE = ("pause", "unpublish")
POINT = "messages"


@dataclass
class Calls:
    """What the runs of each job have called, by the job's id; `broken` are rules, a line each."""

    jobs: dict[str, Job]
    off: set[tuple[str, str, str]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    late: int = 0
    _called: dict[str, set[str]] = field(default_factory=dict)
    _passed: set[str] = field(default_factory=set)
    _doubtful: set[tuple[str, str]] = field(default_factory=set)

    def switched(self, switch: "Switch", bot_id: str) -> None:
        """A switch was turned off, or on again by its compensation."""
        place = (switch.service, switch.name, bot_id)
        (self.off.discard if switch.is_undo else self.off.add)(place)
        if (job := self._holding(switch.service, bot_id)) is None:
            return
        called = self._called.setdefault(job.id, set())
        if not switch.is_undo:
            called.add(switch.name)
            return
        if job.id in self._passed:
            self._break(job, f"{switch.name} was undone after the point of no return")
        if left := called.intersection(BEFORE[BEFORE.index(switch.name) + 1 :]):
            self._break(job, f"{switch.name} was undone before {left}")
        called.discard(switch.name)

    def passed(self, service: str, bot_id: str) -> None:
        """The point of no return was called."""
        if job := self._holding(service, bot_id):
            self._passed.add(job.id)

    def wrote(self, before: Job, after: Job) -> None:
        """A write was accepted: what the record of a saga says is what was called."""
        if after.point_of_no_return is None or (after.service, after.bot_id) in self._doubtful:
            return
        if before.status is Status.COMPENSATED:
            self._called.pop(after.id, None)
            self._passed.discard(after.id)
        for line in self._wrong(after):
            self._break(after, line)

    def _wrong(self, job: Job) -> Iterator[str]:
        called = self._called.get(job.id, set())
        open_ = {step.name for step in job.compensations if step.status is not StepStatus.COMPLETE}
        if job.id in self._passed and not _says_passed(job):
            yield "the point of no return was called, and its record does not say so"
        if job.status is Status.COMPENSATED and (called or open_ or not job.rollback_cause):
            yield f"it is compensated, but {called | open_} are not undone"
        if job.status is Status.COMPLETE and (job.rollback_cause or called != set(BEFORE)):
            yield f"it is complete, but of its switches only {called} were turned off"
        if _says_passed(job):
            return
        if missing := called - open_:
            yield f"{missing} were called, and its record does not say so"
        if job.status is Status.EXHAUSTED and not job.rollback_cause:
            yield "it was given up, but could have been rolled back"

    def left_at_the_end(self) -> Iterator[str]:
        """A job that is compensated has left nothing turned off, unless others turned it off."""
        of_bot = Counter((job.service, job.bot_id) for job in self.jobs.values())
        for job in self.jobs.values():
            place = (job.service, job.bot_id)
            if job.status is not Status.COMPENSATED or of_bot[place] > 1 or place in self._doubtful:
                continue
            if left := [name for name in BEFORE if (job.service, name, job.bot_id) in self.off]:
                yield f"job {job.id} is compensated, and {left} are still turned off"

    def _holding(self, service: str, bot_id: str) -> Job | None:
        """The job of the run that makes this call, if it still holds it."""
        run, process = get_contextvars(), HOST.get()
        job = self.jobs.get(str(run.get("job_id")))
        if (
            job
            and process
            and (job.status, job.attempt) == (Status.IN_PROGRESS, run["attempt"])
            and job.claimed_by.startswith(f"{getattr(process, 'id', '')}/")
        ):
            return job
        self.late += 1
        self._doubtful.add((service, bot_id))
        return None

    def _break(self, job: Job, line: str) -> None:
        self.broken.append(f"job {job.id}: {line}")


def _says_passed(job: Job) -> bool:
    """Whether its record says that it goes forward only."""
    (point,) = (step for step in job.steps if step.name == POINT)
    return point.placed_at is not None and not job.rollback_cause


@dataclass
class Switch:
    """A step that turns something off, or its compensation, which turns it on again."""

    service: str
    name: str
    calls: Calls
    curse: Callable[[str, str], None]
    is_undo: bool = False

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """One call; safe to repeat."""
        if cursor is None:
            self.curse(f"undo {self.name}" if self.is_undo else self.name, bot_id)
            self.calls.switched(self, bot_id)
            yield Batch(1, "done", last=True)

    async def is_empty(self, bot_id: str) -> bool:
        """Whether it is as it should be."""
        return ((self.service, self.name, bot_id) in self.calls.off) is not self.is_undo


def turns(before: Job, after: Job) -> Iterator[str]:
    """What a write means for a saga: counted, so that one can see that everything happens."""
    if after.point_of_no_return is None:
        return
    way = "in a rollback" if before.rollback_cause else "forward"
    if after.claimed_by != before.claimed_by:
        yield f"claimed {way}"
    elif after.rollback_cause and not before.rollback_cause:
        yield "rolled back by " + ("its run" if _is_refused(after) else "a sweep")
    elif before.status is Status.COMPENSATED:
        yield "started anew"
    elif after.parks > before.parks:
        yield f"parked {way}"
    elif after.status is not before.status:
        interrupted = after.failure is not None and after.failure.interrupted
        status = "handed over" if interrupted else after.status.value
        yield f"{status} {way}"
    elif len(after.compensations) > len(before.compensations):
        yield "begun"
    elif before.compensations and not after.compensations:
        yield "past the point"


def _is_refused(job: Job) -> bool:
    return bool(job.rollback_cause and job.rollback_cause.type == PermanentError.__name__)
