"""A run of a job over parts in memory."""

import asyncio
from dataclasses import replace

from deletion.job import Job, LeasePolicy, StepProgress
from deletion.plan import Plan
from deletion.retry import Retry
from deletion.runner import Runner
from tests.support.clock import VirtualClock
from tests.support.factories import BOT, OTHER_BOT, POLICY, SERVICE, a_job, items
from tests.support.scripted_step import ScriptedStep
from tests.support.scripted_stores import ScriptedStore

PATIENCE = 300
"""Seconds for which errors that may pass are retried in these tests."""


class World:
    """A plan of two steps over five items of the bot each, and as many of another bot."""

    def __init__(
        self,
        *,
        policy: LeasePolicy = POLICY,
        seconds: float = 0,
        kind: type[ScriptedStep] = ScriptedStep,
    ) -> None:
        self.kind = kind
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)
        self.first = self._step("first", seconds)
        self.second = self._step("second", seconds)
        self.plan = Plan(SERVICE, (self.first, self.second))
        self.stopping = asyncio.Event()
        self.batches: list[tuple[str, int]] = []
        self.policy = policy
        self.runner = Runner(
            self.plan,
            self.store,
            self.clock,
            policy,
            stopping=self.stopping,
            retry=Retry(self.clock, attempts=2),
            retry_seconds=PATIENCE,
            on_batch=lambda step, deleted: self.batches.append((step, deleted)),
        )
        steps = (StepProgress("first"), StepProgress("second"))
        self.job = self.store.put(a_job(steps=steps))

    def _step(self, name: str, seconds: float) -> ScriptedStep:
        return self.kind(name, items([BOT, OTHER_BOT], 5), self.clock, seconds=seconds)

    @property
    def stored(self) -> Job:
        return self.store.jobs[self.job.id]

    @property
    def deleted(self) -> tuple[list[int], list[int]]:
        return self.first.deleted, self.second.deleted

    def given(self, *steps: StepProgress) -> None:
        """The job has come so far before this run."""
        self.job = self.store.put(replace(self.job, steps=steps))

    def rob(self) -> None:
        at = max(self.clock.now(), self.stored.last_modified_at + POLICY.stale_after)
        resumed = self.stored.resume(at, POLICY).after
        self.store.put(resumed.claim("worker-2/b", at).after)

    def take_up(self) -> None:
        """Another process claims it, after a sweep where one is needed."""
        if self.stored.due is None:
            self.clock.pause(POLICY.rest_after(self.stored.attempt).total_seconds() + 1)
            self.store.put(self.stored.resume(self.clock.now(), POLICY).after)
        self.job = self.store.put(self.stored.claim("worker-2/b", self.clock.now()).after)

    async def run(self) -> Job | None:
        return await self.runner.run(self.job)
