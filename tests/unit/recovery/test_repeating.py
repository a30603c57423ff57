"""The cron client without a scheduler: it calls again and again, until it is stopped."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from botdel.local.processes import ChildProcess
from recovery.client import Exit
from recovery.repeating import repeat
from tests.support.clock import VirtualClock
from tests.support.paths import ROOT

DAY = 86_400.0
WITHIN = 30.0


class Calls:
    """Notes when it is called, and ends with the next of `codes`, after `seconds`."""

    def __init__(self, clock: VirtualClock, codes: Iterator[int], seconds: float = 0) -> None:
        self.at: list[float] = []
        self._clock = clock
        self._codes = codes
        self._seconds = seconds

    async def __call__(self) -> int:
        self.at.append(self._clock.monotonic())
        code = next(self._codes)
        await self._clock.sleep(self._seconds)
        return code


def stop_after(clock: VirtualClock, seconds: float, stopping: asyncio.Event) -> asyncio.Task[None]:
    async def stop() -> None:
        await clock.sleep(seconds)
        stopping.set()

    return asyncio.create_task(stop())


def codes(*first: Exit) -> Iterator[int]:
    yield from first
    while True:
        yield Exit.OK


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.mark.virtual_time
async def test_it_calls_at_once_and_then_every_day(
    clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = Calls(clock, codes(Exit.OK))
    stopping = asyncio.Event()
    stop = stop_after(clock, 4.5 * DAY, stopping)
    assert await repeat(calls, DAY, clock, stopping) == Exit.OK
    await stop
    assert calls.at == [0, DAY, 2 * DAY, 3 * DAY, 4 * DAY]
    assert "the next call is in 86400 s" in capsys.readouterr().out


MINUTE = 60.0


@pytest.mark.virtual_time
@pytest.mark.parametrize("failed", set(Exit) - {Exit.OK, Exit.USAGE})
async def test_after_a_failure_that_may_pass_it_calls_sooner_and_then_every_day_again(
    clock: VirtualClock, failed: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = Calls(clock, codes(failed, failed, failed, Exit.OK, failed))
    stopping = asyncio.Event()
    stop = stop_after(clock, 1.5 * DAY, stopping)
    await repeat(calls, DAY, clock, stopping)
    await stop
    recovered = (1 + 2 + 4) * MINUTE
    assert calls.at == [0, MINUTE, 3 * MINUTE, recovered, recovered + DAY, recovered + DAY + MINUTE]
    assert "the next call is in 60 s" in capsys.readouterr().out


@pytest.mark.virtual_time
async def test_while_it_fails_it_calls_at_least_as_often_as_it_was_asked_to(
    clock: VirtualClock,
) -> None:
    calls = Calls(clock, iter([Exit.UNHEALTHY] * 100))
    stopping = asyncio.Event()
    stop = stop_after(clock, 1000, stopping)
    await repeat(calls, 150, clock, stopping)
    await stop
    assert calls.at == [0, 60, *range(180, 1000, 150)]


@pytest.mark.virtual_time
async def test_the_time_that_a_call_takes_delays_no_other(clock: VirtualClock) -> None:
    calls = Calls(clock, codes(), seconds=600)
    stopping = asyncio.Event()
    stop = stop_after(clock, 2.5 * DAY, stopping)
    await repeat(calls, DAY, clock, stopping)
    await stop
    assert calls.at == [0, DAY, 2 * DAY]


@pytest.mark.virtual_time
async def test_calls_that_take_longer_than_the_interval_follow_each_other(
    clock: VirtualClock,
) -> None:
    calls = Calls(clock, codes(), seconds=600)
    stopping = asyncio.Event()
    stop = stop_after(clock, 1500, stopping)
    await repeat(calls, 60, clock, stopping)
    await stop
    assert calls.at == [0, 600, 1200]


@pytest.mark.virtual_time
async def test_it_ends_when_a_url_or_a_token_cannot_be_used(clock: VirtualClock) -> None:
    calls = Calls(clock, codes(Exit.OK, Exit.USAGE))
    assert await repeat(calls, DAY, clock, asyncio.Event()) == Exit.USAGE
    assert len(calls.at) == 2


@pytest.mark.virtual_time
@pytest.mark.parametrize("when", [0.5, DAY / 2], ids=["during a call", "between two calls"])
async def test_a_stop_ends_it_at_once(clock: VirtualClock, when: float) -> None:
    stopping = asyncio.Event()
    stop = stop_after(clock, when, stopping)
    assert await repeat(Calls(clock, codes(), seconds=1), DAY, clock, stopping) == Exit.OK
    await stop
    assert clock.monotonic() == when


async def test_sigterm_ends_the_command_with_0_between_two_calls(tmp_path: Path) -> None:
    typed = "-m botdel.cli recover --url http://127.0.0.1:9 --every 600"
    env = {"PYTHONPATH": str(ROOT), "BOTDEL_RECOVERY_TOKEN": "a-token-nobody-may-ever-see"}
    async with ChildProcess(
        "recover", [sys.executable, *typed.split()], cwd=tmp_path, env=env
    ) as process:
        await process.wait_for_line(lambda line: line.startswith("the next call is in"), WITHIN)
        process.terminate()
        assert await process.wait(WITHIN) == Exit.OK
    assert "is recovery at http://127.0.0.1:9?" in "\n".join(process.lines)
