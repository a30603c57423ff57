"""The outside world, in memory and under a test's control: time, messages, data, a database.

Faults enter here, through the ports, and nowhere else.
"""

import asyncio
import heapq
import uuid
from collections import deque
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from deletion.alerts import Alert
from deletion.bus import Delivery, Message
from deletion.clock import Clock, milliseconds
from deletion.dead_letter import DeadLetter
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.events import BotDeletionSubject, RequestPlaced
from deletion.job import Change, Job, LeasePolicy, Status
from deletion.pace import UNPACED
from deletion.plan import Batch, Plan, Step
from deletion.ports import Read, Recorded, Unreadable
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore


class Crash(BaseException):
    """The process dies here: nothing that could be caught, and nothing is cleaned up."""


START = datetime(2025, 3, 30, 1, 59, 59, 250_000, UTC)


class VirtualClock:
    """`deletion.clock.Clock` whose time passes only when nothing else can happen.

    With `auto_advance` the earliest sleeper wakes once every task of the loop waits; without,
    sleepers wake in `advance` only. It sees tasks, not sockets or threads: it is for fakes.
    A sleeper past `horizon` gets an `AssertionError`, so that what never ends is found at once.
    """

    def __init__(
        self,
        start: datetime = START,
        *,
        auto_advance: bool = True,
        horizon: timedelta = timedelta(days=30),
    ) -> None:
        self._now = self._start = start
        self._off = timedelta(0)
        self._end = start + horizon
        self._auto_advance = auto_advance
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()
        self._watching = False

    def now(self) -> datetime:
        """See the port."""
        return milliseconds(self._now + self._off)

    def set(self, by: timedelta) -> None:
        """Somebody sets the clock: no time has passed."""
        self._off += by

    def monotonic(self) -> float:
        """See the port."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """See the port."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = self._now + max(timedelta(seconds=seconds), timedelta(microseconds=1))
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        if self._auto_advance:
            self._watch()
        await woken

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking each sleeper at its time; returns when all wait again."""
        target = self._now + timedelta(seconds=seconds)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._wake_next()
            await settle()
        self._now = max(self._now, target)

    def pause(self, seconds: float) -> None:
        """Time passes and nobody is woken: what a suspended process sees when it goes on."""
        self._now += timedelta(seconds=seconds)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self._watching = False
        if _all_wait():
            self._wake_next()
        if any(not woken.done() for _, _, woken in self._sleepers):
            self._watch()

    def _wake_next(self) -> None:
        while self._sleepers:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():  # its task was cancelled
                continue
            self._now = max(self._now, due)
            if self._now > self._end:
                woken.set_exception(AssertionError("virtual time ran past its horizon"))
            else:
                woken.set_result(None)
            return


def _all_wait() -> bool:
    """Whether nothing is left to do in this loop but to let time pass."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    return all(getattr(handle._callback, "__name__", "") == "_tick" for handle in ready)


async def settle() -> None:
    """Return once every other task waits."""
    await asyncio.sleep(0)
    while not _all_wait():  # noqa: ASYNC110 - no event tells that all wait
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], clock: VirtualClock, within: float = 3600) -> None:
    """Let virtual time pass until `condition` holds; fails after `within` virtual seconds."""
    deadline = clock.now() + timedelta(seconds=within)
    while not condition():
        assert clock.now() < deadline, f"not within {within:g} virtual seconds"
        await clock.sleep(0.05)


@dataclass
class _Copy:
    """One message as one subscription holds it."""

    message: Message
    message_id: str
    published_at: datetime
    due: datetime
    attempts: int = 0
    ack_id: str = ""


