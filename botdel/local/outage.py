"""An outage of the billing API, for the demo: it is slow already, then down, then back."""

import time
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from botdel.local.billing import Mood
from botdel.local.sample_data import Accounts
from deletion.breaker import BreakerStore
from deletion.job import Job, Status
from deletion.ports import JobStore

DOWN_FOR: Final = 4.0
"""Seconds for which it is down once its breaker is open."""
SEEN_WITHIN: Final = 30.0
"""Seconds for the breaker to open, and for jobs to be parked."""
MANY: Final = 1000


@dataclass
class Outage:
    """One outage. `parked` and `calls` are what was seen of it: jobs that were parked at its end,
    and calls that the API got while it was down.
    """

    api: Accounts
    jobs: JobStore
    breakers: BreakerStore
    service: str
    parked: int = 0
    calls: int = 0

    async def run(self) -> AsyncIterator[Text]:
        """Tell what happens, as it happens. Raises `TimeoutError` when nothing is parked."""
        await _until(self._has_ended_one, "a deletion that has ended")
        await self.api.feel(Mood.DOWN)
        yield _told("was slow, and is down now")
        await _until(self._is_open, "an open breaker")
        yield Text("its circuit breaker has opened: nobody calls it but a probe now and then")
        await _until(self._are_parked, "a parked job")
        await sleep(DOWN_FOR)
        self.parked, self.calls = len(await self._parked()), await self.api.calls(Mood.DOWN)
        await self.api.feel(Mood.WELL)
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


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + SEEN_WITHIN
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not seen within {SEEN_WITHIN:g} s")
        await sleep(0.1)


def _told(how: str) -> Text:
    return Text.assemble(("billing API ", "magenta"), how)
