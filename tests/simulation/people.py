"""Who is outside of the installation: clients that delete bots, and operators."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from deletion.bus import Message
from deletion.dead_letter import DeadLetterStatus
from deletion.errors import BusUnavailable, EventError, StoreUnavailable
from deletion.events import decode, to_message
from deletion.job import Job, Status
from deletion.operating.acting import Tally, act_on
from deletion.operating.dead_letters import Choice, Replay
from deletion.operating.jobs import Choice as Jobs
from deletion.operating.jobs import retry_jobs
from tests.simulation.fleet import Fleet
from tests.simulation.process import Process
from tests.simulation.reached import reached
from tests.simulation.schedule import GATEWAY, Action, Decide
from tests.simulation.world import World
from tests.support.killed import Killed

ARRIVE_WITHIN = 20.0
"""Seconds over which the requests of a scenario come in."""
NEW = Choice(status=DeadLetterStatus.NEW)
TRIES = 3
"""Of a client, with its idempotency key."""


class People:
    """They act by themselves, and where a decision says so."""

    def __init__(self, world: World, decide: Decide) -> None:
        self._world = world
        self.fleet = Fleet(world, decide, self._act)
        self._gateway = self.fleet.process(GATEWAY)
        self._acting: set[asyncio.Task[Any]] = set()

    @property
    def are_busy(self) -> bool:
        """Whether something they have begun is not over yet."""
        return bool(self._acting)

    async def come(self) -> None:
        """The traffic of the scenario; returns when the last request was answered or given up."""
        world, scenario = self._world, self._world.scenario
        bots = [*world.bots, *world.rng.choices(world.bots, k=scenario.again)]
        visits = [self._request(bot) for bot in bots]
        visits += [self._poison(number) for number in range(scenario.poison)]
        await asyncio.gather(*(self._some_time(visit) for visit in visits))

    async def ask_for(self, bots: Iterable[str]) -> None:
        """A request for each of the bots, all at once."""
        await asyncio.gather(*(self._request(bot) for bot in bots))

    async def replay_all(self) -> None:
        """What an operator does about dead letters once the cause is gone."""
        letters, topic = self._world.letters, self._world.broker.topic
        replay = Replay(letters, topic, _check_attached, force=True)
        await act_on(NEW.pages(letters), replay, Tally())

    @property
    def has_dead_events(self) -> bool:
        """Whether a new dead letter carries an event."""
        letters = self._world.letters.letters.values()
        return any(each.status is DeadLetterStatus.NEW and _is_event(each.data) for each in letters)

    async def retry_exhausted(self) -> None:
        """And about jobs."""
        world = self._world
        ids = [job.id for job in self.exhausted()]
        await retry_jobs(Jobs(ids), world.store, world.clock, world.policy, Tally())

    async def retry_compensated(self) -> list[Job]:
        """And about what was undone, now that nothing is wrong. Returns what was sent on."""
        world = self._world
        jobs = list(world.jobs.jobs.values())
        undone = [job for job in jobs if job.status is Status.COMPENSATED]
        undone = [job for job in undone if job.bot_id != world.cursed]
        tally, choice = Tally(), Jobs([job.id for job in undone])
        await retry_jobs(choice, world.store, world.clock, world.policy, tally)
        return [job for job in undone if job.id in tally.done]

    def exhausted(self) -> list[Job]:
        """The jobs that only an operator can send on, but for those that no one can."""
        jobs = self._world.jobs.jobs.values()
        exhausted = [job for job in jobs if job.status is Status.EXHAUSTED]
        return [job for job in exhausted if job.bot_id != self._world.cursed]

    def _act(self, action: Action) -> None:
        match action:
            case Action.DUPLICATE:
                for subscription in self._world.broker.subscriptions:
                    subscription.deliver_again()
            case Action.SWEEP:
                self.fleet.sweep()
            case Action.RETRY:
                self._go(self._command(self._retry))
            case Action.REPLAY:
                self._go(self._command(self._replay))
            case Action.REQUEST:
                self._go(self._request(self._world.rng.choice(self._world.bots)))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)

    async def _some_time(self, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.sleep(self._world.rng.uniform(0, ARRIVE_WITHIN))
        await work

    async def _request(self, bot: str) -> None:
        """A DELETE, tried again when it is not answered; a bot may have new rows by then."""
        if any(request.subject.bot_id == bot for request in self._world.requests):
            self._world.write(bot)
        request = self._world.place(bot)
        message = to_message(request.subject)
        for _ in range(TRIES):
            with suppress(BusUnavailable):
                await self._publish(message)
                request.is_accepted = True
                break
        if self._world.scenario.duplicates:
            with suppress(BusUnavailable):
                await self._publish(message)

    async def _poison(self, number: int) -> None:
        message = Message(b"\xff" + bytes([number]), {})
        with suppress(BusUnavailable):
            await self._publish(message)
            self._world.poison.append(message)

    async def _publish(self, message: Message) -> None:
        topic = reached(self._gateway, "topic", self._world.broker.topic, BusUnavailable)
        await self._gateway.spawn(topic.publish(message))

    async def _command(self, act: Callable[[Process], Awaitable[None]]) -> None:
        """An operator's command is a process too."""
        command = self.fleet.process("operator")
        with suppress(Killed):
            await command.spawn(self.fleet.expecting(act(command)))

    async def _retry(self, command: Process) -> None:
        """`botdel jobs retry` for the job that has waited longest."""
        world = self._world
        store = reached(command, "store", world.store, StoreUnavailable)
        jobs = [job for job in world.jobs.jobs.values() if job.status is not Status.COMPLETE]
        for job in sorted(jobs, key=lambda job: job.last_modified_at)[:1]:
            await retry_jobs(Jobs([job.id]), store, world.clock, world.policy, Tally())

    async def _replay(self, command: Process) -> None:
        """`botdel dead-letters replay --all`."""
        letters = reached(command, "letters", self._world.letters, StoreUnavailable)
        topic = reached(command, "topic", self._world.broker.topic, BusUnavailable)
        await act_on(NEW.pages(letters), Replay(letters, topic, _check_attached), Tally())


async def _check_attached(_service: str) -> None:
    """Every subscription is there."""


def _is_event(data: bytes) -> bool:
    try:
        decode(data)
    except EventError:
        return False
    return True
