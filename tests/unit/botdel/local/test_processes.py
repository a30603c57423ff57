"""Child processes: what is heard of them, how they end, and that none is left behind."""

import asyncio
import signal
import socket
import sys
import tracemalloc
from pathlib import Path

import pytest

from botdel.local import processes
from botdel.local.output import CUT, MAX_LINE, Output
from botdel.local.processes import ChildProcess, ProcessFailed, free_port
from tests.support.polling import SOON, eventually, runs

DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"


def shell(script: str, **options: object) -> ChildProcess:
    return ChildProcess("sh", ["sh", "-c", script], **options)  # type: ignore[arg-type]


async def never() -> bool:
    return False


async def test_both_outputs_are_heard_line_by_line_and_in_order() -> None:
    heard: list[str] = []
    async with shell("echo out; echo err >&2; printf last", on_line=heard.append) as child:
        assert await child.wait(SOON) == 0

    assert heard == ["out", "err", "last"]


async def test_a_line_of_any_length_and_encoding_is_survived() -> None:
    script = f"import os; os.write(1, b'x' * {4 * MAX_LINE} + b'\\n\\xff\\nafter\\n')"
    async with ChildProcess("python", [sys.executable, "-c", script]) as child:
        await child.wait(SOON)

    long, odd, after = child.lines
    assert long == "x" * MAX_LINE + CUT
    assert (odd, after) == ("\N{REPLACEMENT CHARACTER}", "after")


async def test_an_endless_line_takes_a_bounded_amount_of_memory() -> None:
    heard: list[str] = []
    output = Output(heard.append)
    tracemalloc.start()
    try:
        for _ in range(100):
            output.pipe_data_received(1, bytes(MAX_LINE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * MAX_LINE
    assert not heard


async def test_only_the_last_lines_are_kept() -> None:
    script = f"for number in range({processes.KEPT_LINES + 5}): print(number)"
    async with ChildProcess("python", [sys.executable, "-c", script]) as child:
        await child.wait(SOON)

    assert len(child.lines) == processes.KEPT_LINES
    assert child.lines[0] == "5"


async def test_a_variable_is_added_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "one")
    async with shell('echo "$INHERITED $ADDED"', env={"ADDED": "two"}) as child:
        await child.wait(SOON)

    assert list(child.lines) == ["one two"]


async def test_a_program_runs_where_it_is_told_to(tmp_path: Path) -> None:
    async with shell("pwd", cwd=tmp_path) as child:
        await child.wait(SOON)

    assert list(child.lines) == [str(tmp_path)]


async def test_a_line_is_waited_for_and_found_again_later() -> None:
    async with shell("echo one; sleep 0.1; echo two; sleep 60") as child:
        assert await child.wait_for_line(lambda line: line == "two", SOON) == "two"
        assert await child.wait_for_line(lambda line: line == "one", SOON) == "one"


async def test_waiting_for_a_line_ends_with_the_process_and_shows_what_it_said() -> None:
    async with shell("echo no such setting; exit 3") as child:
        with pytest.raises(ProcessFailed, match=r"(?s)exit code 3.*no such setting"):
            await child.wait_for_line(lambda line: line == "ready", SOON)


async def test_waiting_for_a_line_is_bounded() -> None:
    async with shell("echo busy; sleep 60") as child:
        with pytest.raises(ProcessFailed, match=r"within 0.2 s"):
            await child.wait_for_line(lambda line: line == "ready", 0.2)


async def test_a_process_that_ends_before_it_is_ready_is_reported_with_its_output() -> None:
    async with shell("echo boom >&2; kill -9 $$") as child:
        with pytest.raises(ProcessFailed, match=r"(?s)SIGKILL.*boom"):
            await child.wait_ready(never, SOON)


async def test_a_process_that_never_gets_ready_is_reported_in_bounded_time() -> None:
    async with shell("echo still loading; sleep 60") as child:
        await child.wait_for_line(lambda line: line == "still loading", SOON)
        with pytest.raises(ProcessFailed, match=r"(?s)not ready within 0.2 s.*still loading"):
            await child.wait_ready(never, 0.2)


async def test_a_program_that_does_not_exist_is_named() -> None:
    async with ChildProcess("server", ["/no/such/program"]) as child:
        with pytest.raises(ProcessFailed, match=r"/no/such/program: No such file"):
            await child.wait_ready(never, SOON)


async def test_stopping_asks_first() -> None:
    async with shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done") as child:
        await child.wait_for_line(lambda line: line == "up", SOON)
        assert await child.stop() == 7

    assert child.lines[-1] == "bye"


async def test_stopping_kills_what_does_not_listen() -> None:
    async with shell(DEAF) as child:
        await child.wait_for_line(lambda line: line == "deaf", SOON)
        assert await child.stop(within=0.2) == -signal.SIGKILL


async def test_waiting_for_the_end_is_bounded() -> None:
    async with shell("sleep 60") as child:
        with pytest.raises(ProcessFailed, match=r"has not ended within 0.1 s"):
            await child.wait(0.1)


async def test_a_process_that_is_watched_is_reported_when_it_ends() -> None:
    async with shell("echo going; exit 3") as child:
        with pytest.raises(ProcessFailed, match=r"(?s)^sh ended \(exit code 3\).*going"):
            await child.watch()


async def test_stopping_twice_or_never_started_does_nothing() -> None:
    child = shell("exit 5")
    assert await child.stop() is None

    await child.start()
    await child.wait(SOON)
    assert await child.stop() == 5
    assert await child.stop() == 5
    child.kill()


async def test_a_stop_that_is_cancelled_still_ends_the_process() -> None:
    async with shell(DEAF) as child:
        await child.wait_for_line(lambda line: line == "deaf", SOON)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await child.stop()
        assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("end", ["exit 0", "sleep 60"])
async def test_what_a_process_leaves_in_its_group_ends_with_it(end: str) -> None:
    async with shell(f"sleep 60 & echo $!; {end}") as child:
        left = int(await child.wait_for_line(str.isdigit, SOON))
        await child.stop()

    await eventually(lambda: not runs(left))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can promise it")
async def test_a_process_dies_with_its_parent_even_when_that_is_killed() -> None:
    async with ChildProcess("parent", [sys.executable, "-c", PARENT]) as parent:
        child = int(await parent.wait_for_line(str.isdigit, SOON))
        parent.signal(signal.SIGKILL)
        assert await parent.wait(SOON) == -signal.SIGKILL

    await eventually(lambda: not runs(child))


PARENT = """
import asyncio
from botdel.local.processes import ChildProcess

async def main():
    async with ChildProcess("child", ["sh", "-c", "echo $$; exec sleep 60"], on_line=print):
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_free_port_can_be_listened_on_and_is_not_one_that_clients_are_given() -> None:
    port = free_port()

    with socket.create_server(("127.0.0.1", port)):
        assert port in processes.PORTS
    if sys.platform == "linux":
        lowest, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        assert port < int(lowest)


def test_a_port_somebody_listens_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    monkeypatch.setattr(processes, "PORTS", range(taken, taken + 1))

    with socket.create_server(("127.0.0.1", taken)), pytest.raises(OSError, match=str(taken)):
        free_port()
