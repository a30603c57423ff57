"""The worker: claims due jobs of one queue and runs each in a slot."""

import asyncio
import random

import structlog

from consumers.claims import Claims
from consumers.metrics import INTERRUPTED, LOST, Metrics
from deletion.alerts import Alert, AlertKind, Alerts
from deletion.clock import Clock
from deletion.errors import ClockSkew, TransientError
from deletion.job import Job, Status
from deletion.process.grace import HAND_OVER, RUNS
from deletion.retry import BackOff, doubled, pause
from deletion.runner import Runner
from deletion.skew import Check, unchecked

PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0
"""Seconds between tries while the database does not answer, doubled each time."""
POLL_SECONDS, MAX_POLL_SECONDS = 0.1, 5.0
"""Seconds between reads while nothing is due, or other replicas are faster, doubled each time."""

log = structlog.get_logger(__name__)


class Worker:
    """Runs `slots` jobs at a time until `stopping`.

    `problem` says why it cannot claim now, None when it can. It sends an alert for each compensated
    job. It awaits `check` before each round of claims, and claims nothing while `check` raises.
    """

    def __init__(
        self,
        claims: Claims,
        runner: Runner,
        slots: int,
        clock: Clock,
        metrics: Metrics,
        alerts: Alerts,
        *,
        stopping: asyncio.Event,
        check: Check = unchecked,
        rng: random.Random | None = None,
    ) -> None:
        self._claims = claims
        self._check = check
        self._runner = runner
        self._slots = slots
        self._clock = clock
        self._metrics = metrics
        self._alerts = alerts
        self._stopping = stopping
        self._rng = rng or random.Random()  # noqa: S311 - it spreads polls, it guards nothing
        self._running: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Task[list[Job]] | None = None
        self._woken = asyncio.Event()
        self._back_off = BackOff(clock, PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self.problem: str | None = None

    def wake(self) -> None:
        """Look for due jobs now."""
        self._woken.set()

    async def work(self) -> None:
        """Claim and run until the stop; `end` then ends the runs under way."""
        fruitless = 0
        while not self._stopping.is_set():
            self._woken.clear()
            free = self._slots - len(self._running)
            if not free:
                fruitless = 0
                await pause(self._clock, MAX_POLL_SECONDS, self._stopping, self._woken)
                continue
            self._claiming = asyncio.create_task(self._claim(free))
            won = await self._claiming
            fruitless = 0 if won else fruitless + 1
            if not won:
                await self._idle(fruitless)

    async def end(self, grace: float) -> None:
        """End what is under way. Runs get half of `grace` seconds to end between two batches. They
        are then cancelled, and get another quarter to hand over. Jobs of runs that are still not
        done go stale.

        Claims under way get all of this time, because a claim that is cancelled may be written
        nevertheless, and nobody would run its job. The jobs they win are handed over at once.
        """
        runs = set(self._running)
        await self._ended(grace * RUNS)
        for run in runs:
            run.cancel()
        await self._ended(grace * HAND_OVER)
        left = self._under_way()
        for task in left:
            task.cancel()
            task.cancel()  # the first cancellation asks a run to hand over: see `Runner.run`
        if left:
            log.error("not handed over in time: their jobs will be stale", tasks=len(left))

    def _under_way(self) -> set[asyncio.Task[None] | asyncio.Task[list[Job]]]:
        """The runs under way, and the round of claims if there is one."""
        claiming = self._claiming
        return {*self._running, *([claiming] if claiming and not claiming.done() else [])}

    async def _ended(self, within: float) -> None:
        """Return when nothing is under way, or after `within` seconds."""
        over = asyncio.create_task(self._clock.sleep(within))
        while (under_way := self._under_way()) and not over.done():
            await asyncio.wait({over, *under_way}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()

    async def _claim(self, free: int) -> list[Job]:
        """Claim at most `free` jobs, and start each as soon as it is won."""
        try:
            await self._check()
            won = await self._claims.take(free, self._start)
        except (ClockSkew, TransientError) as error:
            log.warning("not claiming", reason=str(error))
            await self._pause(str(error))
            return []
        except Exception as error:
            log.exception("not claiming")
            await self._pause(f"unexpected {type(error).__name__}")
            return []
        self._back_off.reset()
        self.problem = None
        return won

    async def _pause(self, problem: str) -> None:
        self.problem = problem
        await self._back_off.pause(self._stopping, self._woken)

    async def _idle(self, fruitless: int) -> None:
        """Wait, with jitter, so that replicas do not read at the same time."""
        seconds = doubled(POLL_SECONDS, fruitless, MAX_POLL_SECONDS) * self._rng.uniform(0.5, 1)
        await pause(self._clock, seconds, self._stopping, self._woken)

    def _start(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._running.add(task)
        task.add_done_callback(self._free_slot)

    async def _run(self, job: Job) -> None:
        with self._metrics.running.track_inprogress():
            ended = await self._runner.run(job)
        self._metrics.ended(_outcome(ended))
        if ended and ended.status is Status.COMPENSATED:
            why = ended.rollback_cause.type if ended.rollback_cause else ""
            self._alerts.tell(Alert(AlertKind.JOB_COMPENSATED, ended.service, why, ended.id))

    def _free_slot(self, task: asyncio.Task[None]) -> None:
        """Free the slot of a run that has ended."""
        self._running.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("a run raised an error: its job will be stale", exc_info=error)


def _outcome(ended: Job | None) -> str:
    if ended is None:
        return LOST
    if ended.status is Status.FAILED and ended.failure and ended.failure.interrupted:
        return INTERRUPTED
    return ended.status.value
