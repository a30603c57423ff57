"""The consumer: pulls what it has room for, runs what intake took, hands over on a stop."""

import asyncio
from collections.abc import Coroutine, Sequence

import structlog

from consumers.intake import Intake, Outcome
from consumers.metrics import Metrics
from consumers.slots import Slots
from deletion.bus import Delivery, Publisher, Subscription
from deletion.clock import Clock
from deletion.errors import BotDeletionError, TransientError
from deletion.job import Job, Status
from deletion.ports import JobStore
from deletion.resume import resume_message
from deletion.retry import doubled, rest
from deletion.runner import Runner

PULL_LIMIT = 100
"""Messages recorded by one bulk insert at the most."""
INTERRUPTED = "interrupted"
PAUSE_SECONDS = 1.0
"""Between two tries while Pub/Sub or the database does not answer."""
MAX_PAUSE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Consumer:
    """Every message holds a slot from before its pull until its job has ended."""

    def __init__(
        self,
        *,
        intake: Intake,
        runner: Runner,
        subscription: Subscription,
        publisher: Publisher,
        store: JobStore,
        clock: Clock,
        slots: Slots,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        self._runner = runner
        self._subscription = subscription
        self._publisher = publisher
        self._store = store
        self._clock = clock
        self._slots = slots
        self._metrics = metrics
        self._working: set[asyncio.Task[None]] = set()
        self._unproven = True  # the database is to answer before the next pull
        self._failures = 0  # groups in a row that it could not take, though it answered
        self.problem: str | None = "not started"

    async def consume(self, stopping: asyncio.Event, grace: float) -> None:
        """Work until `stopping`, then end every run within `grace` seconds.

        Raises `TopologyMissing` where nothing can put the subscription back.
        """
        winding_up = asyncio.create_task(self._wind_up(stopping, grace))
        try:
            while room := await self._slots.reserve(PULL_LIMIT):
                deliveries = await self._pull(room, stopping)
                self._slots.release(room - len(deliveries))
                if deliveries and stopping.is_set():
                    await self._hand_back(deliveries)
                elif deliveries:
                    self._start(self._handle(deliveries))
        finally:
            stopping.set()
            await winding_up

    async def _pull(self, room: int, stopping: asyncio.Event) -> list[Delivery]:
        """After a problem, nothing is pulled before the database answers again."""
        try:
            if self._unproven:
                await rest(self._clock, self._pause(), stopping)
                await self._store.ping()
                self._unproven = False
            deliveries = await self._subscription.pull(room)
        except TransientError as error:
            log.warning("not pulling", reason=str(error))
            self.problem = str(error)
            await rest(self._clock, PAUSE_SECONDS, stopping)
            return []
        if not self._unproven:  # a group may have been handed back during this pull
            self.problem = None
        return deliveries

    def _pause(self) -> float:
        """A database that answers and takes nothing must not wear out the deliveries."""
        if not self._failures:
            return 0
        return doubled(PAUSE_SECONDS, self._failures, MAX_PAUSE_SECONDS)

    async def _hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """What the last pull brought is another process's work."""
        await self._intake.hand_back(deliveries)
        self._slots.release(len(deliveries))

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        """Take a group in; start what is to be run, free the places of the rest."""
        idle = len(deliveries)
        try:
            taken = await self._intake.take(deliveries)
            if any(t.outcome is Outcome.RETURNED for t in taken):
                self._unproven, self.problem = True, "events had to be handed back"
                self._failures += 1
            else:
                self._failures = 0
            for job in (t.job for t in taken if t.job):
                self._start(self._run(job))
                idle -= 1
            for t in taken:
                self._metrics.took(t.outcome)
        finally:
            self._slots.release(idle)

    async def _run(self, job: Job) -> None:
        try:
            with self._metrics.running.track_inprogress():
                ended = await self._runner.run(job)
            outcome = _outcome(ended)
            self._metrics.ended(outcome)
            if outcome == INTERRUPTED:
                await self._ask_resumption(job)
        finally:
            self._slots.release()

    async def _ask_resumption(self, job: Job) -> None:
        """So that a deployment costs moments, not the time to the next sweep."""
        try:
            await self._publisher.publish(resume_message(job, self._clock.now()))
        except BotDeletionError as error:
            log.warning("left to the next sweep", job_id=job.id, reason=str(error))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("work broke off: its jobs will be stale", exc_info=error)

    async def _wind_up(self, stopping: asyncio.Event, grace: float) -> None:
        """Once stopping: half the grace for runs to end between two batches, then cut them short.

        Beside the last pull, which must not be cancelled and takes its few seconds.
        """
        await stopping.wait()
        self._slots.close()
        for share in (grace / 2, grace / 4):
            over = asyncio.create_task(self._clock.sleep(share))
            while self._working and not over.done():
                await asyncio.wait({over, *self._working}, return_when=asyncio.FIRST_COMPLETED)
            for task in (over, *self._working):
                task.cancel()
        if self._working:
            log.error("not handed over in time: their jobs will be stale", runs=len(self._working))


def _outcome(ended: Job | None) -> str:
    if ended is None:
        return "lost"
    if ended.status is Status.FAILED and ended.failure and ended.failure.interrupted:
        return INTERRUPTED
    return ended.status.value
