"""Latency in front of a server: a TCP proxy that holds up everything for half a round trip.

Unlike the proxy of the fault suite it delays without holding back what comes behind: a network that
is far away, not one that is slow.

`python -m tests.bench.delay PORT SECONDS` prints the port it listens on.
"""

import asyncio
import sys
from collections import deque
from contextlib import suppress
from typing import Final

import uvloop

CHUNK: Final = 256 * 1024


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    waiting: deque[bytes] = deque()

    def deliver() -> None:
        writer.write(waiting.popleft())

    with suppress(OSError):
        while data := await reader.read(CHUNK):
            waiting.append(data)
            loop.call_later(delay, deliver)
    await asyncio.sleep(delay)
    writer.transport.abort()


async def serve(target: int, round_trip: float) -> None:
    """Pass everything on to `target` and back, for as long as the process runs."""

    async def accepted(near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        far, requests = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(
            _pass(near, requests, round_trip / 2), _pass(far, answers, round_trip / 2)
        )

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
