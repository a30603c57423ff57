"""Reads back whether data is left after a run, and checks that steps found what they must."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from deletion.errors import Interrupted, NothingFound
from deletion.job import StepStatus
from deletion.lease import Lease
from deletion.plan import Plan, Step, Verified, is_by_answer_only
from deletion.retry import Patience
from deletion.runner.calls import Calls
from deletion.runner.spans import RunSpans

ANSWER_ONLY: Final = "answer only"
"""The `read_back` of a step that cannot read back."""


class ReadBack:
    """What the steps of one run still find, and whether they have found anything."""

    def __init__(
        self, plan: Plan, lease: Lease, patience: Patience, calls: Calls, spans: RunSpans
    ) -> None:
        self._plan = plan
        self._lease = lease
        self._patience = patience
        self._calls = calls
        self._spans = spans

    async def left(self, steps: Sequence[Step]) -> list[Step]:
        """Read back `steps`, and note the result in their progress. Returns those that still find
        data of the bot: they begin again.

        A step begins again after the last read-back, or after one that fails. If the run is
        interrupted before that, the job stands at the read-back, so that interruptions there count
        whatever is found.
        """
        left: list[Step] = []
        try:
            for step in steps:
                with self._spans.read_back(step.name) as span:
                    is_empty = await self._is_empty(step)
                    span.note({"botdel.empty": is_empty})
                progress = replace(self._lease.job.progress(step.name), read_back=_how(step))
                if is_empty:
                    progress = replace(progress, status=StepStatus.COMPLETE)
                else:
                    left.append(step)
                await self._lease.note(progress)
        except Interrupted:
            raise
        except Exception:
            await self._begin_again(left)
            raise
        await self._begin_again(left)
        return left

    async def _begin_again(self, steps: Sequence[Step]) -> None:
        await self._lease.note(*(self._lease.job.progress(step.name).again() for step in steps))

    async def _is_empty(self, step: Step) -> bool:
        """Read back. A step that cannot read back counts as empty if it began under the newest
        request; otherwise it has to run again.
        """
        if is_by_answer_only(step):
            job = self._lease.job
            began = job.progress(step.name).placed_at
            return began is not None and began >= job.placed_at
        self._patience.renew()
        async for attempt in self._patience:
            with attempt, self._calls.one_try():
                self._calls.check_stopping()
                self._calls.has_tried = True
                with self._lease.one_batch():
                    is_empty = await step.is_empty(self._lease.job.bot_id)
        self._patience.renew()
        return is_empty

    async def look_first(self, step: Step) -> None:
        """Look for data before `step` deletes any, if it must find something, and record whether
        there is any: a crash after the first batch would lose its count.
        """
        progress = self._lease.job.progress(step.name)
        is_rollback = self._lease.job.rollback_cause
        if is_rollback or step.name not in self._plan.expected or progress.has_found:
            return
        if not await self._is_empty(step):
            await self._lease.checkpoint(replace(progress, found=True))

    async def check_found(self, steps: Sequence[Step]) -> None:
        """Raise `NothingFound` if one of `steps` must find something and never has, in this job or
        an earlier one.
        """
        names = {step.name for step in steps} & self._plan.expected
        never = {name for name in names if not self._lease.job.progress(name).has_found}
        if never and (unfound := never - await self._lease.found_before()):
            raise NothingFound(
                f"step {', '.join(sorted(unfound))} has never found anything of this bot, but its "
                "plan says `expect: nonzero`",
                "run `botdel plan check` and `botdel plan preview` to see whether it is wrong",
            )


def _how(step: Step) -> str | None:
    """How `step` was just read back; None when it does not report that."""
    if is_by_answer_only(step):
        return ANSWER_ONLY
    return step.read_back if isinstance(step, Verified) else None
