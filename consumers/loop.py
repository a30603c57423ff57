"""The consumer: intake and workers side by side, until the process is asked to stop."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from consumers.intake import Intake, Outcome
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.bus import Delivery, Subscription
from deletion.clock import Clock
from deletion.errors import BotDeletionError, TransientError
from deletion.message_spans import MessageSpans
from deletion.ports import JobStore
from deletion.process.grace import RUNS
from deletion.pulling import StorageCheck
from deletion.retry import BackOff, doubled, pause
from deletion.skew import Check, unchecked
from deletion.tracing import NO_SPAN

PULL_LIMIT: Final = 100
"""Most messages in a group, which shares one pull, one bulk insert and one ack."""
PROBE_LIMIT: Final = 2
"""Most messages in a pull while the database takes nothing. With only one, a message that can never
be stored and is always delivered first would hide that the database takes the others."""
GROUPS: Final = 2
"""Most groups in memory: one is recorded while the next is pulled."""
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""Seconds between tries while Pub/Sub or the database does not answer or refuses calls."""
STORED: Final = {Outcome.RECORDED, Outcome.JOINED, Outcome.KNOWN}
"""The outcomes that show that the database takes jobs."""

log = structlog.get_logger(__name__)


class Consumer:
    """Runs intake and workers until `stopping`. Intake never waits for a worker, so a backlog
    consists of pending jobs, not of waiting messages.

    It awaits `check` before and after each pull, and takes nothing in while `check` raises: a job
    recorded under a wrong clock would be due at the wrong time.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        workers: Sequence[Worker],
        subscription: Subscription,
        store: JobStore,
        clock: Clock,
        metrics: Metrics,
        stopping: asyncio.Event,
        check: Check = unchecked,
        spans: MessageSpans | None = None,
    ) -> None:
        self._intake = intake
        self._workers = workers
        self._subscription = subscription
        self._clock = clock
        self._metrics = metrics
        self._stopping = stopping
        self._check = check
        self._spans = spans
        self._handling: set[asyncio.Task[None]] = set()
        self._database = StorageCheck(store.check_writes)
        self._refused = BackOff(clock, PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._failures = 0  # groups in a row from which the database stored nothing
        self._not_pulling: str | None = "not started"

    @property
    def problem(self) -> str | None:
        """Why it cannot work now; None when it can."""
        problems = [self._not_pulling, *(worker.problem for worker in self._workers)]
        return "; ".join(dict.fromkeys(p for p in problems if p)) or None

    async def consume(self, grace: float) -> None:
        """Work until the stop, then end every run within `grace` seconds."""
        working = [asyncio.create_task(worker.work()) for worker in self._workers]
        for task in working:  # intake must not go on when a worker has failed
            task.add_done_callback(lambda _: self._stopping.set())
        ending = asyncio.create_task(self._end(grace))
        try:
            await self._receive(grace * RUNS)
        finally:
            self._stopping.set()
            await ending
            await asyncio.wait(working)
        for task in working:
            if not task.cancelled():
                task.result()

    async def _receive(self, patience: float) -> None:
        """Pull and record until the stop. Then the groups in memory get `patience` seconds, so
        that a database that takes nothing does not delay the stop. Messages that are not acked by
        then are redelivered.
        """
        asked = asyncio.create_task(self._stopping.wait())
        while not self._stopping.is_set():
            if len(self._handling) >= (1 if self._failures else GROUPS):
                waited_for = {asked, *self._handling}
                await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
                continue
            deliveries = await self._pull()
            if deliveries:
                self._handle(deliveries)
        asked.cancel()
        if self._handling:
            _, late = await asyncio.wait(self._handling, timeout=patience)
            for task in late:
                task.cancel()

    async def _pull(self) -> list[Delivery]:
        """Pull one group; return none after an error.

        After a group of which nothing was stored, pull only once the database confirms a write, and
        then only a few messages until it stores one: each nack spends one of the few deliveries
        that a message has before it is a dead letter. A failing pull ends no run, because runs do
        not need Pub/Sub.
        """
        try:
            if not self._database.has_passed:
                await pause(self._clock, self._delay(), self._stopping)
                await self._database.ensure()
            await self._check()
            limit = PROBE_LIMIT if self._failures else PULL_LIMIT
            deliveries = await self._subscription.pull(limit)
            await self._check()  # the clock may have been set; what was pulled is redelivered
        except TransientError as error:
            log.warning("not pulling", reason=str(error))
            self._not_pulling = str(error)
            await pause(self._clock, PAUSE_SECONDS, self._stopping)
            return []
        except BotDeletionError as error:
            log.error("not pulling", reason=str(error))
            await self._pause_refused(str(error))
            return []
        except Exception as error:
            log.exception("not pulling")
            await self._pause_refused(f"unexpected {type(error).__name__}")
            return []
        self._refused.reset()
        if self._database.has_passed:  # a group may have been nacked during this pull
            self._not_pulling = None
        return deliveries

    async def _pause_refused(self, problem: str) -> None:
        self._not_pulling = problem
        await self._refused.pause(self._stopping)

    def _delay(self) -> float:
        """Seconds to wait before the next pull, so that a database that takes nothing does not use
        up the deliveries of messages.
        """
        if not self._failures:
            return 0
        return doubled(PAUSE_SECONDS, self._failures, MAX_PAUSE_SECONDS)

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        task = asyncio.create_task(self._take(deliveries))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        """Take a group in, and wake the workers. If some of its events were stored, the database
        works, whatever happened to the others, and pulling goes on.
        """
        with self._spans.process(deliveries) if self._spans else NO_SPAN:
            taken = await self._intake.take(deliveries)
        for each in taken:
            self._metrics.took(each.outcome)
        outcomes = {each.outcome for each in taken}
        if Outcome.RECORDED in outcomes:
            for worker in self._workers:
                worker.wake()
        if outcomes & STORED:
            self._failures = 0
        elif Outcome.RETURNED in outcomes:
            self._database.invalidate()
            self._not_pulling = "the database recorded no event of a group"
            self._failures += 1

    async def _end(self, grace: float) -> None:
        """End the runs on a stop. The last pull must not be cancelled, and ends meanwhile."""
        await self._stopping.wait()
        await asyncio.gather(*(worker.end(grace) for worker in self._workers))
