"""The output of one child process, line by line, and its end."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

MAX_LINE: Final = 64 * 1024
"""Bytes kept of one line; a longer line is cut and ends in `CUT`."""
CUT: Final = " […]"


class Output(asyncio.SubprocessProtocol):
    """Turns bytes into lines for `on_line`, whatever their length, and records the exit code.

    `exited` is done when the process has ended, `closed` when all its output has been read too.
    `returncode` is None until the process has ended.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.pid = 0
        self.returncode: int | None = None
        self._on_line = on_line
        self._begun = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002
        *ends, begun = data.split(b"\n")
        for end in ends:
            self._add(end)
            self._complete()
        self._add(begun)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        if self._begun:
            self._complete()

    def process_exited(self) -> None:
        """Record the exit code, and kill what is left of the process group."""
        self.returncode = self._transport.get_returncode()
        self.exited.set_result(None)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.closed.set_result(None)
        self._transport.close()

    def _add(self, part: bytes) -> None:
        self._begun += part[: MAX_LINE + 1 - len(self._begun)]

    def _complete(self) -> None:
        line = self._begun[:MAX_LINE].decode(errors="replace").rstrip("\r")
        cut = CUT if len(self._begun) > MAX_LINE else ""
        self._begun.clear()
        self._on_line(line + cut)
