"""Child processes: local servers and the product's own processes."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Self

from botdel.local import run_with_parent
from botdel.local.output import Output
from deletion.errors import BotDeletionError

KEPT_LINES: Final = 1_000
"""Latest lines of output that are kept."""
SHOWN_LINES: Final = 20
"""Lines of output that an error shows."""
STOP_WITHIN: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""
KILL_WITHIN: Final = 5.0
"""Seconds for the kernel to end a process after SIGKILL."""
LAST_OUTPUT_WITHIN: Final = 1.0
"""Seconds to wait for the last output of a process that has ended."""
PROBE_EVERY: Final = 0.02
"""Seconds between two readiness probes."""
PORTS: Final = range(20_000, 32_000)
"""Below the ports that systems hand out to clients; see `free_port`."""


class ProcessFailed(BotDeletionError):
    """A child process ended or was too slow. The message ends with its last output."""

    def __init__(self, process: "ChildProcess", what: str) -> None:
        output = "".join(f"\n  | {line}" for line in list(process.lines)[-SHOWN_LINES:])
        super().__init__(f"{process.name} {what}; its last output:{output or ' none'}")


class ChildProcess:
    """A program that runs in its own session, and whose output is read line by line.

    `env` is added to the environment of this process. `on_line` gets each line of standard output
    and standard error as it comes, without its line break; it must neither block nor raise.
    `lines` holds the latest lines.

    When the program ends, what is left of its process group is killed. On Linux the program itself
    is killed when the thread that called `start` ends, even if this process is killed.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._argv = [str(argument) for argument in argv]
        self._env = dict(env or {})
        self._cwd = cwd
        self._on_line = on_line
        self._waiting: dict[asyncio.Future[str], Callable[[str], bool]] = {}
        self._output: Output | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The process id, also that of its group; raises RuntimeError before `start`."""
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None until then."""
        return self._output.returncode if self._output else None

    @property
    def running(self) -> bool:
        return self._output is not None and self._output.returncode is None

    async def start(self) -> None:
        """Start the program, without waiting until it is ready. Raises RuntimeError if repeated."""
        if self._output is not None:
            raise RuntimeError(f"{self.name} has been started before")
        self._output = await self._launch()

    async def _launch(self) -> Output:
        shim = [sys.executable, "-I", "-S", run_with_parent.__file__, str(os.getpid())]
        _, output = await asyncio.get_running_loop().subprocess_exec(
            lambda: Output(self._heard),
            *shim,
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.STDOUT,
            env={"PYTHONUNBUFFERED": "1", **os.environ, **self._env},
            cwd=self._cwd,
            start_new_session=True,
        )
        return output

    async def wait_for_line(self, wanted: Callable[[str], bool], within: float) -> str:
        """Return the first `wanted` line, among those kept and those to come.

        Raises ProcessFailed if the process ends first, or prints none within `within` seconds.
        """
        for line in self.lines:
            if wanted(line):
                return line
        found = asyncio.get_running_loop().create_future()
        self._waiting[found] = wanted
        try:
            await asyncio.wait(
                {found, self._started.closed}, timeout=within, return_when="FIRST_COMPLETED"
            )
        finally:
            del self._waiting[found]
        if found.done():
            return str(found.result())
        await self._check_running()
        raise ProcessFailed(self, f"did not print the expected line within {within:g} s")

    async def wait_ready(self, ready: Callable[[], Awaitable[bool]], within: float) -> None:
        """Call `ready` until it returns True; each call must take a bounded time.

        Raises ProcessFailed if the process ends first, or is not ready within `within` seconds.
        """
        try:
            async with asyncio.timeout(within):
                while not await ready():
                    await self._check_running()
                    await asyncio.sleep(PROBE_EVERY)
        except TimeoutError:
            raise ProcessFailed(self, f"was not ready within {within:g} s") from None

    async def wait(self, within: float) -> int:
        """Return the exit code. Raises ProcessFailed if it still runs after `within` seconds."""
        output = self._started
        await asyncio.wait({output.exited}, timeout=within)
        if output.returncode is None:
            raise ProcessFailed(self, f"has not ended within {within:g} s")
        await asyncio.wait({output.closed}, timeout=LAST_OUTPUT_WITHIN)
        return output.returncode

    async def watch(self) -> NoReturn:
        """Wait until it ends, however long it runs. Raises ProcessFailed, which says how it did."""
        await asyncio.wait({self._started.exited})
        raise await self._ended("ended")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone. Nothing happens if it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM to the process alone, as an orchestrator does."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and its whole group; `wait` then returns its exit code."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, within: float = STOP_WITHIN) -> int | None:
        """Send SIGTERM and, after `within` seconds, SIGKILL.

        Returns the exit code, or None if it was never started.
        """
        if self._output is None:
            return None
        self.terminate()
        try:
            return await self.wait(within)
        except ProcessFailed:
            return await self._killed()
        except asyncio.CancelledError:
            await self._killed()
            raise

    async def _killed(self) -> int:
        self.kill()
        return await self.wait(KILL_WITHIN)

    async def _check_running(self) -> None:
        if not self.running:
            raise await self._ended("ended too early")

    async def _ended(self, what: str) -> ProcessFailed:
        code = await self.wait(KILL_WITHIN)
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return ProcessFailed(self, f"{what} ({how})")

    @property
    def _started(self) -> Output:
        if self._output is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._output

    def _heard(self, line: str) -> None:
        self.lines.append(line)
        for found, wanted in self._waiting.items():
            if not found.done() and wanted(line):
                found.set_result(line)
        if self._on_line is not None:
            self._on_line(line)


def is_free(port: int) -> bool:
    """Whether a TCP port of 127.0.0.1 is free; another process may still take it first."""
    with socket.socket() as candidate, contextlib.suppress(OSError):
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        candidate.bind(("127.0.0.1", port))
        return True
    return False


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on; another process may still take it.

    It is not one of the ports that a system hands out to clients, as binding to port 0 would give:
    while a server is down, a client that keeps connecting to such a port may be handed that very
    port, connect to itself, and keep the server from coming back.
    """
    for port in random.sample(PORTS, len(PORTS)):
        if is_free(port):
            return port
    raise OSError(f"every port from {PORTS.start} to {PORTS.stop - 1} is taken")
