"""The way a job goes: through the steps of the plan, or back through what a saga owes.

What a saga owes is on record before the call that it is owed for.
"""

from collections.abc import Sequence

from deletion.errors import StepUnknown
from deletion.job import Job, StepStatus
from deletion.lease import Lease
from deletion.plan import Plan, Step


async def start(plan: Plan, lease: Lease) -> tuple[Step, ...]:
    """The steps of the plan, or the compensations that the job owes: also of a step that a
    process began whose plan had no compensation for it.

    Raises `StepUnknown` when the plan has changed so that the job cannot be turned back.
    """
    job, point = lease.job, plan.point_of_no_return
    begun = [step.name for step in job.steps if step.is_begun]
    if job.turned_back:
        owed = [owed.name for owed in job.compensations]
        owed += [name for name in begun if name in plan.compensations]
        return plan.way_back(owed)
    if not begun:
        await lease.adopt(point)
    elif job.may_turn_back and job.point_of_no_return != point:
        raise StepUnknown(
            f"the point of no return of this process's plan is {point}, and the job was begun "
            f"with {job.point_of_no_return}",
            "finish the update, or put it back",
        )
    return plan.steps


async def begin(step: Step, plan: Plan, lease: Lease) -> None:
    """Where the job may turn back, what it owes must be on record before the first call."""
    job, progress = lease.job, lease.job.progress(step.name)
    if progress.status is not StepStatus.PENDING:
        return
    begun, is_compensated = progress.began(job.placed_at), step.name in plan.compensations
    if job.may_turn_back and (is_compensated or step.name == job.point_of_no_return):
        await lease.begin(begun, is_compensated=is_compensated)
    else:
        await lease.note(begun)


def is_last_chance(step: Step, job: Job) -> bool:
    """Whether `step` is the point of no return: before it, what was done can still be undone."""
    return step.name == job.point_of_no_return and job.may_turn_back


def check_steps(job: Job, steps: Sequence[Step]) -> None:
    """A job that a newer version of the plan recorded is not complete without its steps."""
    known = {step.name for step in steps}
    unfinished = (p for p in job.way if p.status is not StepStatus.COMPLETE)
    if unknown := [progress.name for progress in unfinished if progress.name not in known]:
        raise StepUnknown(
            f"the plan of this process has no step {', '.join(unknown)}, which the job was "
            "recorded with",
            "finish the update, or put the step back into the plan",
        )
