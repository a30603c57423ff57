"""A forked program behaves like one that was executed: its output, its environment, its end."""

import ast
import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support import fork_server
from tests.support.forked import TODAY, ForkedProcess, ForkServer
from tests.support.paths import ROOT
from tests.support.polling import SOON, eventually, frozen, runs

LASTS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """`program.py` in a folder of its own; its text is the test's."""
    return tmp_path / "program.py"


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """A fork server of the test's own."""
    with ForkServer([], "-m", fork_server.__name__) as server:
        yield server


def forked(
    program: Path, text: str, *arguments: str, server: ForkServer = TODAY, **env: str
) -> ForkedProcess:
    program.write_text(text)
    process = ForkedProcess("program", [program.stem, *arguments], env=env, cwd=program.parent)
    process.server = server
    return process


async def test_both_outputs_are_heard_in_order_and_it_ends_with_its_code(program: Path) -> None:
    text = "import sys; print('out'); print('err', file=sys.stderr); sys.stdout.write('last')"
    async with forked(program, f"{text}; sys.exit(3)") as process:
        assert await process.wait(SOON) == 3
    assert list(process.lines) == ["out", "err", "last"]


async def test_its_arguments_environment_and_folder_are_its_own(program: Path) -> None:
    text = "import os, sys; print(sys.argv[1:], os.environ['OWN'], os.getcwd(), __name__)"
    async with forked(program, text, "a", "b c", OWN="x") as process:
        assert await process.wait(SOON) == 0
    assert list(process.lines) == [f"['a', 'b c'] x {program.parent} __main__"]


async def test_each_ends_with_its_own_code_while_others_start(program: Path) -> None:
    codes = range(50)
    text = "import os, sys; os._exit(int(sys.argv[1]))"

    async def ended(code: int) -> int:
        async with forked(program, text, str(code)) as process:
            return await process.wait(SOON)

    assert await asyncio.gather(*(ended(code) for code in codes)) == list(codes)


async def test_an_error_is_shown_and_ends_it_with_1(program: Path) -> None:
    async with forked(program, "raise ValueError('odd')") as process:
        assert await process.wait(SOON) == 1
    assert process.lines[-1] == "ValueError: odd"


async def test_it_waits_for_its_threads_and_calls_its_atexit_functions_before_it_exits(
    program: Path,
) -> None:
    text = """
import atexit, sys, threading, time
atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
sys.exit("a reason")
"""
    async with forked(program, text) as process:
        assert await process.wait(SOON) == 1
    assert list(process.lines) == ["a reason", "thread", "registered"]


async def test_what_the_commands_import_is_loaded_and_no_program_sees_the_imports_of_another(
    program: Path,
) -> None:
    text = """
import sys
print([name for name in sys.argv[1:] if name not in sys.modules], "odd" in sys.modules)
sys.modules["odd"] = sys
"""
    commands = imported_by_commands()
    assert {"botdel.topology", "consumers.main", "gateway.main", "recovery.main"} <= commands
    for _ in range(2):
        async with forked(program, text, *commands) as process:
            assert await process.wait(SOON) == 0
        assert list(process.lines) == ["[] False"]


def imported_by_commands() -> set[str]:
    """The modules that `botdel` imports once it knows its command, except those of `botdel.local`
    and `botdel.new_service`, whose commands most tests execute.
    """
    files = [ROOT / "botdel" / "cli.py", *(ROOT / "botdel" / "commands").glob("*.py")]
    inside = [
        each.module or ""
        for file in files
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef)
        for each in ast.walk(function)
        if isinstance(each, ast.ImportFrom)
    ]
    return {name for name in inside if not name.startswith(("botdel.local", "botdel.new_service"))}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_gets_real_signals(program: Path, number: signal.Signals) -> None:
    async with forked(program, LASTS) as process:
        said = await process.wait_for_line(str.isdigit, SOON)
        assert int(said) == process.pid
        process.signal(number)
        code = await process.wait(SOON)
    assert code == -number
    await eventually(lambda: not runs(process.pid))


async def test_what_it_leaves_in_its_group_ends_with_it(program: Path) -> None:
    text = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    async with forked(program, text) as process:
        left = int(await process.wait_for_line(str.isdigit, SOON))
        assert await process.wait(SOON) == 0
    await eventually(lambda: not runs(left))


async def test_a_kill_at_its_beginning_ends_it(program: Path) -> None:
    async with forked(program, LASTS) as process:
        process.kill()
        assert await process.wait(SOON) == -signal.SIGKILL


async def test_a_start_that_is_not_served_times_out_and_leaves_no_program(
    program: Path, server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.forked.BEGUN_WITHIN", 0.5)
    asked = time.monotonic()
    async with frozen(server.pid):
        with pytest.raises(TimeoutError):
            await forked(program, LASTS, server=server).start()
    assert time.monotonic() - asked < SOON / 2
    await nothing_runs_of(server)


async def test_a_start_that_is_cancelled_leaves_no_program(
    program: Path, server: ForkServer
) -> None:
    rng, cancelled = random.Random(0), 0  # noqa: S311
    for _ in range(50):
        process = forked(program, LASTS, server=server)
        start = asyncio.create_task(process.start())
        await asyncio.sleep(rng.uniform(0, 0.01))  # it may be anywhere in its beginning
        start.cancel()
        with suppress(asyncio.CancelledError):
            await start
        cancelled += not process.running
        await process.stop()
    assert cancelled
    await nothing_runs_of(server)


async def test_a_program_whose_server_is_killed_ends_as_killed(
    program: Path, server: ForkServer
) -> None:
    async with forked(program, LASTS, server=server) as process:
        await process.wait_for_line(str.isdigit, SOON)
        server.stop()
        assert await process.wait(SOON) == -signal.SIGKILL


async def test_a_server_that_was_killed_is_started_again(program: Path, server: ForkServer) -> None:
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    await eventually(lambda: not runs(server.pid))
    async with forked(program, "print('ok')", server=server) as process:
        assert await process.wait(SOON) == 0
    assert list(process.lines) == ["ok"]


async def test_a_start_fails_at_once_when_the_server_cannot_import(program: Path) -> None:
    with (
        ForkServer(["no_such_module"], "-m", fork_server.__name__) as broken,
        pytest.raises((RuntimeError, ConnectionError)),
    ):
        await forked(program, LASTS, server=broken).start()


async def nothing_runs_of(server: ForkServer) -> None:
    """Wait until a server has answered every request, and none of its programs runs."""
    last = ForkedProcess("last", ["this"])
    last.server = server
    async with last:
        assert await last.wait(SOON) == 0
    await eventually(lambda: not psutil.Process(server.pid).children())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can promise it")
async def test_it_dies_with_the_process_that_runs_the_tests(program: Path) -> None:
    forked(program, LASTS)  # only writes program.py
    text = f"""
import asyncio
from tests.support.forked import ForkedProcess
from tests.support.paths import ROOT

async def main():
    async with ForkedProcess("child", ["program"], cwd={str(program.parent)!r}, on_line=print):
        await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""
    async with forked(program.with_name("parent.py"), text) as parent:
        child = int(await parent.wait_for_line(str.isdigit, SOON))
        parent.signal(signal.SIGKILL)
        assert await parent.wait(SOON) == -signal.SIGKILL
    await eventually(lambda: not runs(child))
