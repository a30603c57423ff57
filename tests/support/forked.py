"""Python programs that start in milliseconds, forked from a process that has done the imports.

Imports are most of the cost of a short command: half a second or more of a core. A fork server does
them once. Each program is still a separate process, with its own session, environment and exit
code, and gets real signals.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.output import Output
from botdel.local.processes import ChildProcess
from tests.support import fork_server
from tests.support.paths import ROOT

MODULES: Final = (
    "botdel.actions",
    "botdel.commands.actions",
    "botdel.commands.dead_letters",
    "botdel.commands.jobs",
    "botdel.commands.local",
    "botdel.commands.plan",
    "botdel.commands.requests",
    "botdel.commands.services",
    "botdel.commands.topology",
    "botdel.dead_letters.command",
    "botdel.doctor.command",
    "botdel.healthcheck",
    "botdel.jobs",
    "botdel.jobs_retry",
    "botdel.local.broker.command",
    "botdel.plan",
    "botdel.requests",
    "botdel.services",
    "botdel.topology",
    "console.main",
    "consumers.main",
    "deletion.process.logs",
    "gateway.main",
    "httpcore",
    "pydantic.v1",
    "recovery.client",
    "recovery.main",
    "recovery.repeating",
)
"""What the product's processes import, including `httpcore`, which httpx imports only when it makes
a client, and `pydantic.v1`, which FastAPI looks at when it makes an application.
"""
SENT_WITHIN: Final = 5.0
"""Seconds to send a request; it waits only if the socket's buffer is full."""
BEGUN_WITHIN: Final = 60.0
"""Seconds until a program has begun; the first one waits for the imports."""


class ForkServer:
    """A process that forks programs. It ends with the process that started it, or when stopped.

    `python` are the arguments that make Python run `fork_server`.
    """

    def __init__(
        self, modules: Sequence[str], *python: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._modules = modules
        self._python = python
        self._env = dict(env or {})
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> socket.socket:
        """Start it unless it is running; return the socket for requests, which wait there until
        the imports are done.
        """
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # it was killed: the other tests of this session need one
        if self._requests is None:
            self._requests, theirs = socket.socketpair()
            self._requests.settimeout(SENT_WITHIN)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *self._python, str(theirs.fileno()), *self._modules],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **self._env},
                    cwd=ROOT,
                    start_new_session=True,
                )
        return self._requests

    def stop(self) -> None:
        """Kill it; on Linux this kills its programs too."""
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, request: fork_server.Request, output: int) -> socket.socket:
        """Ask for a program that prints to `output`; return the socket that reports its start and
        exit code.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                ours.settimeout(SENT_WITHIN)
                # sent first, so that the server never waits for it
                ours.sendall(json.dumps(request).encode() + b"\n")
                socket.send_fds(self.start(), [b"\0"], [output, theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        return ours

    @property
    def pid(self) -> int:
        """Its process id; raises RuntimeError before `start` and after `stop`."""
        if self._process is None:
            raise RuntimeError("the fork server is not running")
        return self._process.pid


TODAY: Final = ForkServer(MODULES, "-m", fork_server.__name__)
"""Runs the code of this repository. A test that counts processes starts it first."""


class ForkedProcess(ChildProcess):
    """A program of a fork server as a `ChildProcess`.

    `argv` is a module, or a script whose name ends in .py, and the arguments.
    """

    server: ForkServer = TODAY
    """To use another one, set it before the start."""

    async def _launch(self) -> Output:
        program, *arguments = self._argv
        env, cwd = {**os.environ, **self._env}, str(self._cwd or Path.cwd())
        request = {"program": program, "arguments": arguments, "env": env, "cwd": cwd}
        output = Output(self._heard)
        forked = Forked(output)
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        try:
            printed = os.fdopen(reader, "rb", buffering=0)
            await loop.connect_read_pipe(lambda: Printed(forked, output), printed)
            connection = self.server.ask(request, writer)
        finally:
            os.close(writer)
        try:
            await loop.create_unix_connection(lambda: forked, sock=connection)
            async with asyncio.timeout(BEGUN_WITHIN):
                await forked.begun
        except BaseException:
            forked.close()
            raise
        return output


class ForkedBroker(EmbeddedBroker):
    """The embedded broker, for tests that start it often."""

    def process(self, port: int) -> ChildProcess:
        """See the base class."""
        _python, _m, *argv = self.command(port)
        return ForkedProcess(self.name, argv, on_line=self.on_line)


class Forked(asyncio.SubprocessTransport, asyncio.Protocol):
    """Reports a forked program to an `Output`, as asyncio reports its subprocesses.

    It is the protocol of the connection to the fork server. `begun` is done once the program leads
    its session.
    """

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._output = output
        self._connection: asyncio.BaseTransport | None = None
        self._pid = 0
        self._code: int | None = None
        self._line = b""
        self._open = {"program", "pipe"}

    def get_pid(self) -> int:
        return self._pid

    def get_returncode(self) -> int | None:
        return self._code

    def close(self) -> None:
        """Hang up, which kills the program if it runs."""
        self.begun.cancel()
        if self._connection is not None:
            self._connection.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            what, number = line.decode().split()
            if what == fork_server.BEGUN and not self.begun.done():
                self._pid = int(number)
                self._output.connection_made(self)
                self.begun.set_result(None)
            elif what == fork_server.ENDED:
                self._has_ended(int(number))

    def connection_lost(self, exc: Exception | None) -> None:
        """Without an exit code it counts as killed: its server has ended, or this side hung up."""
        if self._code is None:
            self._has_ended(-signal.SIGKILL)

    def _has_ended(self, code: int) -> None:
        self._code = code
        if self._pid:
            self._output.process_exited()
            self.lose("program")
        elif not self.begun.done():
            self.begun.set_exception(
                RuntimeError("the program or its fork server ended before the program began")
            )

    def lose(self, part: str) -> None:
        """Record that the program or its pipe has ended; close the output after both."""
        self._open.discard(part)
        if not self._open:
            self._output.connection_lost(None)


class Printed(asyncio.Protocol):
    """The pipe that a forked program prints to."""

    def __init__(self, forked: Forked, output: Output) -> None:
        self._forked = forked
        self._output = output

    def data_received(self, data: bytes) -> None:
        self._output.pipe_data_received(1, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._output.pipe_connection_lost(1, exc)
        self._forked.lose("pipe")
