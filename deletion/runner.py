"""The runner: one claimed job from its checkpoint to its end.

Read `Run.to_completion` first: delete → read back → complete. Whatever happens, a run ends in
exactly one of these ways: the job is complete or compensated; it is failed with a reason, turned
back, handed over or parked; or the run no longer holds it and writes nothing more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from deletion.clock import Clock, rfc3339
from deletion.errors import (
    BotDeletionError,
    Busy,
    Interrupted,
    LeaseLost,
    LeftOvers,
    NothingFound,
    Parked,
    PermanentError,
    StepUnknown,
    TransientError,
    TransitionError,
)
from deletion.job import LONGEST_REST, Failure, Job, LeasePolicy, StepProgress, StepStatus
from deletion.lease import Lease
from deletion.pacer import Hold, Pacers
from deletion.plan import Batch, Plan, Step, Verified, is_by_answer_only
from deletion.ports import JobStore
from deletion.retry import Patience, Retry, doubled, rest

PASS_PAUSE = 1.0
"""Seconds before the second pass; twice as many before the third."""
PASSES = 3
"""Passes over the plan in one run; if the last read-back still finds data, the job fails."""
RETRY_SECONDS = 600.0
"""Seconds since the last progress during which errors that may pass are retried in place."""
LONGEST_PARK = 3600.0
"""Seconds over which parked jobs are spread at most."""
ANSWER_ONLY = "answer only"
"""The `read_back` of a step that cannot read back."""
MESSAGE_CHARACTERS = 1000
"""Characters of an error's text that the job keeps."""

OnBatch = Callable[[str, int], None]
"""Called with a step's name and the number of items that a batch of it deleted."""

