"""Python programs that start in milliseconds, forked from a process that has done the imports.

Imports are most of the cost of a short command: half a second or more of a core. The standard
library's fork server does them once. Each program is still a separate process, with its own
session, environment and exit code, and gets real signals.
"""

import asyncio
import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.output import Output
from botdel.local.processes import ChildProcess
from botdel.local.run_with_parent import end_with_parent

FORKING: Final = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.support.preloaded"])

BEGUN_WITHIN: Final = 30.0
"""Seconds for a program to begin, on a machine that does other things as well. They count from when
the server has forked it: a server that hangs keeps the event loop waiting.
"""

_STARTING: Final = threading.Lock()


def start_server() -> None:
    """Start the fork server unless it runs, and wait until its imports are done.

    Tests that count processes call this first; otherwise the first program does.
    """
    with _STARTING:
        _started()


@cache
def _started() -> None:
    """Run a program that does nothing: there is no other one yet whose exit code it could read."""
    nothing = FORKING.Process(target=int)
    nothing.start()
    nothing.join()
    nothing.close()


class ForkedProcess(ChildProcess):
    """`python -m MODULE ARGUMENT…` as a `ChildProcess`; `argv` is the module and its arguments."""

    async def _launch(self) -> Output:
        reader, writer = FORKING.Pipe(duplex=False)
        begun, beginning = FORKING.Pipe(duplex=False)
        process = FORKING.Process(
            target=_become,
            args=(self._argv, {**os.environ, **self._env}, self._cwd, writer, beginning),
        )
        with begun, beginning, writer:
            await asyncio.to_thread(start_server)
            # In the loop's thread: `start` also reads the exit codes of programs that have ended,
            # as `_exited` does, and of two threads that read the same code one gets 255.
            process.start()
            writer.close()
            beginning.close()
            try:
                async with asyncio.timeout(BEGUN_WITHIN):
                    await _readable(begun)  # it leads its group, or has died
                output = Output(self._heard)
                await Forked(process, output).read(reader)
            except BaseException:
                process.kill()
                raise
        return output


class ForkedBroker(EmbeddedBroker):
    """The embedded broker, for tests that start it often."""

    def process(self, port: int) -> ChildProcess:
        """See the base class."""
        _python, _m, *argv = self.command(port)
        return ForkedProcess(self.name, argv, on_line=self.on_line)


async def _readable(connection: Connection) -> None:
    """Return once there is something to read, or the other end is closed."""
    loop, seen = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(connection.fileno())


class Program(Protocol):
    """A forked process, as `multiprocessing` describes one."""

    @property
    def pid(self) -> int | None:
        """Its process id."""

    @property
    def sentinel(self) -> int:
        """A file that is readable once it has ended."""

    @property
    def exitcode(self) -> int | None:
        """The exit code, after `join`."""

    def join(self) -> None:
        """Learn the exit code; called once it has ended."""

    def close(self) -> None:
        """Close its files; called at the end."""


class Forked(asyncio.SubprocessTransport, asyncio.Protocol):
    """Passes a forked process's output to an `Output`, as asyncio does for its subprocesses."""

    def __init__(self, process: Program, output: Output) -> None:
        super().__init__()
        self._process = process
        self._output = output
        self._open = {"process", "pipe"}
        output.connection_made(self)
        asyncio.get_running_loop().add_reader(process.sentinel, self._exited)

    async def read(self, reader: Connection) -> None:
        pipe = os.fdopen(os.dup(reader.fileno()), "rb", buffering=0)
        reader.close()
        await asyncio.get_running_loop().connect_read_pipe(lambda: self, pipe)

    def get_pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def get_returncode(self) -> int | None:
        return self._process.exitcode

    def close(self) -> None:
        self._process.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of the pipe."""

    def data_received(self, data: bytes) -> None:
        self._output.pipe_data_received(1, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._output.pipe_connection_lost(1, exc)
        self._ended("pipe")

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._output.process_exited()
        self._ended("process")

    def _ended(self, part: str) -> None:
        self._open.discard(part)
        if not self._open:
            self._output.connection_lost(None)


def _become(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    output: Connection,
    beginning: Connection,
) -> None:
    """In the new process: start a session, and run the module as `python -m` does."""
    os.setsid()
    end_with_parent()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, number in ((nothing, 0), (output.fileno(), 1), (output.fileno(), 2)):
        os.dup2(given, number)
    output.close()
    os.environ.clear()
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = list(argv)
    beginning.close()
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
