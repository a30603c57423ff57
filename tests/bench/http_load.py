"""Makes the load: keep-alive connections on loopback, one request at a time on each.

`python -m tests.bench.http_load PORT CONNECTIONS REQUESTS TOKEN` prints its figures as JSON.
Written on bare protocols, so that the server and not the client is measured.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import cast

import uvloop

ACCEPTED = b"HTTP/1.1 202 "
LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is complete."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._answer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(LENGTH)[2].split(b"\r\n", 1)[0]):
            return
        if not head.startswith(ACCEPTED):
            self._load.failed(f"answered {self._answer!r}")
        self._load.seconds.append(perf_counter() - self._sent)
        self._answer = b""
        self._next()

    def connection_lost(self, _: Exception | None) -> None:
        self._load.ended()

    def _next(self) -> None:
        request = self._load.next()
        if request is None:
            self._transport.close()
            return
        self._sent = perf_counter()
        self._transport.write(request)


class Load:
    """A number of requests, shared by the connections that ask for the next one."""

    def __init__(self, connections: int, requests: int, token: str) -> None:
        self.seconds: list[float] = []
        self._open = connections
        self._left = requests
        self._done = asyncio.get_running_loop().create_future()
        self._head = (
            f" HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\nauthorization: Bearer {token}\r\n\r\n"
        )

    def next(self) -> bytes | None:
        """The next request, None when there is none left."""
        if not self._left:
            return None
        self._left -= 1
        return f"DELETE /v1/bots/{self._left:024x}{self._head}".encode()

    def ended(self) -> None:
        """A connection was closed."""
        self._open -= 1
        if not self._open and not self._done.done():
            self._done.set_result(None)

    def failed(self, why: str) -> None:
        """End the run."""
        if not self._done.done():
            self._done.set_exception(RuntimeError(why))

    async def run(self, port: int) -> dict[str, float]:
        """Make the load; seconds to open the connections count as well."""
        loop = asyncio.get_running_loop()
        started = perf_counter()
        for _ in range(self._open):
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
        await self._done
        elapsed = perf_counter() - started
        ordered = sorted(self.seconds)
        return {
            "per_second": len(ordered) / elapsed,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        }


async def main() -> None:
    port, connections, requests, token = sys.argv[1:]
    load = Load(int(connections), int(requests), token)
    print(json.dumps(await load.run(int(port))))


if __name__ == "__main__":
    uvloop.run(main())
