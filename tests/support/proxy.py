"""A TCP proxy in front of a server: tests cut, delay and black-hole connections."""

import asyncio
from contextlib import suppress

from tests.support.tcp import TcpServer

CHUNK = 64 * 1024
"""The most bytes that are passed on at once."""


class Proxy(TcpServer):
    """Passes everything on to the port `target`, on 127.0.0.1.

    A fault lasts until `heal`. If the target does not accept a connection, the client's is reset.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self._delay = 0.0
        self._losing_answers = False
        self._out = False
        self._black_holes_new = False
        self._doomed: bytes | None = None
        self._dooms_left = 0
        self.lost = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._black_holed: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset every connection; new ones are served."""
        for writer in self._open:
            writer.transport.abort()

    def delay(self, seconds: float) -> None:
        """Delay whatever is sent, in both directions, by this many seconds."""
        self._delay = seconds

    def lose_answers(self) -> None:
        """Pass requests on and drop the answers: they take effect, but no client learns of it."""
        self._losing_answers = True

    def lose_answer_to(self, request: bytes, times: int = 1) -> None:
        """Once the server has answered a request that has these bytes, reset the connection.

        Do so for `times` requests, each of which must be in one chunk; `lost` counts them.
        """
        self._doomed, self._dooms_left = request, times

    def outage(self) -> None:
        """Reset every connection, and each new one at once."""
        self._out = True
        self.cut()

    def black_hole(self, *, new: bool = False) -> None:
        """Swallow both directions of every open connection without closing it; of `new` ones too.

        That is what a NAT gateway does to a flow it has forgotten, and a firewall to all.
        """
        self._black_holed |= self._open
        self._black_holes_new = new

    def heal(self) -> None:
        """End every fault. Connections that have lost bytes are of no use any more: reset them."""
        if self._losing_answers:
            self.cut()
        for writer in self._black_holed:
            writer.transport.abort()
        self._delay = 0.0
        self._losing_answers = self._out = self._black_holes_new = False
        self._doomed = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See the base class."""
        ends = {writer}
        self._open |= ends
        try:
            if not self._out:
                answers, requests = await asyncio.open_connection("127.0.0.1", self._target)
                ends.add(requests)
                self._open |= ends
                if self._black_holes_new:
                    self._black_holed |= ends
                lost = asyncio.Event()
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, requests, lost))
                    both.create_task(self._pass(answers, writer, lost, answering=True))
        except* OSError:
            pass  # one end is gone, and so is the other now
        finally:
            self._open -= ends
            self._black_holed -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: asyncio.Event,
        *,
        answering: bool = False,
    ) -> None:
        """Pass on what `reader` gets. Once `lost` is set, the next answer resets the connection."""
        while data := await reader.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            if answering and lost.is_set():
                raise ConnectionResetError
            if not answering and self._is_doomed(data):
                lost.set()
            if not (answering and self._losing_answers) and writer not in self._black_holed:
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    def _is_doomed(self, data: bytes) -> bool:
        if self._doomed is None or self._doomed not in data:
            return False
        self.lost += 1
        self._dooms_left -= 1
        if not self._dooms_left:
            self._doomed = None
        return True
