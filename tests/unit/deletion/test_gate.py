"""All calls to a host go through its gate: bounded, asked for, and told to the breaker."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from deletion.alerts import Alert, AlertKind
from deletion.breaker import Breaker, BreakerPolicy, LocalBreakerStore
from deletion.errors import HttpRefused, HttpUnavailable, Parked, StoreUnavailable
from deletion.gate import KEEP_SECONDS, LEASE_MARGIN, Gate, Gates
from deletion.permits import LONGEST_RETRY, WAIT
from tests.support.alerts import RecordedAlerts
from tests.support.clock import START, VirtualClock, settle

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

HOST = "billing.example"
BOTS = [f"65f0a1b2c3d4e5f6071829{number:02}" for number in range(40)]
ONE, TWO, THREE, FOUR, *_ = BOTS
POLICY = BreakerPolicy()
FIRST = POLICY.first.total_seconds()
CALL = 5.0


class Store(LocalBreakerStore):
    """Counts its calls; takes one fault of `faults` before, one of `lost` behind each change."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.reads = self.writes = 0
        self.faults: deque[Exception | None] = deque()
        self.lost: deque[Exception | None] = deque()
        self.ahead = timedelta(0)
        self.before_apply: Callable[[], None] = lambda: None

    async def get(self, host: str) -> Breaker:
        self.reads += 1
        self._raise(self.faults)
        return await super().get(host)

    async def apply(self, before: Breaker, after: Breaker) -> bool:
        self.writes += 1
        self._raise(self.faults)
        self.before_apply()
        done = await super().apply(before, after)
        self._raise(self.lost)
        return done

    async def time(self) -> datetime:
        return await super().time() + self.ahead

    @staticmethod
    def _raise(faults: deque[Exception | None]) -> None:
        if faults and (fault := faults.popleft()):
            raise fault


class World:
    """Gates of several replicas over one store, to a host that answers as `answer` says."""

    def __init__(self, replicas: int = 1, concurrency: int = 2) -> None:
        self.clock = VirtualClock()
        self.store = Store(self.clock)
        self.alerts = [RecordedAlerts() for _ in range(replicas)]
        self.replicas = [
            Gates(self.store, self.clock, alerts, service="billing") for alerts in self.alerts
        ]
        self.gates = [gates.to(HOST, concurrency) for gates in self.replicas]
        self.made: list[str] = []
        self.answer: Exception | None = None

    async def call(
        self,
        bot: str,
        answer: Exception | None = None,
        *,
        gate: Gate | None = None,
        reads: bool = False,
        seconds: float = 0,
    ) -> None:
        async with (gate or self.gates[0]).call(bot, CALL, reads=reads):
            self.made.append(bot)
            await self.clock.sleep(seconds)
            if answer := answer or self.answer:
                raise answer

    async def parked(
        self, bot: str, answer: Exception | None = None, *, gate: Gate | None = None
    ) -> Parked:
        with pytest.raises(Parked) as caught:
            await self.call(bot, answer, gate=gate)
        return caught.value

    async def open(self) -> None:
        """Two bots fail."""
        with pytest.raises(HttpUnavailable):
            await self.call(ONE, away())
        assert (await self.parked(TWO, away())).has_called

    @property
    def stored(self) -> Breaker:
        return self.store.breakers[HOST]


def away(retry_after: float | None = None) -> HttpUnavailable:
    return HttpUnavailable(f"DELETE {HOST} answered 503", retry_after=retry_after)


@pytest.fixture
def world() -> World:
    return World()


# --- closed


@pytest.mark.proves("breaker-costs")
async def test_calls_that_succeed_write_nothing_and_read_once_a_second(world: World) -> None:
    for _ in range(100):
        await world.call(ONE)
        await world.clock.sleep(0.1)
    assert world.store.writes == 0
    assert world.store.reads == pytest.approx(10 / KEEP_SECONDS, abs=1)


async def test_one_bad_bot_never_opens_it(world: World) -> None:
    for _ in range(100):
        with pytest.raises(HttpUnavailable):
            await world.call(ONE, away())
        await world.clock.sleep(60)
    assert world.alerts[0].told == []


