"""`botdel topology apply` says what is in place and what differs."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from botdel import topology
from botdel.terminal import console
from deletion.adapters.pubsub.topology import Applied
from deletion.adapters.pubsub.wanted import DELETED_TOPIC, Difference
from deletion.errors import (
    BuildInterrupted,
    BusUnavailable,
    ConfigurationError,
    StoreUnavailable,
    TopologyMissing,
    Unregistered,
)
from deletion.process.settings import load
from deletion.process.store_settings import TopologySettings
from deletion.request import MAX_SERVICES
from recovery.ledger.owing import Owing, Subscribed
from tests.support.clock import START, VirtualClock
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.memory_requests import MemoryServiceStore


def subscribed_to(*services: str) -> Subscribed:
    async def subscribed() -> Collection[str]:
        return services

    return subscribed


class Topology:
    """Something differs in it, and something was sought back."""

    different = Difference(f"of {HOSTILE}", "filter", HOSTILE, "NOT attributes")

    async def apply(self, services: Sequence[str], *, only_services: bool) -> Applied:
        return Applied([self.different], [f"new {HOSTILE}"])

    async def services(self) -> list[str]:
        return ["analytics", "billing", "chat"]


class Bus(nullcontext["Bus"]):
    topology = Topology()

    def __init__(self, _: object) -> None:
        super().__init__(self)


class Clients(nullcontext["Clients"]):
    def __init__(self, _: object) -> None:
        super().__init__(self)

    def get(self) -> dict[str, None]:
        return defaultdict(lambda: None)


async def nothing(*_: object, **__: object) -> None:
    """Indexes are in place."""


RECORDED = MemoryServiceStore()
"""`chat` and `analytics`, which is retired."""


@pytest.fixture
async def recorded() -> None:
    await RECORDED.register(["analytics", "chat"], START)
    await RECORDED.retire("analytics", "ann", "shut down", START)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> TopologySettings:
    """Of an installation whose topology is `Topology`."""
    monkeypatch.setattr("botdel.terminal.WIDE", 1_000)
    monkeypatch.setattr(topology, "connected_bus", Bus)
    monkeypatch.setattr(topology, "connected_clients", Clients)
    monkeypatch.setattr(topology, "prepare_indexes", nothing)
    monkeypatch.setattr(topology, "apply_retention", nothing)
    monkeypatch.setattr(topology, "owing_services", nothing)
    monkeypatch.setattr(topology, "register_services", nothing)
    monkeypatch.setattr(topology, "MongoServiceStore", lambda *_: RECORDED)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    return load(TopologySettings)


async def test_what_a_broker_has_does_not_act_on_the_terminal(
    settings: TopologySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await topology.apply(settings, []) == 1
    said = capsys.readouterr().out
    assert f"differs of {SHOWN}: filter is '{SHOWN}', expected 'NOT attributes'" in said
    assert f"subscription new {SHOWN}: sought back, to get what its topic kept" in said
    assert harmless(said)


@pytest.mark.proves("subscription-kept")
async def test_a_subscription_that_lost_its_topic_is_not_to_be_deleted_before_it_is_empty(
    settings: TopologySettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Difference("bot-deletion.chat", "topic", DELETED_TOPIC, "bot-deletion")
    monkeypatch.setattr(Topology, "different", lost)
    assert await topology.apply(settings, []) == 1
    said = capsys.readouterr().out
    assert said.index("still get what it holds") < said.index("once it is empty, delete it")
    assert "gcloud" not in said


@pytest.mark.usefixtures("recorded")
async def test_a_service_that_would_owe_nothing_although_it_gets_requests_is_named(
    settings: TopologySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    await topology.apply(settings, [])
    said = [line for line in capsys.readouterr().out.splitlines() if "not registered" in line]
    assert said == [
        "not registered service billing: the ledger records nothing until its plan is applied"
    ]


@pytest.mark.virtual_time
async def test_services_that_became_too_many_meanwhile_leave_subscriptions_to_delete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are there before the services are registered, and stop the ledger for all the others."""
    full = MemoryServiceStore()
    await full.register([f"service-{number}" for number in range(MAX_SERVICES)], START)
    monkeypatch.setattr(topology, "MongoServiceStore", lambda *_: full)
    plans = [SimpleNamespace(service="mine"), SimpleNamespace(service="service-7")]
    with pytest.raises(ConfigurationError, match="mine would make it 501") as refused:
        await topology.register_services(None, "d", plans, (), console())  # type: ignore[arg-type]
    assert "until mine is registered, or its subscription deleted" in refused.value.remedy
    with pytest.raises(Unregistered, match="mine"):
        await Owing(full, subscribed_to("mine"), VirtualClock()).services()


