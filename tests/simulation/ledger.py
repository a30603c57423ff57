"""The request ledger under random faults in virtual time: lost messages, duplicates, other orders,
crashes of the ledger at any await, lost answers, and operators in between.
"""

import asyncio
import random
from collections.abc import Coroutine
from datetime import timedelta
from typing import Final

from structlog.testing import capture_logs

from deletion.bus import Delivery
from deletion.dead_letter import DeadLetterStatus
from deletion.errors import BotDeletionError, BusUnavailable, StoreUnavailable
from deletion.events import decode
from deletion.job import MAX_EVENTS, Status
from deletion.request import DeletionRequest, LedgerPolicy
from recovery.ledger.metrics import PartName
from recovery.ledger.republish import WAIVED_BY
from tests.support.factories import new_job, placed
from tests.support.ledger_world import LedgerWorld
from tests.support.memory_bus import MemorySubscription

POLICY: Final = LedgerPolicy(deadline=timedelta(days=365), missing_after=timedelta(hours=1))
"""A deadline so far away that no warning makes the ledger check once more."""
SERVICES: Final = ("billing", "conversations", "media")
BOTS: Final = 4
REQUESTS: Final = 12
STORM: Final = 4 * 3600.0
"""Seconds with faults."""
CALM: Final = timedelta(hours=40)
"""Longer than the check that follows the one of the last storm."""
EVERY: Final = {
    PartName.SETTLE: 60.0,
    PartName.REPUBLISH: 600.0,
    PartName.WARN: 600.0,
    PartName.ANNOUNCE: 120.0,
    PartName.CALL: 120.0,
}
REPLICAS: Final = 2
BUS: Final = {"publish", "pull", "ack", "subscribed"}