async def test_a_success_between_two_failures_keeps_it_closed(world: World) -> None:
    for bot in BOTS:
        with pytest.raises(HttpUnavailable):
            await world.call(bot, away())
        await world.call(THREE)
    assert not world.stored.is_open


async def test_a_call_that_only_reads_does_not_outweigh_a_deletion_that_failed(
    world: World,
) -> None:
    with pytest.raises(HttpUnavailable):
        await world.call(ONE, away())
    await world.call(THREE, reads=True)
    assert (await world.parked(TWO, away())).has_called


async def test_a_refusal_is_an_answer_and_no_failure_of_the_host(world: World) -> None:
    for bot in BOTS:
        with pytest.raises(HttpRefused):
            await world.call(bot, HttpRefused("403"))
    assert HOST not in world.store.breakers


# --- open


async def test_the_call_that_opens_it_is_parked_with_its_attempt_spent(world: World) -> None:
    await world.open()
    assert world.stored.is_open
    parked = await world.parked(TWO)
    assert parked.until == START + 2 * POLICY.first


@pytest.mark.proves("parked-attempt")
async def test_while_it_is_open_no_call_is_made_and_no_attempt_is_spent(world: World) -> None:
    await world.open()
    made = len(world.made)
    for bot in BOTS[2:]:
        parked = await world.parked(bot)
        assert (parked.until, parked.has_called) == (START + POLICY.first, False)
    assert len(world.made) == made


async def test_a_call_that_was_under_way_when_it_opened_changes_nothing(world: World) -> None:
    slow = [asyncio.create_task(world.call(bot, away(), seconds=3)) for bot in (THREE, FOUR)]
    await asyncio.sleep(0)
    await world.clock.sleep(0.1)
    await world.open()
    opened = world.stored
    for ended in await asyncio.gather(*slow, return_exceptions=True):
        assert isinstance(ended, Parked)
        assert ended.has_called, "it was made"
    assert world.stored == opened


async def test_an_answer_that_comes_after_it_has_opened_leaves_it_to_the_probe(
    world: World,
) -> None:
    slow = asyncio.create_task(world.call(THREE, seconds=3))
    await world.clock.sleep(0.1)
    await world.open()
    await slow
    assert world.stored.is_open


@pytest.mark.proves("breaker-alert")
async def test_of_replicas_that_see_it_fail_at_once_exactly_one_alerts() -> None:
    world = World(replicas=8)
    calls = [
        world.call(bot, away(), gate=gate, seconds=1)
        for bot, gate in zip(BOTS, world.gates, strict=False)
    ]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, HttpUnavailable | Parked) for each in ended)
    told = [alert for alerts in world.alerts for alert in alerts.told]
    assert told == [Alert(AlertKind.BREAKER_OPEN, "billing", HOST, HOST)]
    assert world.stored.trips == 1


@pytest.mark.proves("one-probe")
async def test_a_restarted_replica_does_not_call_a_host_that_is_down(world: World) -> None:
    await world.open()
    restarted = Gates(world.store, world.clock).to(HOST, 2)
    assert not (await world.parked(THREE, gate=restarted)).has_called


async def test_a_clock_that_is_off_the_databases_changes_no_duration(world: World) -> None:
    world.store.ahead = timedelta(hours=-7)
    await world.open()
    assert (await world.parked(THREE)).until == START + POLICY.first
    await world.clock.sleep(FIRST)
    await world.call(THREE)
    assert not world.stored.is_open


class Ahead:
    """The same time, on a machine whose clock is three hours ahead."""

    def __init__(self, clock: VirtualClock) -> None:
        self.monotonic, self.sleep = clock.monotonic, clock.sleep
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now() + timedelta(hours=3)


async def test_a_replica_whose_clock_is_wrong_waits_as_long_as_the_others(world: World) -> None:
    await world.open()
    clock = Ahead(world.clock)
    parked = await world.parked(THREE, gate=Gates(world.store, clock).to(HOST, 2))
    assert parked.until - clock.now() == POLICY.first, "due by the clock that claims it"


# --- half open