log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs of one plan. `stopping` asks every run to end between two batches."""

    def __init__(
        self,
        plan: Plan,
        store: JobStore,
        clock: Clock,
        policy: LeasePolicy,
        *,
        stopping: asyncio.Event,
        retry: Retry | None = None,
        retry_seconds: float = RETRY_SECONDS,
        on_batch: OnBatch = lambda _step, _deleted: None,
        pacers: Pacers | None = None,
    ) -> None:
        self._plan = plan
        self._pacers = pacers or Pacers(plan, clock, stopping)
        self._store = store
        self._clock = clock
        self._policy = policy
        self._stopping = stopping
        self._retry = retry or Retry(clock)
        self._retry_seconds = retry_seconds
        self._on_batch = on_batch

    async def run(self, job: Job) -> Job | None:
        """Run `job`. Returns it as it ended, or None when the lease was lost.

        Cancelling a run hands its job over, as `stopping` does, without waiting for the batch.
        Raises only what the store raises when the end of the run cannot be written, and
        `CancelledError` when it is cancelled again during the hand-over; the job then goes stale.
        """
        lease = Lease(job, self._store, self._clock, self._policy, self._retry)
        patience = Patience(self._retry, self._retry_seconds, self._stopping)
        run = Run(
            self._plan, lease, patience, self._clock, self._stopping, self._on_batch, self._pacers
        )
        with structlog.contextvars.bound_contextvars(
            job_id=job.id,
            event_id=job.event_id,
            bot_id=job.bot_id,
            service=job.service,
            attempt=job.attempt,
            traceparent=job.traceparent,
        ):
            try:
                await self._end(run, lease)
            except LeaseLost as lost:
                log.warning("lease lost", reason=str(lost))
                return None
            log.info("run ended", status=lease.job.status)
            return lease.job

    async def _end(self, run: "Run", lease: Lease) -> None:
        """Run, and record what ended it."""
        try:
            async with lease.heartbeat():
                await run.to_completion()
        except LeaseLost:
            raise
        except Parked as parked:
            await _to_its_end(self._park(parked, lease))
        except (Interrupted, asyncio.CancelledError) as error:
            failure = self._interruption(error, run, lease)
            await _to_its_end(lease.fail(failure, has_tried=not run.only_waited))
        except Exception as error:  # recorded: it becomes the job's failure
            unexpected = not isinstance(error, BotDeletionError)
            reason = f"{type(error).__name__}: {error}"
            log.error("run failed", reason=reason, exc_info=unexpected)
            await _to_its_end(self._fail(error, lease))

    async def _fail(self, error: Exception, lease: Lease) -> None:
        """Fail the job; turn it back where it may when the error will not pass."""
        failure = self._failure(error, lease)
        if isinstance(error, PermanentError) and lease.job.may_turn_back:
            log.warning("turned back", reason=failure.message)
            await lease.turn_back(failure)
        else:
            await lease.fail(failure)

    async def _park(self, parked: Parked, lease: Lease) -> None:
        """Park the job; fail it when this was its last attempt and has called the API.

        Jobs that wait for one host are due at times of their own, over a window that doubles while
        the host must not be called. A host that is only busy says how long its window is.
        """
        asked = min(parked.until, lease.now() + LONGEST_REST)
        wait = max(1.0, (asked - lease.now()).total_seconds())
        is_busy = isinstance(parked, Busy)
        window = (
            parked.window
            if isinstance(parked, Busy)
            else doubled(wait, lease.job.parks, LONGEST_PARK)
        )
        until = asked + timedelta(seconds=self._retry.rng.uniform(0, window))
        failure = self._failure(parked, lease)
        try:
            await lease.park(failure, until, spent=parked.spent, is_busy=is_busy)
        except TransitionError:
            log.error("run failed", reason=str(parked))
            await lease.fail(failure)
        else:
            log.info("parked", until=rfc3339(until), reason=str(parked))

    def _interruption(self, error: BaseException, run: "Run", lease: Lease) -> Failure:
        """The failure of a run that was stopped: interrupted, unless an error was being retried or
        the step cancelled itself.
        """
        if run.error:
            return self._failure(run.error, lease)
        task = asyncio.current_task()
        asked = self._stopping.is_set() or (task is not None and task.cancelling() > 0)
        if not asked:
            log.error("the step cancelled itself")
        return replace(self._failure(error, lease), interrupted=asked)

    def _failure(self, error: BaseException, lease: Lease) -> Failure:
        message = str(error)[:MESSAGE_CHARACTERS].encode(errors="replace").decode()
        return Failure(type(error).__name__, message, lease.now())


async def _to_its_end(last_write: Coroutine[None, None, None]) -> None:
    """The write that ends a run. The first cancellation asks for just that, so it is no reason to
    give it up: a run that was cancelled before it began is given up by the second.
    """
    task, writing = asyncio.current_task(), asyncio.create_task(last_write)
    while True:
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            given_up = task is not None and task.cancelling() > 1
            if writing.cancelled() or (given_up and not writing.done()):
                writing.cancel()
                raise


class Run:
    """One run over a lease."""

    def __init__(
        self,
        plan: Plan,
        lease: Lease,
        patience: Patience,
        clock: Clock,
        stopping: asyncio.Event,
        on_batch: OnBatch,
        pacers: Pacers,
    ) -> None:
        self._plan = plan
        self._pacers = pacers
        self._lease = lease
        self._patience = patience
        self._clock = clock
        self._stopping = stopping
        self._on_batch = on_batch
        self._steps: tuple[Step, ...] = ()
        self._errors: dict[str, TransientError] = {}  # the last one of each step
        self._seconds = 0.0  # of the latest batch
        self.only_waited = False
        """Whether it waits for the pace of its step, and has tried no batch since."""

    @property
    def error(self) -> TransientError | None:
        """The error that is being retried, if one is."""
        return self._patience.error

    async def to_completion(self) -> None:
        """Delete, read back, complete; again when a newer request has joined meanwhile.

        A job that goes backwards is compensated: the same, over its compensations.
        """
        self._steps = await self._way()
        while True:
            await self._delete_all()
            self._check_steps()
            if self._lease.job.turned_back:
                return await self._lease.compensate()
            await self._check_found(self._steps)
            if await self._lease.complete():
                return None
            log.info("a newer request joined: looking again")

    async def _way(self) -> tuple[Step, ...]:
        """The steps of the plan, or the compensations that the job owes: also of a step that a
        process began whose plan had no compensation for it.

        Raises `StepUnknown` when the plan has changed so that the job cannot be turned back.
        """
        job, point = self._lease.job, self._plan.point_of_no_return
        begun = [step.name for step in job.steps if step.is_begun]
        if job.turned_back:
            owed = [owed.name for owed in job.compensations]
            owed += [name for name in begun if name in self._plan.compensations]
            return self._plan.way_back(owed)
        if not begun:
            await self._lease.adopt(point)
        elif job.may_turn_back and job.point_of_no_return != point:
            raise StepUnknown(
                f"the point of no return of this process's plan is {point}, and the job was begun "
                f"with {job.point_of_no_return}: finish the update, or put it back"
            )
        return self._plan.steps

    def _check_steps(self) -> None:
        """A job that a newer version of the plan recorded is not complete without its steps."""
        known = {step.name for step in self._steps}
        unfinished = (p for p in self._lease.job.way if p.status is not StepStatus.COMPLETE)
        if unknown := [progress.name for progress in unfinished if progress.name not in known]:
            raise StepUnknown(
                f"the plan of this process has no step {', '.join(unknown)}, which the job was "
                "recorded with: finish the update, or put the step back into the plan"
            )

    async def _check_found(self, steps: Sequence[Step]) -> None:
        """Those of `steps` that must find something have, in this job or in one before it."""
        names = {step.name for step in steps} & self._plan.expected
        never = {name for name in names if not self._lease.job.progress(name).has_found}
        if never and (unfound := never - await self._lease.found_before()):
            raise NothingFound(
                f"step {', '.join(sorted(unfound))} has never found anything of this bot, which "
                "its plan expects (`expect: nonzero`): `botdel plan check` and `botdel plan "
                "preview` show whether the plan is wrong"
            )

    async def _delete_all(self) -> None:
        """Run every step that is not complete, until a read-back finds nothing.

        Raises `LeftOvers` after `PASSES` passes.
        """
        left: Sequence[Step] = ()
        for number in range(PASSES):
            if number:  # what is read back may lag behind what was deleted
                await rest(self._clock, PASS_PAUSE * number, self._stopping)
                await self._read_back(left)
            left = await self._pass()
            if not left:
                return
            log.warning("left overs", steps=[step.name for step in left])
        names = ", ".join(step.name for step in left)
        raise LeftOvers(f"data is still there after {PASSES} passes: {names}")

    async def _pass(self) -> list[Step]:
        """Run every step that is not complete. Returns those that still find data of the bot.

        What a saga has done is checked before the step of no return, while it can be undone.
        """
        for number, step in enumerate(self._steps):
            if self._progress(step).status is StepStatus.COMPLETE:
                continue
            job = self._lease.job
            is_last_chance = step.name == job.point_of_no_return and job.may_turn_back
            if is_last_chance:
                if left := await self._read_back(self._steps[:number]):
                    return left
                await self._check_found(self._steps[:number])
            await self._delete(step)
        return await self._read_back(self._steps)

    async def _delete(self, step: Step) -> None:
        """Run one step from its checkpoint; after an error that may pass, from the latest one.

        The checkpoint of the plan's last batch goes with the job's end, which is the next write.
        """
        await self._begin(step)
        await self._look_first(step)
        self._patience.renew()
        async for attempt in self._patience:
            with attempt, self._calls(step):
                progress = self._progress(step)
                bot_id, tries = self._lease.job.bot_id, attempt.retry_state.attempt_number
                async with self._closing(step.delete(bot_id, progress.cursor)) as batches:
                    while batch := await self._batch(step, batches):
                        if batch.deleted or batch.cursor != progress.cursor or tries == 1:
                            self._patience.renew()
                        tries = 1  # of a try that goes on, each batch counts
                        progress = progress.advanced(batch.deleted, batch.cursor, self._seconds)
                        progress = self._with_waits(progress, step)
                        self._count(step, batch)
                        if batch.last and step is self._steps[-1]:
                            break
                        await self._lease.checkpoint(progress)
                        if batch.last:  # to ask once more would be paced as a batch
                            break
        self._patience.renew()
        progress = self._with_waits(progress, step)
        # without the cursor, which nobody reads any more: it may name a file or a person
        await self._lease.note(replace(progress, status=StepStatus.COMPLETE, cursor=None))

    def _count(self, step: Step, batch: Batch) -> None:
        """What a compensation does is not deleted."""
        if not self._lease.job.turned_back:
            self._on_batch(step.name, batch.deleted)

    async def _begin(self, step: Step) -> None:
        """Where the job may turn back, what it owes must be on record before the first call."""
        job, progress = self._lease.job, self._progress(step)
        if progress.status is not StepStatus.PENDING:
            return
        begun, is_compensated = progress.began(job.placed_at), step.name in self._plan.compensations
        if job.may_turn_back and (is_compensated or step.name == job.point_of_no_return):
            await self._lease.begin(begun, is_compensated=is_compensated)
        else:
            await self._lease.note(begun)

    @contextmanager
    def _calls(self, step: Step) -> Iterator[None]:
        """A step that parks after an error in this run has spent its attempt. If it only finds no
        free place, that error goes on being retried.
        """
        try:
            yield
        except TransientError as error:
            self._errors[step.name] = error
            raise
        except Busy as busy:
            if before := self._errors.get(step.name):
                raise before.with_traceback(None) from busy
            raise
        except Parked as parked:
            parked.spent = parked.spent or step.name in self._errors
            raise

    async def _look_first(self, step: Step) -> None:
        """Record that a step that must find something is about to delete it, because a crash after
        its first batch would lose the count of it.
        """
        progress = self._progress(step)
        is_way_back = self._lease.job.turned_back
        if is_way_back or step.name not in self._plan.expected or progress.has_found:
            return
        if not await self._is_empty(step):
            await self._lease.checkpoint(replace(progress, found=True))

    @asynccontextmanager
    async def _closing(
        self, batches: AsyncGenerator[Batch, None]
    ) -> AsyncIterator[AsyncGenerator[Batch, None]]:
        """As `aclosing`, but a step that hangs while closing makes its job stale, as in a batch."""
        try:
            yield batches
        finally:
            with self._lease.one_batch():
                await batches.aclose()

    async def _batch(self, step: Step, batches: AsyncGenerator[Batch, None]) -> Batch | None:
        """The next batch, at the pace of the step; None when there is none left."""
        self._check_stopping()
        async with self._pacers.turn(step, partial(self._held, step)) as turn:
            self._check_stopping()
            self.only_waited = False
            await self._lease.fence()
            began = self._clock.monotonic()
            with self._lease.one_batch():
                batch = await anext(batches, None)
            self._seconds = self._clock.monotonic() - began
            turn.deleted = batch.deleted if batch else 0
        return batch

    async def _held(self, step: Step, hold: Hold) -> None:
        """Keep in the record what holds the run back: the next write, a heartbeat too, has it."""
        self.only_waited = True
        self._patience.excuse(hold.seconds)
        await self._lease.note(self._progress(step).held(hold.why, hold.seconds))

    def _with_waits(self, progress: StepProgress, step: Step) -> StepProgress:
        """With what has held it back meanwhile, which the lease was told at once."""
        return replace(progress, throttled=self._progress(step).throttled)

    async def _read_back(self, steps: Sequence[Step]) -> list[Step]:
        """Those of `steps` that still find data of the bot; they begin again."""
        left = []
        for step in steps:
            progress, is_empty = self._progress(step), await self._is_empty(step)
            if is_by_answer_only(step):
                progress = replace(progress, read_back=ANSWER_ONLY)
            elif isinstance(step, Verified):
                progress = replace(progress, read_back=step.read_back)
            done = replace(progress, status=StepStatus.COMPLETE)
            await self._lease.note(done if is_empty else progress.again())
            if not is_empty:
                left.append(step)
        return left

    async def _is_empty(self, step: Step) -> bool:
        """Read back; without a way to do so, whether the step has run for every request."""
        if is_by_answer_only(step):
            began, placed_at = self._progress(step).placed_at, self._lease.job.placed_at
            return began is not None and began >= placed_at
        self._patience.renew()
        async for attempt in self._patience:
            with attempt, self._calls(step):
                self._check_stopping()
                with self._lease.one_batch():
                    is_empty = await step.is_empty(self._lease.job.bot_id)
        self._patience.renew()
        return is_empty

    def _progress(self, step: Step) -> StepProgress:
        return self._lease.job.progress(step.name)

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise Interrupted("the process was asked to stop")