class Answers:
    """`apply`, each call of which has the next of these outcomes."""

    def __init__(self, *outcomes: int | Exception) -> None:
        self.outcomes = list(outcomes)

    async def __call__(self) -> int:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "passing", [StoreUnavailable("down"), BusUnavailable("down"), TopologyMissing("no topic")]
)
async def test_what_may_pass_is_waited_for_and_said(
    passing: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await topology.apply_within(Answers(passing, passing, 0), 600, VirtualClock())
    assert code == 0
    assert capsys.readouterr().err == f"botdel: {passing}; it is tried again\n" * 2


@pytest.mark.virtual_time
async def test_what_does_not_pass_is_waited_for_no_longer_than_asked() -> None:
    clock, apply = VirtualClock(), Answers(*[StoreUnavailable("down")] * 100)
    began = clock.monotonic()
    with pytest.raises(StoreUnavailable):
        await topology.apply_within(apply, 600, clock)
    assert 600 <= clock.monotonic() - began <= 600 + topology.LONGEST_PAUSE
    with pytest.raises(StoreUnavailable):
        await topology.apply_within(apply, 0, clock)


@pytest.mark.virtual_time
@pytest.mark.parametrize("outcome", [1, ConfigurationError("a plan is wrong")])
async def test_what_a_repeat_does_not_mend_is_not_repeated(outcome: int | Exception) -> None:
    apply = Answers(outcome)
    with nullcontext() if outcome == 1 else pytest.raises(ConfigurationError):
        assert await topology.apply_within(apply, 600, VirtualClock()) == 1
    assert apply.outcomes == []


class Building:
    """`apply` of which each try but the last fails after these seconds."""

    def __init__(
        self, clock: VirtualClock, *seconds: float, error: type[StoreUnavailable] = BuildInterrupted
    ) -> None:
        self.clock = clock
        self.seconds = list(seconds)
        self.error = error

    async def __call__(self) -> int:
        if not self.seconds:
            return 0
        await self.clock.sleep(self.seconds.pop(0))
        raise self.error("an election")


@pytest.mark.virtual_time
async def test_the_seconds_to_wait_count_from_the_first_failure() -> None:
    clock = VirtualClock()
    assert await topology.apply_within(Building(clock, 100, 3), 60, clock) == 0


@pytest.mark.virtual_time
async def test_a_build_of_many_hours_goes_on_after_each_election() -> None:
    clock, hours = VirtualClock(), 3600.0
    apply = Building(clock, 8 * hours, 3, 3, 5 * hours, 3)
    assert await topology.apply_within(apply, 600, clock) == 0
    assert apply.seconds == []


@pytest.mark.virtual_time
async def test_after_a_long_build_a_database_is_waited_for_as_long_as_asked() -> None:
    clock = VirtualClock()
    apply, began = Building(clock, 3600, *[10] * 100), clock.monotonic()
    with pytest.raises(StoreUnavailable):
        await topology.apply_within(apply, 600, clock)
    latest = topology.LONGEST_PAUSE + 10
    assert 3600 + 600 <= clock.monotonic() - began <= 3600 + 600 + latest


@pytest.mark.virtual_time
async def test_tries_that_only_wait_for_an_answer_are_no_progress() -> None:
    clock = VirtualClock()
    began = clock.monotonic()
    with pytest.raises(StoreUnavailable):
        await topology.apply_within(Building(clock, *[100] * 100), 600, clock)
    assert clock.monotonic() - began <= 100 + 600 + topology.LONGEST_PAUSE + 100


@pytest.mark.virtual_time
async def test_many_short_calls_before_a_database_that_is_down_are_no_progress() -> None:
    """Such as two looks at the subscription of each of 500 services; otherwise it never ended."""
    clock = VirtualClock()
    began, longest = clock.monotonic(), topology.PROGRESS_SECONDS + 10
    apply = Building(clock, *[longest] * 100, error=StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        await topology.apply_within(apply, 600, clock)
    assert clock.monotonic() - began <= longest + 600 + topology.LONGEST_PAUSE + longest