@pytest.mark.proves("one-probe")
async def test_of_all_replicas_one_probes_at_a_time_and_a_success_closes_it() -> None:
    world = World(replicas=8)
    await world.open()
    await world.clock.sleep(FIRST)
    calls = [
        world.call(bot, gate=gate, seconds=2)
        for bot, gate in zip(BOTS[2:], world.gates, strict=False)
    ]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["NoneType"] + ["Parked"] * 7
    assert not any(each.has_called for each in ended if isinstance(each, Parked))
    assert len(world.made) == 3
    assert not world.stored.is_open
    await world.clock.sleep(KEEP_SECONDS)
    for gate in world.gates:
        await world.call(ONE, gate=gate)


@pytest.mark.proves("parked-attempt")
async def test_a_probe_that_fails_spends_an_attempt_and_opens_it_for_longer(world: World) -> None:
    await world.open()
    await world.clock.sleep(FIRST)
    parked = await world.parked(THREE, away())
    assert parked.has_called
    assert (await world.parked(FOUR)).until == world.clock.now() + 2 * POLICY.first
    assert len(world.alerts[0].told) == 1, "it was open before"


@pytest.mark.proves("one-bad-bot")
async def test_the_bot_whose_probe_failed_lets_others_go_first(world: World) -> None:
    await world.open()
    await world.clock.sleep(FIRST)
    await world.parked(THREE, away())
    await world.clock.sleep(2 * FIRST)
    assert not (await world.parked(THREE)).has_called
    await world.call(FOUR)
    assert not world.stored.is_open


@pytest.mark.proves("late-prober")
async def test_a_probe_whose_process_was_killed_is_followed_by_another(world: World) -> None:
    await world.open()
    await world.clock.sleep(FIRST)
    killed = asyncio.create_task(world.call(THREE, seconds=3600))
    await world.clock.sleep(0.1)
    killed.cancel()
    until = (await world.parked(FOUR)).until
    assert until - world.clock.now() <= timedelta(seconds=CALL + LEASE_MARGIN)
    await world.clock.sleep(CALL + LEASE_MARGIN)
    await world.call(FOUR)
    assert not world.stored.is_open


@pytest.mark.proves("late-prober")
async def test_a_probe_that_ends_after_its_lease_does_not_overrule_the_next(world: World) -> None:
    await world.open()
    await world.clock.sleep(FIRST)
    late = asyncio.create_task(world.call(THREE, away(), seconds=60))
    await world.clock.sleep(30)
    await world.call(FOUR)
    assert not world.stored.is_open
    with pytest.raises(HttpUnavailable):
        await late
    assert not world.stored.is_open


@pytest.mark.proves("retry-after")
async def test_retry_after_of_the_host_is_how_long_it_stays_open(world: World) -> None:
    with pytest.raises(HttpUnavailable):
        await world.call(ONE, away(600))
    await world.parked(TWO, away(600))
    assert (await world.parked(THREE)).until == START + timedelta(seconds=600)


# --- the database


