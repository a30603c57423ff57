"""The faults of the demo: a consumer is killed, another terminated, and the billing API is down."""

import signal
import time
from asyncio import Task, create_task, sleep, wait
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from rich.text import Text

from botdel.local.billing import Mood
from botdel.local.installation import Installation
from botdel.local.proof import Proof
from botdel.local.sample_data import Accounts
from deletion.breaker import BreakerPolicy, BreakerStore
from deletion.job import Job, Status
from deletion.ports import JobStore
from deletion.side_by_side import side_by_side

SIGNAL_AT: Final = 0.25
"""The share of its items that a consumer has deleted when it is killed or terminated."""
STOP_WITHIN: Final = 30.0
"""Seconds for a consumer to end after a signal."""
DOWN_FOR: Final = 2.0
"""Seconds for which the API stays down once its breaker is open and a job is parked."""
SEEN_WITHIN: Final = 60.0
"""Seconds for a consumer to be at work, for the breaker to open, and for jobs to be parked."""
LOOK_EVERY: Final = 0.02
"""Seconds between two looks: the work of a consumer lasts some seconds."""
MANY: Final = 1000
UNDER_WAY: Final = 2 * 2
"""Calls to one host that a process may have in flight: the `concurrency` of its step, which is 2,
for deletions and again for read-backs."""

Say = Callable[[Text], None]


@dataclass(frozen=True, slots=True)
class Signals:
    """Ends consumers of `installation` in the middle of their work, and starts them again.

    `share` returns the share of a service's items that is deleted.
    """

    installation: Installation
    jobs: JobStore
    proof: Proof
    share: Callable[[str], Awaitable[float]]

    async def send(self, killed: str, terminated: str, say: Say) -> None:
        """Kill the consumer of one service and terminate that of another. Neither waits for the
        other, whose work goes on meanwhile. Raises `TimeoutError` if one does not get to work.
        """
        both = partial(self._kill, killed, say), partial(self._terminate, terminated, say)
        await side_by_side(both, most=len(both))

    async def _kill(self, service: str, say: Say) -> None:
        """SIGKILL: its jobs go stale."""
        await self._at_work(service)
        process = self.installation.consumer(service)
        process.kill()
        code = await process.wait(STOP_WITHIN)
        self.proof.equal(f"consumer {service} was killed", code, -signal.SIGKILL)
        await self.installation.start_consumer(service)
        say(_signalled("SIGKILL", "red", service))

    async def _terminate(self, service: str, say: Say) -> None:
        """SIGTERM: it hands its jobs over."""
        await self._at_work(service)
        process = self.installation.consumer(service)
        process.terminate()
        code = await process.wait(STOP_WITHIN)
        self.proof.equal(f"consumer {service} handed over and exited with", code, 0)
        failed = await self.jobs.find(service=service, status=Status.FAILED, limit=MANY)
        self.proof.between("jobs it handed over", len(failed))
        await self.installation.start_consumer(service)
        say(_signalled("SIGTERM", "yellow", service))

    async def _at_work(self, service: str) -> None:
        async def deletes() -> bool:
            return await self.share(service) > SIGNAL_AT

        await _until(deletes, f"consumer {service} at work")


@dataclass
class Outage:
    """One outage of the API, which is slow before it: down, then back.

    At the end, `parked` is the number of parked jobs, `calls` the number of calls that the API got
    while it was down, and `seconds` how long it was down.
    """

    api: Accounts
    jobs: JobStore
    breakers: BreakerStore
    service: str
    parked: int = 0
    calls: int = 0
    seconds: float = 0.0

    async def run(self) -> AsyncIterator[Text]:
        """Yield a line for each thing that happens.

        Raises `TimeoutError` if no breaker opens or no job is parked in time.
        """
        await _until(self._has_ended_one, "a deletion that has ended")
        await self.api.feel(Mood.DOWN)
        began = time.monotonic()
        yield _told("was slow, and is down now")
        await _until(self._is_open, "an open breaker")
        yield Text(
            "its circuit breaker is open: no consumer calls it, except for an occasional probe"
        )
        await _until(self._are_parked, "a parked job")
        await sleep(DOWN_FOR)
        self.parked, self.calls = len(await self._parked()), await self.api.calls(Mood.DOWN)
        await self.api.feel(Mood.WELL)
        self.seconds = time.monotonic() - began
        yield _told(f"back, after {self.calls} calls; {self.parked} jobs are parked")

    async def _has_ended_one(self) -> bool:
        return bool(await self.jobs.find(service=self.service, status=Status.COMPLETE, limit=1))

    async def _is_open(self) -> bool:
        return bool(await self.breakers.open_breakers())

    async def _are_parked(self) -> bool:
        return bool(await self._parked())

    async def _parked(self) -> list[Job]:
        found = await self.jobs.find(service=self.service, status=Status.PENDING, limit=MANY)
        return [job for job in found if isinstance(job, Job) and job.parks]


def most_calls(policy: BreakerPolicy, seconds: float) -> int:
    """Return how many calls a breaker lets one process make to a host that is down for `seconds`.

    Each call in flight when the breaker opens may be made twice: a failed call is retried in place
    while no other bot's call has failed, or if an answer from before the outage came in between.
    After that, there is one probe each time the breaker has been open for long enough.
    """
    probes, tried_at = 0, policy.open_for(1, timedelta(0))
    while tried_at.total_seconds() <= seconds:
        probes += 1
        tried_at += policy.open_for(probes + 1, timedelta(0))
    return 2 * UNDER_WAY + probes


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[Sequence[Task[None]]]:
    """Yield a task for each. At the end of the block, those that go on are cancelled."""
    tasks = [create_task(each) for each in coroutines]
    try:
        yield tasks
    finally:
        for each in tasks:
            each.cancel()
        await wait(tasks)


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + SEEN_WITHIN
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not seen within {SEEN_WITHIN:g} s")
        await sleep(LOOK_EVERY)


def _signalled(name: str, colour: str, service: str) -> Text:
    what = f" to consumer {service} during its work; started again"
    return Text.assemble((name, colour), what)


def _told(how: str) -> Text:
    return Text.assemble(("billing API ", "magenta"), how)
