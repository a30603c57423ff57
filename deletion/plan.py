"""The plan: what one service deletes, step by step, in order."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from deletion.errors import PlanError, StepUnknown
from deletion.ids import RESERVED_SERVICES, is_service_name
from deletion.pace import Pace

DEFAULT_PACE = Pace()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one bounded call deleted: the number of items, and where to go on from.

    `last` says that the step has found nothing more to delete. Raises `TypeError` for values that
    a checkpoint cannot keep: nobody could read the job any more.
    """

    deleted: int
    cursor: str | None
    last: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.deleted, int):
            raise TypeError(f"deleted: expected int, found {type(self.deleted).__name__}")
        if not isinstance(self.cursor, str | None):
            found = type(self.cursor).__name__
            raise TypeError(f"cursor: expected str or None, found {found}; write it as text")


class Step(Protocol):
    """One idempotent, resumable part of a deletion.

    An implementation raises `TransientError` for errors that may pass by themselves; any other
    exception fails the job. It never touches data that does not belong to `bot_id`.
    """

    @property
    def name(self) -> str:
        """Unique within the plan; checkpoints are kept under it."""

    def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete in bounded batches from `cursor` on, and yield after each batch.

        The caller writes a checkpoint between two batches and may stop there for good, so the
        next batch must not be deleted before it is asked for. `None` starts at the beginning.
        """

    async def is_empty(self, bot_id: str) -> bool:
        """Read back: return whether nothing of the bot is left. Changes nothing."""


@runtime_checkable
class Provisioned(Protocol):
    """A step that needs something to exist, such as an index, and can create it."""

    async def missing(self) -> str | None:
        """What is missing and what that costs; None when nothing is."""

    async def provide(self) -> None:
        """Create it; safe to repeat."""


@runtime_checkable
class Previewed(Protocol):
    """A step that can be looked at before it deletes anything. Neither call changes anything."""

    async def count(self, bot_id: str) -> int:
        """How many items `delete` would find now, by the query of `delete` itself."""

    async def faults(self) -> Sequence[str] | None:
        """What a sample of the data says against the step; None when there is no data."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a sample leaves open, and what would settle it."""

    what: str
    remedy: str


@runtime_checkable
class Doubted(Protocol):
    """A step whose sample may look right although the step is wrong."""

    async def doubts(self) -> Sequence[Doubt]:
        """Asked when there are no `faults`; changes nothing."""


@runtime_checkable
class Verified(Protocol):
    """A step that reports how it last read back, for the record of the job."""

    @property
    def read_back(self) -> str | None:
        """How the last `is_empty` that returned has read back (a read concern, `retained until …`),
        for the record; None before the first.

        Concurrent runs share a step: read it before anything else is awaited.
        """


@runtime_checkable
class AnswerOnly(Protocol):
    """A step that may have no way to read back."""

    @property
    def by_answer_only(self) -> bool:
        """Whether the answer to `delete` is all there is. `is_empty` then returns True, and the
        step runs again for each request that has joined since it began.
        """


@runtime_checkable
class Sized(Protocol):
    """A step whose next batch has at most `batch_size` items: it reads the number before each
    batch, and the pace of the step changes it.
    """

    batch_size: int


@runtime_checkable
class Paced(Protocol):
    """A step with a default pace of its own, used where its plan gives none."""

    @property
    def default_pace(self) -> Pace:
        """What suits the calls that it makes."""


@runtime_checkable
class Sampled(Protocol):
    """A step whose data names the bots it belongs to."""

    async def bots(self) -> Collection[str]:
        """The ids of some bots that have data now, 24 hex digits each; changes nothing."""


@runtime_checkable
class Permitted(Protocol):
    """A step that can report whether it may do what it has to."""

    async def forbidden(self) -> Sequence[str] | None:
        """The actions that this identity may not do; None when the server does not say."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps of one service. Raises `PlanError` for what breaks a rule of `check`.

    With a `point_of_no_return`, the name of a step, the plan is a saga: when a step before the
    point has failed for good, the `compensations` of the steps that were begun run in reverse. Each
    is a step of its own, with the name of the one that it undoes.

    `paces` are those of steps by name; see `pace` for a step without one. A job may not complete
    before each step of `expected` has found something: see `NothingFound`.
    """

    service: str
    steps: tuple[Step, ...]
    point_of_no_return: str | None = None
    compensations: Mapping[str, Step] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)
    expected: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        check(self.service, names, self.point_of_no_return, tuple(self.compensations))
        if unknown := [name for name in (*self.paces, *self.expected) if name not in names]:
            raise PlanError(
                f"found a pace or an `expect` for {unknown[0]!r}, which is no step of the plan",
                field="steps",
            )
        for step in self.steps:
            if step.name in self.expected and is_by_answer_only(step):
                raise PlanError(
                    f"expected {step.name} to have a `verify`, because it says `expect: nonzero`; "
                    "found none",
                    field="steps",
                )

    def pace(self, step: Step) -> Pace:
        """The pace of one of its steps: that of `default_pace`, unless the plan gives one."""
        return self.paces.get(step.name) or default_pace(step)

    def way_back(self, begun: Collection[str]) -> tuple[Step, ...]:
        """The compensations of the steps in `begun`, the last of the plan first.

        Raises `StepUnknown` when this plan does not have one of them.
        """
        if unknown := [name for name in begun if name not in self.compensations]:
            raise StepUnknown(
                f"the plan of this process has no compensation for {', '.join(unknown)}, which the "
                "job owes",
                "finish the update, or put the compensation back into the plan",
            )
        order = [step.name for step in reversed(self.steps)]
        return tuple(self.compensations[name] for name in order if name in begun)


def default_pace(step: Step) -> Pace:
    """The step's own, or the one that suits a database."""
    return step.default_pace if isinstance(step, Paced) else DEFAULT_PACE


def is_by_answer_only(step: Step) -> bool:
    """Whether the step cannot read back: see `AnswerOnly`."""
    return isinstance(step, AnswerOnly) and step.by_answer_only


def check(
    service: str,
    steps: Sequence[str],
    point_of_no_return: str | None = None,
    compensated: Sequence[str] = (),
) -> None:
    """Check the rules of a plan: names, and that only steps before the point are `compensated`.

    Raises `PlanError` naming the field, `service` or `steps`.
    """
    if not is_service_name(service):
        reserved = ", ".join(sorted(RESERVED_SERVICES))
        raise PlanError(
            "expected a name of 3 to 63 characters like [a-z][a-z0-9-]*, and none of "
            f"{reserved}; found {service!r}",
            field="service",
        )
    if not steps:
        raise PlanError("expected at least one", field="steps")
    twice = [name for name, times in Counter(steps).items() if times > 1]
    if twice:
        raise PlanError(f"expected unique names, found {twice[0]!r} more than once", field="steps")
    if point_of_no_return is not None and point_of_no_return not in steps:
        raise PlanError(
            f"expected the point of no return {point_of_no_return!r} among them", field="steps"
        )
    before = steps[: steps.index(point_of_no_return)] if point_of_no_return else ()
    if late := [name for name in compensated if name not in before]:
        raise PlanError(
            f"expected compensations before the point of no return only, found one of {late[0]!r}",
            field="steps",
        )
