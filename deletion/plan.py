"""The plan: what one service deletes, step by step, in order."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from deletion.errors import PlanError, StepUnknown
from deletion.ids import RESERVED_SERVICES, may_have_plan
from deletion.pace import Pace

DEFAULT_PACE = Pace()


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: how many items were `deleted`, and the `cursor` to go on from.

    `last` says that the step has found nothing more to delete. Raises `TypeError` for values that
    a checkpoint cannot keep, because they would make the job unreadable.
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

    An implementation raises `TransientError` for errors that may pass by themselves, which are
    retried in place, and `Parked` to wait for longer without a slot. Any other exception fails the
    job; a `PermanentError` rolls a saga back instead, before its point of no return. It never
    touches data that does not belong to `bot_id`.
    """

    @property
    def name(self) -> str:
        """Unique within the plan; checkpoints are kept under it."""

    def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete in bounded batches from `cursor` on, and yield after each batch.

        With `None` for `cursor`, start at the beginning. The caller writes a checkpoint between two
        batches and may stop there, so do not delete the next batch before it is asked for. After an
        error, a batch that deletes nothing and moves no cursor is no progress.
        """

    async def is_empty(self, bot_id: str) -> bool:
        """Read back: return whether no data of the bot is left. Changes nothing."""


@runtime_checkable
class Provisioned(Protocol):
    """A step that needs something to exist, such as an index, and can create it."""

    async def missing(self) -> str | None:
        """What is missing, and the consequence; None when nothing is."""

    async def provide(self) -> None:
        """Create it; safe to repeat."""


@runtime_checkable
class Previewed(Protocol):
    """A step that can show what it would delete. Neither method changes anything."""

    async def count(self, bot_id: str) -> int:
        """How many items `delete` would find now, using the same query."""

    async def faults(self) -> Sequence[str] | None:
        """What is wrong with the step, judged by a sample; None when there is no data."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a sample cannot show, and how to find out."""

    what: str
    remedy: str


@runtime_checkable
class Doubted(Protocol):
    """A step that may be wrong although a sample of its data looks right."""

    async def doubts(self) -> Sequence[Doubt]:
        """The doubts that remain when there are no `faults`. Changes nothing."""


@runtime_checkable
class Verified(Protocol):
    """A step that reports how it read back, for the record of the job."""

    @property
    def read_back(self) -> str | None:
        """How the last `is_empty` to return has read back, e.g. `retained until …`; None before the
        first.

        Concurrent runs share the step, so read this before awaiting anything else.
        """


@runtime_checkable
class AnswerOnly(Protocol):
    """A step that may have no way to read back."""

    @property
    def by_answer_only(self) -> bool:
        """Whether only the answers to `delete` show that the data is gone. `is_empty` then returns
        True, and the step runs again when a request has joined since it began.
        """


@runtime_checkable
class Sized(Protocol):
    """A step whose batches have at most `batch_size` items. The pace of the step changes this
    number, so the step reads it before each batch.
    """

    batch_size: int


@runtime_checkable
class Paced(Protocol):
    """A step with its own default pace, used when the plan gives none."""

    @property
    def default_pace(self) -> Pace:
        """The pace that suits the calls of this step."""


@runtime_checkable
class Sampled(Protocol):
    """A step that can list bots whose data it holds."""

    async def bots(self) -> Collection[str]:
        """The ids of some bots that have data now, 24 hex digits each. Changes nothing."""


@runtime_checkable
class Permitted(Protocol):
    """A step that can report whether it has the permissions it needs."""

    async def forbidden(self) -> Sequence[str] | None:
        """The actions that this identity may not take; None when the server does not say."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps of one service. Raises `PlanError` when it breaks a rule of `check`.

    With a `point_of_no_return`, the name of a step, the plan is a saga: when a step before that
    point has failed for good, the `compensations` of the steps that have begun run in reverse. A
    compensation is a step, kept under the name of the step that it undoes.

    `paces` maps the names of steps to their paces; see `pace` for a step without one. A job
    completes only once every step in `expected` has found something: see `NothingFound`.
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
        """The pace of one of its steps: as the plan says, or else `default_pace`."""
        return self.paces.get(step.name) or default_pace(step)

    def compensations_of(self, begun: Collection[str]) -> tuple[Step, ...]:
        """The compensations of the steps in `begun`, in reverse order of the plan.

        Raises `StepUnknown` when this plan lacks one of them.
        """
        if unknown := [name for name in begun if name not in self.compensations]:
            raise StepUnknown(
                f"the plan of this process has no compensation for {', '.join(unknown)}, which the "
                "job needs for its rollback",
                "finish the update, or put the compensation back into the plan",
            )
        order = [step.name for step in reversed(self.steps)]
        return tuple(self.compensations[name] for name in order if name in begun)


def default_pace(step: Step) -> Pace:
    """The default pace of the step, or one that suits a database."""
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
    """Check the names of a plan, and that only steps before the point are `compensated`.

    Raises `PlanError` naming the field, `service` or `steps`.
    """
    if not may_have_plan(service):
        reserved = ", ".join(sorted(RESERVED_SERVICES))
        raise PlanError(
            "expected a name of 3 to 63 characters like [a-z][a-z0-9-]*[a-z0-9], and none "
            f"of {reserved}; found {service!r}",
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
