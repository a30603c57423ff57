"""`botdel demo`: its signals, and what its bars and its proof say at the end."""

import asyncio
import os
import signal
from datetime import timedelta
from io import StringIO
from typing import Any, ClassVar, cast

import pytest

from botdel.local.demo import Demo, leave_open
from botdel.local.faults import SIGNAL_AT, UNDER_WAY, Signals, most_calls
from botdel.local.installation import Installation
from botdel.local.proof import Proof, end_bars
from botdel.terminal import Bars, Terminal
from deletion.breaker import BreakerPolicy
from deletion.errors import BotDeletionError
from tests.support.memory_stores import MemoryJobStore
from tests.support.polling import SOON


def ended(gone: dict[str, int], counted: dict[str, int]) -> tuple[dict[str, float], str]:
    """Where the bars of two services end, of 100 items each, and what is said."""
    out = StringIO()
    progress = Bars(Terminal(file=out, width=200), "items")
    tasks = {service: progress.add_task(service, total=100) for service in gone}
    end_bars(progress, tasks, gone, counted)
    return {task.description: task.completed for task in progress.tasks}, out.getvalue()


def test_what_was_deleted_before_a_kill_and_not_counted_is_said_and_in_the_bar() -> None:
    completed, said = ended({"a": 100, "b": 100}, {"a": 80, "b": 100})
    assert completed == {"a": 100, "b": 100}
    assert said == "a: 20 items were deleted by the killed run and not counted\n"


def test_a_bar_does_not_end_at_its_total_when_something_is_left() -> None:
    assert ended({"a": 70}, {"a": 70}) == ({"a": 70}, "")


@pytest.mark.parametrize(
    ("seen", "least", "most", "holds"),
    [(0, 1, 9, False), (1, 1, 9, True), (9, 1, 9, True), (10, 1, 9, False)],
)
def test_one_number_out_of_bounds_fails_the_proof(
    seen: int, least: int, most: int, holds: bool
) -> None:
    proof = Proof()
    proof.equal("jobs complete", 3, 3)
    assert proof.holds
    proof.between("calls to the API while it was down", seen, least, most)
    assert proof.holds is holds


def test_without_bounds_at_least_one_has_to_be_seen() -> None:
    proof = Proof()
    proof.between("jobs parked while the API was down", 0)
    assert not proof.holds


@pytest.mark.parametrize(
    ("seconds", "probes"), [(0.9, 0), (1, 1), (2.9, 1), (3, 2), (6.9, 2), (7, 3)]
)
def test_an_api_that_is_down_may_get_what_was_under_way_and_the_probes(
    seconds: float, probes: int
) -> None:
    policy = BreakerPolicy(first=timedelta(seconds=1))
    assert most_calls(policy, seconds) == 2 * UNDER_WAY + probes


async def test_each_consumer_gets_its_signal_however_long_the_other_takes_to_end() -> None:
    """By then its work would be over."""
    both = asyncio.Barrier(2)

    class Consumer:
        def kill(self) -> None: ...

        def terminate(self) -> None: ...

        async def wait(self, _: float) -> int:
            async with asyncio.timeout(SOON):
                await both.wait()
            return 0

    class Started:
        def consumer(self, _: str) -> Consumer:
            return Consumer()

        async def start_consumer(self, service: str) -> None:
            started.append(service)

    shares = {service: iter((0, SIGNAL_AT, 0.5, 1)) for service in ("killed", "terminated")}
    reached: dict[str, float] = {}

    async def share(service: str) -> float:
        reached[service] = next(shares[service])
        return reached[service]

    started: list[str] = []
    installation = cast("Installation", Started())
    signals = Signals(installation, MemoryJobStore(), Proof(), share)
    await signals.send("killed", "terminated", lambda _: None)
    assert sorted(started) == ["killed", "terminated"]
    assert reached == {"killed": 0.5, "terminated": 0.5}, "in the middle of their work"


async def test_an_error_of_one_fault_ends_the_demo_and_the_other_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise BotDeletionError("a consumer did not start again")

    async def last(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("outage")

    stopped: list[str] = []
    monkeypatch.setattr(Signals, "send", fail)
    monkeypatch.setattr(Demo, "_outage", last)
    demo = Demo(*cast("Any", [None, MemoryJobStore(), None, None]))
    wanted = {"conversations": ["a bot"], "analytics": ["a bot"], "billing": ["a bot"]}
    async with asyncio.timeout(SOON):
        with pytest.raises(BotDeletionError, match="did not start again"):
            await demo._watch(
                wanted, {service: {} for service in wanted}, Terminal(file=StringIO())
            )
    assert stopped == ["outage"]


async def test_a_console_is_left_open_until_a_signal() -> None:
    class Started:
        urls: ClassVar = {"console": "http://127.0.0.1:8083"}

        async def start_console(self) -> str:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
            return "the-token-of-the-console"

    out = StringIO()
    await leave_open(cast("Installation", Started()), Terminal(file=out))
    assert "open http://127.0.0.1:8083 in a browser" in out.getvalue()
    assert "log in with the token the-token-of-the-console" in out.getvalue()