class LedgerSimulation:
    """One run. Everything random comes from `seed`."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311
        self.world = LedgerWorld(*SERVICES, policy=POLICY)
        self.world.fault = self._fault
        self.world.subscribed = list(SERVICES)
        self.subscriptions = {name: self.world.topic.subscribe(pull_wait=60) for name in SERVICES}
        self.running: list[asyncio.Task[None]] = []
        self.stormy = True
        self.placed: list[str] = []
        self.crashes = self.lost = 0
        self.broken: list[str] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """A storm, then calm until everything is settled. Raises `AssertionError`."""
        with capture_logs():
            await self._run()
        self._check_end()

    async def _run(self) -> None:
        await self.world.register()
        people = [self._client(), *(self._consumer(*each) for each in self.subscriptions.items())]
        others = [asyncio.create_task(each) for each in [*people, self._operator(), self._runs()]]
        ledgers = [asyncio.create_task(self._process(number)) for number in range(REPLICAS)]
        await self.world.clock.sleep(STORM)
        self.stormy = False
        try:
            await self._calm()
        finally:
            for task in [*others, *ledgers, *self.running]:
                task.cancel()
            await asyncio.gather(*others, *ledgers, *self.running, return_exceptions=True)

    async def _calm(self) -> None:
        clock = self.world.clock
        latest = clock.now() + CALM
        while not self._all_done() and clock.now() < latest:
            await clock.sleep(600)

    def _all_done(self) -> bool:
        known = self.world.requests.requests
        return all(each in known and not known[each].chores for each in self.placed)

    def _check_end(self) -> None:
        """Every request is settled, announced and called back; no mark is left."""
        assert not self.broken, self.broken
        known = self.world.requests.requests
        assert set(known) == set(self.placed)
        still_open = {each.id: each.owed for each in known.values() if each.settled_at is None}
        assert not still_open, still_open
        assert set(self.world.announced.ids) == set(self.world.called.ids) == set(self.placed)
        assert not self.world.jobs.unreported
        for request in known.values():
            self._check(request)

    def _check(self, request: DeletionRequest) -> None:
        """What is settled is complete, or was waived because an operator discarded it."""
        for share in request.shares:
            if share.settled_at is None:
                continue
            job = self.world.jobs.jobs.get(share.job_id or "")
            is_covered = (
                job is not None
                and job.status is Status.COMPLETE
                and job.service == share.service
                and request.id in job.event_ids
            )
            is_waived = share.waiver is not None and share.waiver.by == WAIVED_BY
            if not (is_covered or (is_waived and self._is_discarded(request.id, share.service))):
                self.broken.append(f"{request.id} settled for {share.service} without a reason")
        if request.settled_at is None and request.id in self.world.announced.ids:
            self.broken.append(f"{request.id} announced while it is owed")

    def _is_discarded(self, event_id: str, service: str) -> bool:
        return any(
            letter.status is DeadLetterStatus.DISCARDED
            and (letter.service, letter.attributes["event_id"]) == (service, event_id)
            for letter in self.world.letters.letters.values()
        )

    # --- the ledger's processes

    async def _process(self, number: int) -> None:
        """A replica that is started again whenever it has crashed."""
        while True:
            seed = self.rng.randrange(1 << 32)
            replica = self.world.replica(every=EVERY, seed=seed)
            task = asyncio.create_task(replica.ledger.run(replica.stopping), name=f"r{number}")
            self.running.append(task)
            try:
                await asyncio.wait({task})
            finally:
                self.running.remove(task)
            await self.world.clock.sleep(self.rng.uniform(1, 300))

    async def _fault(self, call: str, is_done: bool) -> None:
        """Before and after each call of a port: take time, lose the answer, or crash."""
        for request in self.world.requests.requests.values() if call == "save" and is_done else ():
            self._check(request)
        if not self.stormy:
            return
        await self.world.clock.sleep(self.rng.choice([0, 0, 0, 0.05, 2]))
        chance = self.rng.random()
        if chance < 0.002 and self.running:
            self.crashes += 1
            self.rng.choice(self.running).cancel()  # kill -9 of a replica, maybe this one
            await asyncio.sleep(0)
        elif chance < 0.02:
            self.lost += is_done
            raise (BusUnavailable if call in BUS else StoreUnavailable)(f"{call} failed")
        elif chance < 0.025 and call == "call":
            raise BotDeletionError("answered 404")

    # --- everybody else

    async def _client(self) -> None:
        bots = [f"{number:024x}" for number in range(1, 1 + BOTS)]
        for _ in range(REQUESTS):
            await self.world.clock.sleep(self.rng.uniform(0, 600))
            event_id = f"00000000-0000-4000-8000-{self.rng.randrange(1 << 48):012x}"
            subject = placed(self.rng.choice(bots), event_id, self.world.clock.now())
            self.placed.append(event_id)
            for _ in range(self.rng.choice([1, 1, 1, 2])):  # duplicates
                await self.world.place(subject)

    async def _consumer(self, service: str, subscription: MemorySubscription) -> None:
        """Records jobs in any order, hours late; loses some messages, quarantines others."""
        while True:
            for delivery in await subscription.pull(20):
                if delivery.message.attributes.get("service", service) == service:
                    self._soon(self._take(service, subscription, delivery))
                else:
                    await subscription.ack([delivery])

    async def _take(
        self, service: str, subscription: MemorySubscription, delivery: Delivery
    ) -> None:
        await self.world.clock.sleep(self.rng.choice([0, 1, 30, 600, 3000]))
        chance = self.rng.random() if self.stormy else 1.0
        subject = decode(delivery.message.data)
        if chance > 0.3:
            job = new_job(
                Status.PENDING,
                service=service,
                bot_id=subject.bot_id,
                event_ids=(subject.event_id,),
                id=self.world.jobs.new_id(),
                due=self.world.clock.now(),
            )
            await self.world.jobs.record([job])
        elif chance > 0.2:
            await self.world.quarantine(subject.event_id, service)
        if chance > 0.1:  # else the ack is lost, or the message was: nobody gets it again
            await subscription.ack([delivery])

    async def _runs(self) -> None:
        """Jobs are claimed and complete; some are rolled back and retried by an operator."""
        jobs = self.world.jobs
        while True:
            await self.world.clock.sleep(self.rng.uniform(1, 300))
            now = self.world.clock.now()
            for job in list(jobs.jobs.values()):
                assert len(job.event_ids) <= MAX_EVENTS
                if job.status is Status.PENDING and self.rng.random() < 0.3:
                    await jobs.apply(job.claim(f"{job.id}/{now}", now))
                elif job.status is Status.IN_PROGRESS and self.rng.random() < 0.3:
                    await jobs.apply(job.complete(now))

    async def _operator(self) -> None:
        """Discards or replays dead letters, an hour or so later."""
        letters = self.world.letters
        while True:
            await self.world.clock.sleep(self.rng.uniform(600, 6000))
            for letter in list(letters.letters.values()):
                if letter.status is not DeadLetterStatus.NEW:
                    continue
                discards = self.rng.random() < 0.5
                event_id = letter.attributes["event_id"]
                if discards:
                    await letters.mark(letter, DeadLetterStatus.DISCARDED)
                    continue
                await letters.mark(letter, DeadLetterStatus.REPLAYED)
                request = self.world.requests.requests.get(event_id)
                if request:
                    job = new_job(
                        Status.PENDING,
                        service=letter.service,
                        bot_id=request.bot_id,
                        event_ids=(event_id,),
                        id=self.world.jobs.new_id(),
                        due=self.world.clock.now(),
                    )
                    await self.world.jobs.record([job])

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
