"""What the tests of recovery share: jobs, a bus that records, and a sweeper over them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count

from deletion.alerts import AlertKind
from deletion.bus import Message
from deletion.errors import BusUnavailable
from deletion.events import ResumeRequested, decode
from deletion.job import Failure, Job, LeasePolicy, Status
from deletion.retry import Retry
from recovery.sweeper import Sweeper
from tests.support.fakes import START, RecordedAlerts, VirtualClock
from tests.support.memory_stores import MemoryJobStore
from tests.support.memory_sweeps import MemorySweepStore

POLICY = LeasePolicy(timedelta(seconds=600), max_attempts=5)
LONG_AGO = START - timedelta(days=1)


class RecordingPublisher:
    """Keeps what is published; fails instead for as long as `refusing` says so."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refusing: Callable[[Message], bool] = lambda _: False

    async def publish(self, message: Message) -> None:
        if self.refusing(message):
            raise BusUnavailable("Pub/Sub is away")
        self.messages.append(message)

    @property
    def resumed(self) -> list[str]:
        """Ids of the jobs whose resumption was requested, in order."""
        return [request_of(message).job_id for message in self.messages]


class Jobs(MemoryJobStore):
    """A store that is easy to fill."""

    def add(
        self,
        status: Status = Status.FAILED,
        *,
        attempt: int = 1,
        modified: datetime = LONG_AGO,
        service: str = "service-a",
    ) -> str:
        """The id of a new job of its own bot and event."""
        job_id = self.new_id()
        self.jobs[job_id] = Job(
            id=job_id,
            service=service,
            bot_id=job_id,
            event_id=f"00000000-0000-4000-8000-{int(job_id, 16):012x}",
            status=status,
            attempt=attempt,
            claimed_by="a run",
            placed_at=LONG_AGO,
            created_at=LONG_AGO,
            last_modified_at=modified,
            failure=Failure("Boom", "it broke", LONG_AGO) if status is Status.FAILED else None,
        )
        return job_id


class World:
    """A sweeper over parts in memory."""

    def __init__(self, *, page_size: int = 3) -> None:
        self.clock = VirtualClock()
        self.jobs = Jobs()
        self.sweeps = MemorySweepStore()
        self.publisher = RecordingPublisher()
        self.alerts = RecordedAlerts()
        self.sweeper = Sweeper(
            jobs=self.jobs,
            sweeps=self.sweeps,
            publisher=self.publisher,
            clock=self.clock,
            policy=POLICY,
            retry=Retry(self.clock, attempts=4),
            page_size=page_size,
            alerts=self.alerts,
            stale_share=0.5,
        )

    @property
    def given_up(self) -> list[str]:
        """Ids of the jobs that somebody was told are exhausted, in order."""
        return [a.example for a in self.alerts.told if a.kind is AlertKind.JOB_EXHAUSTED]


def request_of(message: Message) -> ResumeRequested:
    event = decode(message.data).event
    assert isinstance(event, ResumeRequested)
    return event


def failing_times(times: int) -> Callable[[Message], bool]:
    """True for the first `times` calls."""
    calls: Iterator[int] = count(1)
    return lambda _: next(calls) <= times
