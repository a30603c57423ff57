"""An external HTTP API on a loopback port, with real sockets, whose answers a test may choose.

By default it holds `bots`: DELETE removes one (204, or 404 if there is none), and GET looks it up
(200 or 404).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic

from tests.support.tcp import TcpServer


@dataclass(frozen=True, slots=True)
class Call:
    """One request as received; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    at: float = field(default_factory=monotonic)

    @property
    def bot(self) -> str:
        """The last part of the path."""
        return self.target.partition("?")[0].rpartition("/")[2]

    @property
    def key(self) -> str:
        """Its Idempotency-Key."""
        return self.headers.get("idempotency-key", "")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer after `delay` seconds. `drop` closes the connection without one; `body` is sent
    `times` times, whatever the length says.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    drop: bool = False
    times: int = 1


Behave = Callable[[Call], Reply | None]
"""The answer to a call; None for the API's default."""


class Api(TcpServer):
    """Listens while entered. `calls` are all calls received, in order."""

    def __init__(self, *bots: str, behave: Behave = lambda _call: None, port: int = 0) -> None:
        super().__init__(port)
        self.bots = set(bots)
        self.behave = behave
        self.calls: list[Call] = []
        self.under_way = 0
        self.most_under_way = 0

    @property
    def host(self) -> str:
        """The name of the host in messages, metrics and breakers."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL for a plan."""
        return f"http://{self.host}/bots/{{bot_id}}"

    def sent(self, method: str) -> list[Call]:
        """The calls with this method."""
        return [call for call in self.calls if call.method == method]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                call = await _read(reader)
                self.calls.append(call)
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                try:
                    if not await self._answer(call, writer):
                        return
                finally:
                    self.under_way -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client is gone
        finally:
            writer.close()

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        reply = self.behave(call) or self._default(call)
        await asyncio.sleep(reply.delay)
        if reply.drop:
            return False
        length = {"Content-Length": str(len(reply.body))} if reply.times == 1 else {}
        lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
        lines += [f"{name}: {value}" for name, value in {**length, **reply.headers}.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        for _ in range(reply.times):
            writer.write(reply.body)
            await writer.drain()
        return reply.times == 1

    def _default(self, call: Call) -> Reply:
        there = call.bot in self.bots
        if call.method == "GET":
            return Reply(200, body=b"{}") if there else Reply(404)
        self.bots.discard(call.bot)
        return Reply(204) if there else Reply(404)


async def _read(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(method, target, headers)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
