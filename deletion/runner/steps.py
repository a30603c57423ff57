"""The steps that a run goes through: those of the plan or, in a rollback, the compensations.

A compensation is recorded before the first call of the step that it undoes.
"""

from collections.abc import Sequence

from deletion.errors import StepUnknown
from deletion.job import Job, StepStatus
from deletion.lease import Lease
from deletion.plan import Plan, Step


async def start(plan: Plan, lease: Lease) -> tuple[Step, ...]:
    """The steps of the plan or, in a rollback, the compensations of all steps that have begun.

    A compensation counts too when the process that began its step had a plan without it. Raises
    `StepUnknown` when the plan has changed so that the job cannot be rolled back.
    """
    job, point = lease.job, plan.point_of_no_return
    begun = [step.name for step in job.steps if step.is_begun]
    if job.rollback_cause:
        names = [each.name for each in job.compensations]
        names += [name for name in begun if name in plan.compensations]
        return plan.compensations_of(names)
    if not begun:
        await lease.adopt(point)
    elif job.may_roll_back and job.point_of_no_return != point:
        raise StepUnknown(
            f"the point of no return of this process's plan is {point}, but the job was begun "
            f"with {job.point_of_no_return}",
            "finish the update, or put it back",
        )
    return plan.steps


async def begin(step: Step, plan: Plan, lease: Lease) -> None:
    """Record that `step` begins, before its first call. If the job can be rolled back, write
    at once what a rollback has to undo from then on.
    """
    job, progress = lease.job, lease.job.progress(step.name)
    if progress.status is not StepStatus.PENDING:
        return
    begun, is_compensated = progress.began(job.placed_at), step.name in plan.compensations
    if job.may_roll_back and (is_compensated or step.name == job.point_of_no_return):
        await lease.begin(begun, is_compensated=is_compensated)
    else:
        await lease.note(begun)


def is_last_chance(step: Step, job: Job) -> bool:
    """Whether `step` is the point of no return: until it begins, the job can be rolled back."""
    return step.name == job.point_of_no_return and job.may_roll_back


def check_steps(job: Job, steps: Sequence[Step]) -> None:
    """Raise `StepUnknown` if the job has unfinished steps that are not in `steps`, because another
    version of the plan recorded it.
    """
    known = {step.name for step in steps}
    unfinished = (p for p in job.current_steps if p.status is not StepStatus.COMPLETE)
    if unknown := [progress.name for progress in unfinished if progress.name not in known]:
        raise StepUnknown(
            f"the plan of this process has no step {', '.join(unknown)}, which the job was "
            "recorded with",
            "finish the update, or put the step back into the plan",
        )
