"""One run: deletion/runner/."""

from typing import Final

from tests.mutations.mutants.base import SAGA, UNIT, Mutant

BATCHES: Final = "deletion/runner/batches.py"
CALLS: Final = "deletion/runner/calls.py"
ENDING: Final = "deletion/runner/endings.py"
LIFECYCLE: Final = "deletion/runner/lifecycle.py"
READ_BACK: Final = "deletion/runner/read_back.py"
RUN: Final = "deletion/runner/run.py"
STEPS: Final = "deletion/runner/steps.py"

MUTANTS: Final = (
    Mutant(
        "what can be undone is read back only when it no longer can",
        STEPS,
        "return step.name == job.point_of_no_return and job.may_roll_back",
        "return False",
    ),
    Mutant(
        "that nothing was found is noticed only when it can no longer be undone",
        RUN,
        "                await self._read_back.check_found(self._steps[:number])\n",
        "",
    ),
    Mutant(
        "a run that retries is parked for want of a place",
        CALLS,
        "if before := self._patience.latest:",
        "if before := None:",
    ),
    Mutant(
        "a run that stops before its first batch has tried it",
        CALLS,
        "self.has_tried = False",
        "self.has_tried = True",
        SAGA,
    ),
    Mutant(
        "a run that finds no place forgets why it retries",
        CALLS,
        "raise before.with_traceback(None) from busy",
        "raise type(before)(str(busy)) from busy",
    ),
    Mutant(
        "what is waited for counts as time without progress",
        BATCHES,
        "        self._patience.extend(wait.seconds)\n",
        "",
        UNIT,
    ),
    Mutant(
        "the record does not say what throttles a run",
        BATCHES,
        "        await self._lease.note(progress.waited(wait.why, wait.seconds))\n",
        "",
        UNIT,
    ),
    Mutant(
        "a checkpoint forgets what throttled the run",
        BATCHES,
        "return replace(progress, throttled=noted.throttled)",
        "return progress",
        UNIT,
    ),
    Mutant(
        "a step is asked once more behind its last batch",
        RUN,
        "is_over = batch.last  # asking once more would be paced like a batch",
        "is_over = batch.last and step is self._steps[-1]",
        UNIT,
    ),
    Mutant(
        "a job completes over nothing ever found",
        RUN,
        "            await self._read_back.check_found(self._steps)\n",
        "",
        UNIT,
    ),
    Mutant(
        "what a lost batch had found is forgotten",
        READ_BACK,
        "            await self._lease.checkpoint(replace(progress, found=True))\n",
        "            pass\n",
        UNIT,
    ),
    Mutant(
        "a run does not prove its hold after a pause",
        BATCHES,
        "            await self._lease.ensure_held()\n",
        "",
    ),
    Mutant(
        "a job is complete without being read back",
        RUN,
        "        return await self._read_back.left(self._steps)\n",
        "        return []\n",
    ),
    Mutant(
        "a job that was joined is not looked at again",
        RUN,
        "            if await self._lease.complete():\n                return",
        "            await self._lease.complete()\n            return",
    ),
    Mutant(
        "a batch has no checkpoint",
        RUN,
        "await self._lease.checkpoint(progress)",
        "await self._lease.note(progress)",
    ),
    Mutant(
        "a run that is to stop goes on",
        CALLS,
        "        if self._stopping.is_set():\n            raise",
        "        if self._stopping.is_set() and False:\n            raise",
    ),
    Mutant(
        "a lost lease is recorded as a failure",
        LIFECYCLE,
        "        except LeaseLost:\n            raise\n        except Parked",
        "        except Parked",
    ),
    Mutant(
        "parking is a failure",
        ENDING,
        "await self._lease.park(failure, until, has_called=parked.has_called, is_busy=is_busy)",
        "await self._lease.fail(failure)",
    ),
    Mutant(
        "an interruption while an error is retried is handed back",
        ENDING,
        "        if retried:\n",
        "        if retried and False:\n",
    ),
    Mutant(
        "a step that cancels itself is handed back",
        ENDING,
        "return replace(self._failure(error), interrupted=stop_requested)",
        "return replace(self._failure(error), interrupted=True)",
    ),
    Mutant(
        "a job is complete without a step that this plan lacks",
        RUN,
        "            check_steps(self._lease.job, self._steps)\n",
        "",
    ),
    Mutant(
        "a hand-over is given up by the cancellation that asks for it",
        ENDING,
        "task.cancelling() > 1",
        "task.cancelling() > 0",
    ),
    Mutant(
        "a batch is vouched for without end",
        BATCHES,
        "            with self._lease.one_batch():\n                batch = await",
        "            if True:\n                batch = await",
    ),
    Mutant(
        "a read-back is vouched for without end",
        READ_BACK,
        "                with self._lease.one_batch():\n                    is_empty",
        "                if True:\n                    is_empty",
    ),
    Mutant(
        "a read-back that is interrupted does not count if an earlier one has found something",
        READ_BACK,
        "        except Interrupted:\n            raise\n        except Exception:\n",
        "        except BaseException:\n",
        UNIT,
    ),
    Mutant(
        "an error of a read-back hides what an earlier one has found",
        READ_BACK,
        "            await self._begin_again(left)\n            raise\n",
        "            raise\n",
        UNIT,
    ),
    Mutant(
        "progress does not renew patience",
        RUN,
        "                        self._patience.renew()\n                        counts_empty",
        "                        counts_empty",
    ),
    Mutant(
        "what is read back late is deleted again",
        RUN,
        "                await self._read_back.left(left)\n",
        "",
    ),
    Mutant(
        "an empty batch after an error is progress",
        RUN,
        "if counts_empty or batch.deleted or batch.cursor != progress.cursor:",
        "if True:",
    ),
    Mutant(
        "the record of what is done keeps where it stood",
        RUN,
        "status=StepStatus.COMPLETE, cursor=None)",
        "status=StepStatus.COMPLETE)",
    ),
    Mutant(
        "a parked job waits for ever",
        ENDING,
        "earliest = min(parked.until, now + LONGEST_REST)",
        "earliest = parked.until",
    ),
    Mutant(
        "the last batch of any step has no checkpoint",
        RUN,
        "if not (is_over and step is self._steps[-1]):",
        "if not is_over:",
    ),
    Mutant(
        "the point of no return is called before it is on record",
        STEPS,
        "if job.may_roll_back and (is_compensated or step.name == job.point_of_no_return):",
        "if job.may_roll_back and is_compensated:",
        SAGA,
    ),
    Mutant(
        "a step of a saga is called before it is on record",
        STEPS,
        "await lease.begin(begun, is_compensated=is_compensated)",
        "await lease.note(begun)",
        SAGA,
    ),
    Mutant(
        "what was undone is not read back",
        RUN,
        "        return await self._read_back.left(self._steps)\n",
        "        return [] if self._lease.job.rollback_cause else await self._read_back.left(self._steps)\n",
        SAGA,
    ),
    Mutant(
        "a job under way runs with a moved point of no return",
        STEPS,
        "elif job.may_roll_back and job.point_of_no_return != point:",
        "elif False:",
        SAGA,
    ),
    Mutant(
        "a moved point of no return is not taken over",
        STEPS,
        "await lease.adopt(point)",
        "pass",
        SAGA,
    ),
    Mutant(
        "a step begun without a compensation is not undone",
        STEPS,
        "names += [name for name in begun if name in plan.compensations]",
        "pass",
        SAGA,
    ),
    Mutant(
        "an error that will not pass does not roll a saga back",
        ENDING,
        "if isinstance(error, PermanentError) and self._lease.job.may_roll_back:",
        "if False:",
        SAGA,
    ),
    Mutant(
        "every error rolls a saga back",
        ENDING,
        "if isinstance(error, PermanentError) and self._lease.job.may_roll_back:",
        "if self._lease.job.may_roll_back:",
        SAGA,
    ),
    Mutant(
        "a second empty batch after an error is progress",
        RUN,
        "                    counts_empty = True",
        "                counts_empty = True",
        UNIT,
    ),
    Mutant(
        "a park after an error of the step costs nothing",
        CALLS,
        "parked.has_called = parked.has_called or self._patience.latest is not None",
        "pass",
        SAGA,
    ),
    Mutant(
        "a step confirmed by answer only is not run for a newer request",
        READ_BACK,
        "return began is not None and began >= job.placed_at",
        "return True",
        SAGA,
    ),
)
