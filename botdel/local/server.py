"""What local servers have in common: a port, a start that waits until they answer, a restart."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, Self

import httpx

from botdel.local.processes import KILL_WITHIN, STOP_WITHIN, ChildProcess, ProcessFailed, free_port
from deletion.adapters.unproxied import unproxied

READY_WITHIN: Final = 60.0
"""Seconds for a server to answer after its start; on an idle machine it takes one or two."""
PORT_TRIES: Final = 5
"""Ports that are tried when another process takes the one just found free."""
TAKEN: Final = ("Address already in use", "BindException")
"""How a server reports a taken port: the system's message, or Java's exception."""
ASKED_WITHIN: Final = 2.0
"""Seconds for one readiness probe."""


OnLine = Callable[[str], None]
"""Called with each line of a server's output."""


class PortTaken(ProcessFailed):
    """Another process listens on the port."""


class LocalServer(ABC):
    """A server on 127.0.0.1, in its own process.

    Without a `port`, the first `start` chooses a free one, which is kept from then on. Each line of
    its output goes to `on_line`.
    """

    stop_within: float = STOP_WITHIN
    """Seconds between SIGTERM and SIGKILL."""

    def __init__(self, name: str, port: int | None, on_line: OnLine | None) -> None:
        self.name = name
        self._port = port
        self.on_line = on_line
        self._process: ChildProcess | None = None

    @abstractmethod
    def command(self, port: int) -> list[str | Path]:
        """Return the program and its arguments."""

    def process(self, port: int) -> ChildProcess:
        """Return the process that is to serve on `port`, before it is started."""
        return ChildProcess(self.name, self.command(port), on_line=self.on_line)

    @abstractmethod
    async def answers(self, process: ChildProcess, port: int) -> bool:
        """Return within seconds whether `process`, and no other server, answers on `port`."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port it listens on; raises RuntimeError before the first `start`."""
        if self._port is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        return self._process.pid if self._process and self._process.running else None

    async def start(self) -> None:
        """Start it and wait until it answers; nothing happens when it runs already.

        Raises ProcessFailed when it ends or does not answer within READY_WITHIN seconds, and
        PortTaken when its port, or each of PORT_TRIES free ones in turn, is taken.
        """
        if self.pid is not None:
            return
        choices = [self._port] if self._port else [free_port() for _ in range(PORT_TRIES)]
        for port in choices:
            try:
                self._process = await self._listening(port)
            except PortTaken:
                if port == choices[-1]:
                    raise
            else:
                self._port = port
                return

    async def stop(self) -> None:
        """Send SIGTERM, then SIGKILL if it is still running. It keeps its port for a restart."""
        if self._process is not None:
            await self._process.stop(self.stop_within)

    async def watch(self) -> NoReturn:
        """Wait until it ends by itself, however long it runs.

        Raises ProcessFailed, which says how it ended, or RuntimeError before the first `start`.
        """
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        await self._process.watch()

    async def kill(self) -> None:
        """Send SIGKILL, like a crash, and wait until it has ended."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait(KILL_WITHIN)

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port."""
        await self.stop()
        await self.start()

    async def _listening(self, port: int) -> ChildProcess:
        async with AsyncExitStack() as undo:
            process = self.process(port)
            await process.start()
            undo.push_async_callback(process.stop, within=0)
            try:
                await process.wait_ready(partial(self._ready, process, port), READY_WITHIN)
            except ProcessFailed:
                _check_port(process, port)
                raise
            undo.pop_all()
        return process

    async def _ready(self, process: ChildProcess, port: int) -> bool:
        _check_port(process, port)
        return await self.answers(process, port)


class LocalBroker(LocalServer):
    """A server that speaks Pub/Sub. Every such server is named `pubsub`."""

    described: str
    """Its description for people."""
    keeps: bool
    """Whether what it confirmed survives a kill and a restart."""

    def __init__(self, port: int | None = None, on_line: OnLine | None = None) -> None:
        super().__init__("pubsub", port, on_line)

    @property
    def host(self) -> str:
        """Host and port, as PUBSUB_EMULATOR_HOST wants them."""
        return f"127.0.0.1:{self.port}"


class HttpServer(LocalServer):
    """A server that is ready once it answers an HTTP request for `ready_path`."""

    ready_path: str = "/"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def answers(self, process: ChildProcess, port: int) -> bool:
        try:
            async with unproxied(timeout=ASKED_WITHIN) as client:
                answer = await client.get(f"http://127.0.0.1:{port}{self.ready_path}")
        except httpx.HTTPError:
            return False
        return process.running and answer.is_success


def found_taken(process: ChildProcess) -> bool:
    """Whether `process` has printed that its port is taken."""
    return any(words in line for line in process.lines for words in TAKEN)


def _check_port(process: ChildProcess, port: int) -> None:
    """Raise `PortTaken` if its output says so: not every server ends when its port is taken."""
    if found_taken(process):
        raise PortTaken(process, f"found port {port} taken")
