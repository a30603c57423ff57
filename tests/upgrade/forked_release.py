"""Programs of a release that start in milliseconds: `fork_server` forks them."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from botdel.local.output import Output
from botdel.local.processes import ChildProcess
from tests.support.forked import FORKING, Forked
from tests.upgrade import fork_server
from tests.upgrade.releases import HOME, Code, Env, Program

SERVER: Final = HOME / "fork_server.py"
LISTENS_WITHIN: Final = 60.0
BEGINS_WITHIN: Final = 30.0


@dataclass(frozen=True)
class ForkingCode(Code):
    """A version whose programs are forked from the process that listens at `socket`."""

    socket: Path

    def _process(
        self, name: str, program: Program, arguments: Sequence[str], env: Env, cwd: Path | None
    ) -> ChildProcess:
        argv, found = (str(program), *arguments), {**env, **self.paths}
        return ForkedRelease(self.socket, f"{name} {self.version}", argv, env=found, cwd=cwd)


@asynccontextmanager
async def forking(code: Code, folder: Path) -> AsyncIterator[ForkingCode]:
    """The same version, with a fork server whose socket is in `folder`."""
    path = folder / "socket"
    async with code.python("fork server", str(SERVER), str(path), env={}) as server:
        await server.wait_for_line(lambda line: line == fork_server.LISTENING, LISTENS_WITHIN)
        yield ForkingCode(code.version, code.folder, path)


class ForkedRelease(ChildProcess):
    """A program of a release as a `ChildProcess`; `argv` is a module or script, and arguments."""

    def __init__(
        self,
        server: Path,
        name: str,
        argv: Sequence[str],
        *,
        env: Env,
        cwd: Path | None,
    ) -> None:
        super().__init__(name, argv, env=env, cwd=cwd)
        self._server = server

    async def _launch(self) -> Output:
        program, *arguments = self._argv
        env, cwd = {**os.environ, **self._env}, str(self._cwd or Path.cwd())
        request = {"program": program, "arguments": arguments, "env": env, "cwd": cwd}
        reader, writer = FORKING.Pipe(duplex=False)
        with writer:
            begun = await asyncio.to_thread(
                _Program.begun, self._server, json.dumps(request), writer.fileno()
            )
        output = Output(self._heard)
        await Forked(begun, output).read(reader)
        return output


class _Program:
    """A program that runs or has run, as seen through its connection to the fork server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._told = connection.makefile("rb")
        self.pid: int | None = int(self._told.readline())
        self.exitcode: int | None = None

    @classmethod
    def begun(cls, server: Path, request: str, output: int) -> Self:
        """Ask the server for a program, and wait until it has begun."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(BEGINS_WITHIN)
        connection.connect(str(server))
        socket.send_fds(connection, [b"\0"], [output])
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        return cls(connection)

    @property
    def sentinel(self) -> int:
        """Is readable once the program has ended."""
        return self._connection.fileno()

    def join(self) -> None:
        """Read the exit code. There is none if the server was killed, and with it the program."""
        self.exitcode = int(self._told.readline() or -signal.SIGKILL)

    def close(self) -> None:
        """Close the connection."""
        self._told.close()
        self._connection.close()
