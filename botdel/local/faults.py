"""What breaks during the demo: consumers are killed and terminated, and the billing API is down."""

import signal
import time
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from rich.text import Text

from botdel.local.billing import Mood
from botdel.local.installation import Installation
from botdel.local.proof import Proof
from botdel.local.sample_data import Accounts
from deletion.breaker import BreakerPolicy, BreakerStore
from deletion.job import Job, Status
from deletion.ports import JobStore

STOP_WITHIN: Final = 30.0
"""Seconds for a consumer to end after a signal."""
DOWN_FOR: Final = 4.0
"""Seconds for which the API stays down once its breaker is open and a job is parked."""
SEEN_WITHIN: Final = 30.0
"""Seconds for the breaker to open, and for jobs to be parked."""
MANY: Final = 1000
UNDER_WAY: Final = 2 * 2
"""Calls that the one process of a service may have under way at a host: as many deletions, and as
many read-backs, as the `concurrency` of its step, 2."""

Say = Callable[[Text], None]


@dataclass(frozen=True, slots=True)
class Signals:
    """Ends consumers of `installation` by a signal, and starts them again."""

    installation: Installation
    jobs: JobStore
    proof: Proof

    async def kill(self, service: str, say: Say) -> None:
        """SIGKILL: its jobs go stale."""
        process = self.installation.consumer(service)
        process.kill()
        code = await process.wait(STOP_WITHIN)
        say(_signalled("SIGKILL", "red", service))
        self.proof.equal(f"consumer {service} was killed", code, -signal.SIGKILL)
        await self.installation.start_consumer(service)

    async def terminate(self, service: str, say: Say) -> None:
        """SIGTERM: it hands its jobs over."""
        process = self.installation.consumer(service)
        process.terminate()
        code = await process.wait(STOP_WITHIN)
        say(_signalled("SIGTERM", "yellow", service))
        self.proof.equal(f"consumer {service} handed over and exited with", code, 0)
        failed = await self.jobs.find(service=service, status=Status.FAILED, limit=MANY)
        self.proof.between("jobs it handed over", len(failed))
        await self.installation.start_consumer(service)


@dataclass
class Outage:
    """One outage of the API: it is slow already, then down, then back.

    What was seen of it: `parked`, the jobs that were parked at its end; `calls`, those that the API
    got while it was down; `seconds`, how long that was.
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

        Raises `TimeoutError` when nothing is parked.
        """
        await _until(self._has_ended_one, "a deletion that has ended")
        await self.api.feel(Mood.DOWN)
        began = time.monotonic()
        yield _told("was slow, and is down now")
        await _until(self._is_open, "an open breaker")
        yield Text(
            "its circuit breaker has opened: no consumer calls it, except for a probe now and then"
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
        return bool(await self.breakers.opened())

    async def _are_parked(self) -> bool:
        return bool(await self._parked())

    async def _parked(self) -> list[Job]:
        found = await self.jobs.find(service=self.service, status=Status.PENDING, limit=MANY)
        return [job for job in found if isinstance(job, Job) and job.parks]


def most_calls(policy: BreakerPolicy, seconds: float) -> int:
    """How many calls a breaker lets one process make to a host that is down for `seconds`.

    Those that are under way when it opens, each of them twice: a failure is repeated in place as
    long as no other bot's call has failed, or when an answer from before the outage has come in
    between. After that one probe whenever it has been open for long enough.
    """
    probes, tried_at = 0, policy.open_for(1, timedelta(0))
    while tried_at.total_seconds() <= seconds:
        probes += 1
        tried_at += policy.open_for(probes + 1, timedelta(0))
    return 2 * UNDER_WAY + probes


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + SEEN_WITHIN
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not seen within {SEEN_WITHIN:g} s")
        await sleep(0.1)


def _signalled(name: str, colour: str, service: str) -> Text:
    what = f" to consumer {service} in the middle of its work; started again"
    return Text.assemble((name, colour), what)


def _told(how: str) -> Text:
    return Text.assemble(("billing API ", "magenta"), how)
