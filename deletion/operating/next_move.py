"""Who moves a job next, and what an operator can do instead of waiting; in one sentence."""

from datetime import datetime

from deletion.clock import rfc3339
from deletion.job import Job, LeasePolicy, Status, StepStatus


def next_move(job: Job, policy: LeasePolicy, now: datetime) -> str:
    """Return who moves the job next, and when; "" for a complete job, which nobody moves."""
    retry = f"`botdel jobs retry {job.id}`"
    if job.is_parked(now):
        due = rfc3339(job.due) if job.due else "no time"
        return f"a worker claims it at {due}; {retry} does not wait for that"
    if job.is_due(now):
        return "any worker of the service claims it, as soon as one has a free slot"
    if job.status in {Status.COMPLETE, Status.EXHAUSTED, Status.COMPENSATED}:
        return _move_of_ended(job, retry)
    if not job.is_retryable(now, policy):
        silent = f"{policy.stale_after.total_seconds():g} s"
        return f"its run moves it on; if the run is silent for {silent}, the next sweep does"
    return _move_of_sweep(job, policy, now, retry)


def _move_of_ended(job: Job, retry: str) -> str:
    if job.status is Status.COMPLETE:
        return ""
    if job.status is Status.COMPENSATED:
        undone = _rollback(job, "undone", "not undone")
        return f"nothing by itself: {undone}; {retry} starts it again"
    if job.rollback_cause:
        return (
            f"nothing by itself: remove the cause, then {retry} continues the rollback; once the "
            "job is compensated, a second retry starts it again"
        )
    return f"nothing by itself: remove the cause, then {retry}"


def _move_of_sweep(job: Job, policy: LeasePolicy, now: datetime, retry: str) -> str:
    rested_at = job.last_modified_at + job.rest(policy)
    sweep = "the next sweep"
    if rested_at > now:
        sweep = f"it rests until {rfc3339(rested_at)}; the first sweep after that"
    if not job.is_spent(policy):
        return f"{sweep} resumes it; {retry} does not wait for it"
    if job.may_roll_back:
        undoes = _rollback(job, "will undo", "will not undo")
        instead = f"{retry} runs it forward again instead, with all attempts"
        return f"{sweep} rolls it back ({undoes}); {instead}"
    return f"{sweep} marks it as exhausted; {retry} does not wait for it"


def _rollback(job: Job, undoes: str, keeps: str) -> str:
    """Return which of the begun steps a rollback `undoes`, and which it does not (`keeps`).

    A step in progress counts as begun: its call may have been made.
    """
    undone = [step.name for step in reversed(job.compensations)]
    begun = [step.name for step in job.steps if step.status is not StepStatus.PENDING]
    kept = [name for name in begun if name not in undone]
    said = f"{undoes}: {', '.join(undone) or 'nothing'}"
    if not kept:
        return said
    they = "they have" if len(kept) > 1 else "it has"
    return f"{said}; {keeps}, because {they} no compensation: {', '.join(kept)}"
