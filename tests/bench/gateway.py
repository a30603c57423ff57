"""The gateway against the least a FastAPI route can do: publish one message and await it.

Both run as processes of their own on the same loop, HTTP parser and emulator, and a third
process makes the load. Each round measures both, one right after the other and in turns the
first, so that whatever else the machine does meets both; medians of the rounds are shown. Ours
checks the token, the id and the key, encodes, traces, measures and logs besides.

The last row has a round trip of 200 ms between both and Pub/Sub: there it counts how many requests
may be under way at once.

`python -m tests.bench.gateway HOST:PORT` of an emulator prints a row for each load.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from statistics import median
from typing import Final

from botdel.local.processes import free_port

REQUESTS: Final = {1: 400, 16: 1_500, 64: 2_000}
"""Of one round, by keep-alive connections: half a second each."""
FAR_CONNECTIONS, FAR_REQUESTS, FAR_SECONDS = 64, 640, 0.2
"""Ten requests on each connection, and the latency: the best there could be is 320 per second."""
WARM_UP: Final = 2_000
ROUNDS: Final = 9
TOKEN: Final = secrets.token_hex(16)
START_SECONDS: Final = 30.0
ROUND_SECONDS: Final = 60.0

BARE: Final = ("tests.bench.bare_gateway",)
OURS: Final = ("botdel.cli", "gateway")

Figures = dict[str, float]
"""`per_second`, and `p50_ms` and `p99_ms` of the time to answer."""


async def bench(emulator_host: str, rounds: int = ROUNDS) -> list[Figures]:
    """One row for each number of connections; a ratio over 1 says that ours is better."""
    async with _both(emulator_host) as (bare, ours):
        rows = [
            await _row(bare, ours, connections, requests, rounds)
            for connections, requests in REQUESTS.items()
        ]
    async with _far(emulator_host) as far, _both(far) as (bare, ours):
        row = await _row(bare, ours, FAR_CONNECTIONS, FAR_REQUESTS, rounds)
    return [*rows, {"latency_ms": FAR_SECONDS * 1e3} | row]


@contextlib.asynccontextmanager
async def _both(host: str) -> AsyncIterator[tuple[int, int]]:
    async with server(host, *BARE) as bare, server(host, *OURS) as ours:
        for port in (bare, ours):
            await load(port, max(REQUESTS), WARM_UP)
        yield bare, ours


@contextlib.asynccontextmanager
async def _far(host: str) -> AsyncIterator[str]:
    """The emulator behind a latency."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.delay", host.rpartition(":")[2], str(FAR_SECONDS)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        yield f"127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()


async def _row(bare: int, ours: int, connections: int, requests: int, rounds: int) -> Figures:
    found: list[Figures] = []
    for number in range(rounds):
        ports = (bare, ours) if number % 2 else (ours, bare)
        loads = {port: await load(port, connections, requests) for port in ports}
        found.append(_compared(loads[bare], loads[ours]))
    return {"connections": connections} | {
        name: median(row[name] for row in found) for name in found[0]
    }


def _compared(bare: Figures, ours: Figures) -> Figures:
    return {
        **{f"bare_{name}": figure for name, figure in bare.items()},
        **{f"ours_{name}": figure for name, figure in ours.items()},
        "rate_ratio": ours["per_second"] / bare["per_second"],
        "p50_ratio": bare["p50_ms"] / ours["p50_ms"],
        "p99_ratio": bare["p99_ms"] / ours["p99_ms"],
    }


@contextlib.asynccontextmanager
async def server(
    emulator_host: str, *command: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[int]:
    """A process with a topic of its own that listens; yields its port."""
    port = free_port()
    environment = {
        "PUBSUB_EMULATOR_HOST": emulator_host,
        "GOOGLE_CLOUD_PROJECT": "bench",
        "BOTDEL_TOPIC": f"bench-{secrets.token_hex(8)}",
        "BOTDEL_GATEWAY_TOKENS": TOKEN,
        "BOTDEL_GATEWAY_PORT": str(port),
        **(settings or {}),
    }
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command), env={**os.environ, **environment}, stdout=output
        )
        try:
            await _listening(port)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def load(port: int, connections: int, requests: int) -> Figures:
    """Make so many requests on so many connections, from another process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.http_load"),
        *(str(port), str(connections), str(requests), TOKEN),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(ROUND_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    figures: Figures = json.loads(output)
    return figures


if __name__ == "__main__":
    for row in asyncio.run(bench(sys.argv[1])):
        print(*(f"{name}={value:.4g}" for name, value in row.items()))
