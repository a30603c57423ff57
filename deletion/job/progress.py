"""How far a job has come with each step: what its checkpoints record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from deletion.job.status import StepStatus


@dataclass(frozen=True, slots=True)
class Throttled:
    """How many seconds a step has waited because of its pace, and why it last did, in words."""

    why: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s by {self.why}"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far a job has come with the step `name`.

    `deleted` counts items, `cursor` is what the step returned last, `batches` counts its batches,
    and `slowest` is how long the slowest of them took, in seconds. `read_back` says how the step
    was last read back. `placed_at` is the job's `placed_at` when the step last began, None before
    its first call. `throttled` is how long its pace has made it wait. `found` says that a step with
    `expect: nonzero` has seen data of the bot; it is recorded before any is deleted, because a
    crash may lose the count of a batch. `extra` holds fields of later versions, which every write
    keeps.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    deleted: int = 0
    cursor: str | None = None
    batches: int = 0
    slowest: float = 0.0
    read_back: str | None = None
    placed_at: datetime | None = None
    throttled: Throttled | None = None
    found: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_begun(self) -> bool:
        """Whether it may have made a call. Records from before sagas have no `placed_at`."""
        is_pending = self.status is StepStatus.PENDING
        return not is_pending or self.batches > 0 or self.placed_at is not None

    def began(self, placed_at: datetime) -> "StepProgress":
        """The progress of a step that begins now, for requests up to `placed_at`."""
        return replace(self, status=StepStatus.IN_PROGRESS, placed_at=placed_at)

    def advanced(self, deleted: int, cursor: str | None, seconds: float) -> "StepProgress":
        """The progress after one more batch, which took `seconds`."""
        return replace(
            self,
            status=StepStatus.IN_PROGRESS,
            deleted=self.deleted + deleted,
            cursor=cursor,
            batches=self.batches + 1,
            slowest=max(self.slowest, seconds),
        )

    @property
    def has_found(self) -> bool:
        """Whether the step has ever found anything of the bot."""
        return self.found or self.deleted > 0

    def waited(self, why: str, seconds: float) -> "StepProgress":
        """The progress after another wait of `seconds`, for the reason `why`."""
        before = self.throttled.seconds if self.throttled else 0.0
        return replace(self, throttled=Throttled(why, before + seconds))

    def again(self) -> "StepProgress":
        """The progress of a step that begins again; its counts are kept."""
        return replace(self, status=StepStatus.PENDING, cursor=None)


def merged(
    steps: Iterable[StepProgress], newer: Iterable[StepProgress]
) -> tuple[StepProgress, ...]:
    """`steps` in their order, each replaced by its newer form if there is one, then new ones."""
    by_name = {progress.name: progress for progress in steps}
    by_name.update({progress.name: progress for progress in newer})
    return tuple(by_name.values())