async def test_without_the_breaker_no_call_is_made(world: World) -> None:
    world.store.faults.append(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await world.call(ONE)
    assert world.made == []


async def test_a_failure_that_cannot_be_recorded_stays_what_it_was(world: World) -> None:
    await world.call(ONE)
    world.store.faults.extend([StoreUnavailable("away")] * 9)
    with pytest.raises(HttpUnavailable):
        await world.call(ONE, away())


async def test_a_success_that_cannot_be_recorded_fails_no_run(world: World) -> None:
    with pytest.raises(HttpUnavailable):
        await world.call(ONE, away())
    world.store.faults.extend([StoreUnavailable("away")] * 3)
    await world.call(TWO)
    assert world.stored.failed_bot == ONE
    await world.call(TWO)
    assert world.stored.failed_bot == "", "the next one tells it"


@pytest.mark.proves("breaker-alert")
async def test_an_opening_whose_answer_was_lost_is_recognised_and_alerted_once(
    world: World,
) -> None:
    with pytest.raises(HttpUnavailable):
        await world.call(ONE, away())
    world.store.lost.append(StoreUnavailable("away"))
    assert (await world.parked(TWO, away())).has_called
    assert len(world.alerts[0].told) == 1
    assert world.stored.trips == 1


async def test_a_record_that_somebody_has_removed_is_a_closed_breaker(world: World) -> None:
    await world.open()
    del world.store.breakers[HOST]
    await world.clock.sleep(KEEP_SECONDS)
    await world.call(THREE)


async def test_a_breaker_that_changes_all_the_time_parks_the_run(world: World) -> None:
    await world.open()
    await world.clock.sleep(FIRST)

    def change() -> None:
        world.store.breakers[HOST] = world.stored.probing(
            f"x{world.store.writes}", START, timedelta(0)
        )

    world.store.before_apply = change
    assert not (await world.parked(THREE)).has_called


# --- permits


async def hold(gate: Gate, clock: VirtualClock, seconds: float) -> float:
    """Hold a permit for some seconds. Returns when it was given."""
    async with gate.permit():
        began = clock.monotonic()
        await clock.sleep(seconds)
    return began


async def slow(world: World) -> None:
    """Let the gate see that permits of this host are held for four seconds each."""
    for _ in range(20):
        await hold(world.gates[0], world.clock, 4)


async def test_one_call_more_than_a_slow_host_has_permits_is_parked_and_does_not_wait(
    world: World,
) -> None:
    await slow(world)
    [gate] = world.gates
    async with gate.permit(), gate.permit():
        before = world.clock.now()
        with pytest.raises(Parked) as caught:
            await hold(gate, world.clock, 0)
    assert not caught.value.has_called
    wait = (caught.value.until - before).total_seconds()
    assert wait == pytest.approx(4, abs=0.1), "about as long as a permit is held"
    await asyncio.gather(*(hold(gate, world.clock, 0) for _ in range(2)))


@pytest.mark.proves("permits")
async def test_calls_that_hang_make_nobody_wait_for_longer_than_a_moment(world: World) -> None:
    [gate] = world.gates
    async with gate.permit(), gate.permit():
        for seconds in (WAIT, 0):
            before = world.clock.now()
            with pytest.raises(Parked) as caught:
                await hold(gate, world.clock, 0)
            assert world.clock.now() - before == timedelta(seconds=seconds)
        assert caught.value.until - world.clock.now() <= timedelta(seconds=LONGEST_RETRY)


async def test_at_a_quick_host_runs_take_turns_within_the_bound(world: World) -> None:
    [gate] = world.gates
    began = await asyncio.gather(*(hold(gate, world.clock, 0.05) for _ in range(8)))
    assert began == pytest.approx([0, 0, 0.05, 0.05, 0.1, 0.1, 0.15, 0.15])


async def test_a_run_that_is_cancelled_while_it_waits_leaves_its_permit_to_the_next(
    world: World,
) -> None:
    [gate] = world.gates
    runs = [asyncio.create_task(hold(gate, world.clock, 0.05)) for _ in range(4)]
    await world.clock.sleep(0.01)
    runs[2].cancel()
    await asyncio.wait(runs)
    assert runs[2].cancelled()
    assert runs[3].result() == pytest.approx(0.05)
    began = await asyncio.gather(*(hold(gate, world.clock, 0) for _ in range(2)))
    assert began == [world.clock.monotonic()] * 2, "no permit is lost"


async def test_a_run_that_is_cancelled_as_it_gets_one_loses_no_permit(world: World) -> None:
    [gate] = world.gates
    held = gate.permit()
    async with gate.permit():
        await held.__aenter__()
        waiting = asyncio.create_task(hold(gate, world.clock, 60))
        await settle()
        await held.__aexit__(None, None, None)  # gives it the permit
        waiting.cancel()
        await asyncio.wait({waiting})
        assert await hold(gate, world.clock, 0) == world.clock.monotonic()


async def test_steps_of_one_host_share_the_fewest_permits_any_of_them_names() -> None:
    clock = VirtualClock()
    gates = Gates(LocalBreakerStore(clock), clock)
    first, second = gates.to(HOST, 5), gates.to(HOST, 3)
    assert first is second
    assert first.concurrency == 3


async def test_it_says_of_every_host_of_the_plan_whether_its_breaker_is_open(world: World) -> None:
    [gates] = world.replicas
    gates.to("mail.example", 2)
    assert await gates.are_open() == {HOST: False, "mail.example": False}
    await world.open()
    assert await gates.are_open() == {HOST: True, "mail.example": False}
