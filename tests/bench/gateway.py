"""The gateway against the least a FastAPI route can do: publish one message and await it.

Both run as processes of their own on the same loop, HTTP parser and emulator, and a third
process makes the load. Rounds alternate, so that whatever else the machine does meets both.
Ours checks the token, the id and the key, encodes, traces, measures and logs besides.

`python -m tests.bench.gateway HOST:PORT` of an emulator prints the medians and their ratios.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from statistics import median
from typing import Final

from local.processes import free_port

CONNECTIONS: Final = (1, 16, 64)
REQUESTS: Final = {1: 1_000, 16: 3_000, 64: 4_000}
"""Of one round, by connections: a second or two."""
ROUNDS: Final = 5
TOKEN: Final = secrets.token_hex(16)
START_SECONDS: Final = 30.0
ROUND_SECONDS: Final = 60.0

Figures = dict[str, float]


async def bench(emulator_host: str, rounds: int = ROUNDS) -> list[dict[str, float]]:
    """One row for each number of connections; a ratio over 1 says that ours is better."""
    async with _server("bare", emulator_host) as bare, _server("ours", emulator_host) as ours:
        for port in (bare, ours):
            await _load(port, max(CONNECTIONS), 2_000)
        return [await _row(bare, ours, number, rounds) for number in CONNECTIONS]


async def _row(bare: int, ours: int, connections: int, rounds: int) -> dict[str, float]:
    found: dict[int, list[Figures]] = {bare: [], ours: []}
    for number in range(rounds):
        for port in (bare, ours) if number % 2 else (ours, bare):
            found[port].append(await _load(port, connections, REQUESTS[connections]))
    row: dict[str, float] = {"connections": connections}
    for name, port in (("bare", bare), ("ours", ours)):
        for figure in ("per_second", "p50_ms", "p99_ms"):
            row[f"{name}_{figure}"] = median(figures[figure] for figures in found[port])
    row["rate_ratio"] = row["ours_per_second"] / row["bare_per_second"]
    row["p50_ratio"] = row["bare_p50_ms"] / row["ours_p50_ms"]
    row["p99_ratio"] = row["bare_p99_ms"] / row["ours_p99_ms"]
    return row


@contextlib.asynccontextmanager
async def _server(name: str, emulator_host: str) -> AsyncIterator[int]:
    port = free_port()
    command = [sys.executable, "-m"]
    command += ["gateway"] if name == "ours" else ["tests.bench.bare_gateway"]
    environment = {
        "PUBSUB_EMULATOR_HOST": emulator_host,
        "GOOGLE_CLOUD_PROJECT": "bench",
        "BOTDEL_TOPIC": f"bench-{name}-{port}",
        "BOTDEL_GATEWAY_TOKENS": TOKEN,
        "BOTDEL_GATEWAY_PORT": str(port),
    }
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **environment}, stdout=output
        )
        try:
            await _answers(port)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def _load(port: int, connections: int, requests: int) -> Figures:
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
