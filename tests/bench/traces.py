"""What traces cost: the gateway with them and without, alternately, at 64 connections.

All traces are sampled. `recorded` has an exporter that does nothing; `exported` posts by OTLP to a
collector that reads and answers, in a process of its own. `off_again` is a second gateway without
traces: its ratio shows by how much two starts of the same code differ. So each gateway is
started several times.

`python -m tests.bench.traces HOST:PORT` of an emulator prints the figures.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from statistics import median
from typing import Final

import psutil

from botdel.local.processes import free_port
from tests.bench.gateway import OURS, WARM_UP, Figures, load, server

CONNECTIONS, REQUESTS = 64, 2_000
STARTS, ROUNDS = 6, 3
RECORDED: Final = ("tests.bench.traced_gateway",)
ON: Final = {"BOTDEL_TRACES": "otlp"}

COLLECTOR: Final = """
import http.server, sys
class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): ...
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector).serve_forever()
"""


async def bench(emulator_host: str, starts: int = STARTS, rounds: int = ROUNDS) -> Figures:
    """Accepted per second without traces, and what each other gateway has in relation to that.

    A ratio over 1 says that the other is better. On a machine that is busy with other work only
    those of the CPU's time say anything.
    """
    found = [row for _ in range(starts) for row in await _started(emulator_host, rounds)]
    return {name: median(row[name] for row in found) for name in found[0]}


async def _started(emulator_host: str, rounds: int) -> list[Figures]:
    """Return the figures of `rounds` rounds with gateways that are started for them."""
    async with contextlib.AsyncExitStack() as stack:
        posted = ON | {"OTEL_EXPORTER_OTLP_ENDPOINT": await stack.enter_async_context(_collector())}
        off = await stack.enter_async_context(server(emulator_host, *OURS))
        others = {
            "off_again": server(emulator_host, *OURS),
            "recorded": server(emulator_host, *RECORDED, settings=ON),
            "exported": server(emulator_host, *OURS, settings=posted),
        }
        ports = {name: await stack.enter_async_context(other) for name, other in others.items()}
        for port in (off, *ports.values()):
            await load(port, CONNECTIONS, WARM_UP)
        return [await _round(off, ports, number) for number in range(rounds)]


async def _round(off: int, ports: dict[str, int], number: int) -> Figures:
    """Each gateway once, the one without traces right before or right after it."""
    figures: Figures = {}
    for name, port in ports.items():
        pair = (off, port) if number % 2 else (port, off)
        loads = {each: await _measured(each) for each in pair}
        figures["off_per_second"] = loads[off]["per_second"]
        figures["off_cpu_us"] = loads[off]["cpu_us"]
        figures[f"{name}_rate_ratio"] = loads[port]["per_second"] / loads[off]["per_second"]
        figures[f"{name}_cpu_ratio"] = loads[off]["cpu_us"] / loads[port]["cpu_us"]
        figures[f"{name}_p99_ratio"] = loads[off]["p99_ms"] / loads[port]["p99_ms"]
    return figures


async def _measured(port: int) -> Figures:
    """One load; `cpu_us` is how long the gateway computed for each request, in microseconds."""
    before = _cpu_seconds(port)
    figures = await load(port, CONNECTIONS, REQUESTS)
    return figures | {"cpu_us": (_cpu_seconds(port) - before) / REQUESTS * 1e6}


def _cpu_seconds(port: int) -> float:
    for process in psutil.Process().children():
        if process.environ().get("BOTDEL_GATEWAY_PORT") == str(port):
            times = process.cpu_times()
            return times.user + times.system
    raise LookupError(port)


@contextlib.asynccontextmanager
async def _collector() -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COLLECTOR, str(port))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    for name, value in asyncio.run(bench(sys.argv[1])).items():
        print(f"{name}={value:.4g}")