class MemorySubscription:
    """`deletion.bus.Subscription` in memory: at least once, with deadlines and back-off.

    `ack_deadline`, `back_off` and `pull_wait` are seconds. While `down`, every call raises
    `BusUnavailable`; `ack_faults` are raised by the next acks, one each.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        ack_deadline: float = 60,
        back_off: float = 10,
        pull_wait: float = 3,
        journal: list[str] | None = None,
    ) -> None:
        self._clock = clock
        self._ack_deadline = timedelta(seconds=ack_deadline)
        self._back_off = timedelta(seconds=back_off)
        self._pull_wait = timedelta(seconds=pull_wait)
        self._copies: list[_Copy] = []
        self._ack_ids = count(1)
        self._arrived = asyncio.Event()
        self.journal = journal if journal is not None else []
        self.down = False
        self.ack_faults: deque[BaseException] = deque()
        self.pulls: list[int] = []
        self.acked: list[str] = []
        self.nacked: list[str] = []

    @property
    def unacked(self) -> list[str]:
        """The ids of the messages that will come (again)."""
        return [copy.message_id for copy in self._copies]

    def put(self, message: Message, message_id: str) -> None:
        """A message was published."""
        now = self._clock.now()
        self._copies.append(_Copy(message, message_id, published_at=now, due=now))
        self._arrived.set()

    async def pull(self, limit: int) -> list[Delivery]:
        """See the port."""
        self._answer()
        self.pulls.append(limit)
        deadline = self._clock.now() + self._pull_wait
        while True:
            now = self._clock.now()
            due = self._due(now)[:limit]
            if due or now >= deadline:
                return [self._deliver(copy) for copy in due]
            await self._arrival(min([deadline, *(copy.due for copy in self._copies)]) - now)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port. Late ones still count when nobody got the message since."""
        self._answer()
        if self.ack_faults:
            raise self.ack_faults.popleft()
        for copy in self._held(deliveries):
            self._copies.remove(copy)
            self.acked.append(copy.message_id)
            self.journal.append(f"ack {copy.message_id}")

    async def nack(self, deliveries: Sequence[Delivery]) -> None:
        """See the port: the first redelivery is at once, as measured of Pub/Sub."""
        self._answer()
        for copy in self._held(deliveries):
            copy.due = self._clock.now() + self._wait(copy)
            self.nacked.append(copy.message_id)
            self.journal.append(f"nack {copy.message_id}")
        self._arrived.set()

    def _due(self, now: datetime) -> list[_Copy]:
        """What may be delivered, in the order in which it is."""
        return [copy for copy in self._copies if copy.due <= now]

    def _wait(self, copy: _Copy) -> timedelta:
        """Between a nack and the next delivery."""
        return self._back_off * min(1, copy.attempts - 1)

    def _answer(self) -> None:
        if self.down:
            raise BusUnavailable("the subscription is down")

    def _deliver(self, copy: _Copy) -> Delivery:
        copy.attempts += 1
        copy.ack_id = f"{copy.message_id}#{next(self._ack_ids)}"
        copy.due = self._clock.now() + self._ack_deadline
        return Delivery(
            copy.message, copy.message_id, copy.ack_id, copy.attempts, copy.published_at
        )

    def _held(self, deliveries: Sequence[Delivery]) -> list[_Copy]:
        held = {delivery.ack_id for delivery in deliveries}
        return [copy for copy in self._copies if copy.ack_id in held]

    async def _arrival(self, wait: timedelta) -> None:
        self._arrived.clear()
        tasks = [
            asyncio.create_task(self._clock.sleep(wait.total_seconds())),
            asyncio.create_task(self._arrived.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()


class MemoryBus:
    """`deletion.bus.Publisher` of one topic, and its subscriptions. While `down` it refuses."""

    def __init__(self, clock: Clock, journal: list[str] | None = None) -> None:
        self._clock = clock
        self._ids = count(1)
        self._subscriptions: list[MemorySubscription] = []
        self.journal = journal if journal is not None else []
        self.down = False
        self.published: list[Message] = []

    def subscribe(
        self, *, ack_deadline: float = 60, back_off: float = 10, pull_wait: float = 3
    ) -> MemorySubscription:
        """A new subscription: it gets what is published from now on. All in seconds."""
        subscription = MemorySubscription(
            self._clock,
            ack_deadline=ack_deadline,
            back_off=back_off,
            pull_wait=pull_wait,
            journal=self.journal,
        )
        self.attach(subscription)
        return subscription

    def attach(self, subscription: MemorySubscription) -> None:
        """It gets what is published from now on."""
        self._subscriptions.append(subscription)

    async def publish(self, message: Message) -> None:
        """See the port."""
        if self.down:
            raise BusUnavailable("the topic is down")
        self.put(message)

    def put(self, message: Message) -> None:
        """Hand a message to every subscription, under an id of its own."""
        message_id = str(next(self._ids))
        self.published.append(message)
        for subscription in self._subscriptions:
            subscription.put(message, message_id)


class ScriptedStore(MemoryJobStore):
    """A job store with faults: `faults[method]` are raised by its next calls, one each.

    A fault in `lost` is raised after the work was done: only the answer was lost. While
    `down`, every call raises `StoreUnavailable`. `pauses[method]` are seconds a call takes.
    Its own clock is ahead of everybody's by `skew`.
    """

    def __init__(self, clock: VirtualClock, journal: list[str] | None = None) -> None:
        super().__init__(clock.now)
        self._clock = clock
        self.journal = journal if journal is not None else []
        self.down = False
        self.skew = timedelta(0)
        self.unreadable: dict[str, Unreadable] = {}
        self.faults: dict[str, deque[BaseException | None]] = {}
        self.lost: dict[str, deque[BaseException | None]] = {}
        self.pauses: dict[str, float] = {}
        self.applied: list[Change] = []
        self.before_apply: Callable[[Change], Awaitable[None]] | None = None
        self.calls: list[str] = []

    async def ping(self) -> None:
        await self._enter("ping")

    async def check_writes(self) -> None:
        await self._enter("check_writes")

    async def record(self, jobs: Sequence[Job]) -> list[Recorded]:
        await self._enter("record")
        recorded = await super().record(jobs)
        self._leave("record", *(job.event_id for job in jobs))
        return recorded

    async def apply(self, change: Change) -> Job:
        await self._enter("apply")
        if self.before_apply:
            await self.before_apply(change)
        job = await super().apply(change)
        self.applied.append(change)
        self._leave("apply", change.after.status)
        return job

    async def get(self, job_id: str) -> Job | None:
        await self._enter("get")
        return await super().get(job_id)

    async def due(self, queue: str, since: datetime, until: datetime, limit: int) -> Sequence[Read]:
        await self._enter("due")
        found = await super().due(queue, since, until, limit)
        return [self.unreadable.get(job.id, job) for job in found]

    async def silent(
        self,
        status: Status,
        *,
        since: datetime,
        until: datetime,
        skip: Collection[str] = (),
        limit: int,
    ) -> Sequence[Read]:
        await self._enter("silent")
        found = await super().silent(status, since=since, until=until, skip=skip, limit=limit)
        return [self.unreadable.get(job.id, job) for job in found]

    async def count(self, status: Status, *, until: datetime | None = None) -> int:
        await self._enter("count")
        return await super().count(status, until=until)

    async def time(self) -> datetime:
        await self._enter("time")
        return await super().time() + self.skew

    def damage(self, job: Job) -> Job:
        """From now on pages hold what this code cannot read in place of `job`."""
        reason = "ValueError: 'archived' is not a valid Status"
        self.unreadable[job.id] = Unreadable(job.id, reason, job.due, job.last_modified_at)
        return job

    def put(self, job: Job) -> Job:
        """Store `job` as somebody else would have."""
        self.jobs[job.id] = job
        return job

    async def _enter(self, method: str) -> None:
        self.calls.append(method)
        await self._clock.sleep(self.pauses.get(method, 0))
        if self.down:
            raise StoreUnavailable("the database is down")
        _raise_next(self.faults.get(method))

    def _leave(self, method: str, *what: str) -> None:
        self.journal.append(" ".join([method, *what]))
        _raise_next(self.lost.get(method))


def _raise_next(faults: "deque[BaseException | None] | None") -> None:
    if faults and (fault := faults.popleft()):
        raise fault


class ScriptedDeadLetters(MemoryDeadLetterStore):
    """A dead-letter store that can be `down`: then it raises `StoreUnavailable`. While it `hangs`
    a call never returns.
    """

    def __init__(self, journal: list[str] | None = None) -> None:
        super().__init__()
        self.journal = journal if journal is not None else []
        self.down = self.hangs = False
        self.calls = 0

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """See the port."""
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise StoreUnavailable("the database is down")
        told = await super().record(letters)
        self.journal.extend(f"quarantine {letter.message_id}" for letter in letters)
        return told


class RecordedAlerts:
    """`deletion.alerts.Alerts` that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Alert] = []

    def tell(self, alert: Alert) -> None:
        """See the port."""
        self.told.append(alert)


Action = Exception | Callable[[], object] | float | None
"""What happens before a batch: an error, a call (awaited if need be), seconds, or nothing."""


@dataclass
class ScriptedStep:
    """A step that deletes numbered items from `data` by bot, `batch_size` at a time.

    Before each batch it takes one action of `script`, before each read-back one of
    `read_script`; when they are used up it just works, `seconds` for each batch. `cursors`
    are what it was started from, `deleted` the items in the order they went. With `tells_last` the
    batch behind which nothing is left says so.
    """

    name: str
    data: dict[str, list[int]]
    clock: VirtualClock
    batch_size: int = 2
    seconds: float = 0
    script: deque[Action] = field(default_factory=deque)
    read_script: deque[Action] = field(default_factory=deque)
    cursors: list[str | None] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    read_backs: int = 0
    tells_last: bool = False

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete behind `cursor`: what lies before it is the read-back's to find."""
        self.cursors.append(cursor)
        last = -1 if cursor is None else int(cursor)
        while True:
            await self._act(self.script)
            await self.clock.sleep(self.seconds)
            batch = sorted(i for i in self.data.get(bot_id, []) if i > last)[: self.batch_size]
            if not batch:
                return
            self.data[bot_id] = [i for i in self.data[bot_id] if i not in batch]
            self.deleted += batch
            last = batch[-1]
            is_last = self.tells_last and not any(i > last for i in self.data[bot_id])
            yield Batch(len(batch), str(last), is_last)
            if is_last:
                return

    async def is_empty(self, bot_id: str) -> bool:
        """Whether `data` holds nothing of the bot."""
        self.read_backs += 1
        await self._act(self.read_script)
        return not self.data.get(bot_id)

    async def _act(self, script: deque[Action]) -> None:
        action = script.popleft() if script else None
        if isinstance(action, Exception):
            raise action
        if isinstance(action, (int, float)):
            await self.clock.sleep(action)
        elif action is not None and isinstance(answer := action(), Awaitable):
            await answer


def unpaced(service: str, *steps: Step) -> Plan:
    """A plan whose steps go as fast as they can, and never rest."""
    return Plan(service, steps, paces={step.name: UNPACED for step in steps})


def items(bots: Iterable[str], each: int) -> dict[str, list[int]]:
    """Data of several bots, `each` items of each."""
    return {bot: list(range(each)) for bot in bots}


def statuses(jobs: Mapping[str, Job]) -> dict[str, Status]:
    """Where each job stands."""
    return {job_id: job.status for job_id, job in jobs.items()}


POLICY = LeasePolicy(timedelta(seconds=60), max_attempts=3)
SERVICE = "conversations"
BOT = "65f0a1b2c3d4e5f607182930"
OTHER_BOT = "65f0a1b2c3d4e5f607182999"


def a_job(status: Status = Status.IN_PROGRESS, **values: Any) -> Job:
    """A job of its own event; `values` are fields of `Job`."""
    fields: dict[str, Any] = {
        "id": "65f0a1b2c3d4e5f607180001",
        "service": SERVICE,
        "bot_id": BOT,
        "event_ids": (str(uuid.uuid4()),),
        "status": status,
        "attempt": 1,
        "claimed_by": "worker-1/a",
        "placed_at": START - timedelta(minutes=5),
        "created_at": START,
        "last_modified_at": START,
        "due": START if status is Status.PENDING else None,
    }
    return Job(**(fields | values))


def placed(
    bot_id: str = BOT, event_id: str | None = None, timestamp: datetime = START
) -> BotDeletionSubject:
    """The event that asks for a bot to be deleted."""
    event = RequestPlaced(timestamp)
    return BotDeletionSubject(event_id or str(uuid.uuid4()), timestamp, bot_id, event)
