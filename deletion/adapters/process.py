"""What every long-running process has in common: signals, an HTTP port, a clean end."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from fastapi import FastAPI

log = structlog.get_logger(__name__)


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(received: signal.Signals) -> None:
        if stopping.is_set():
            os._exit(128 + received)
        log.info("stopping", signal=received.name)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: FastAPI, host: str, port: int, *, name: str, grace: float
) -> AsyncIterator[str]:
    """Serve `app` while the block runs and give its URL; port 0 takes a free one.

    At the end no new request is taken, and those under way get `grace` seconds.
    Raises `OSError` when the port is taken.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(grace)),
        lifespan="off",
        ws="none",
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=config.backlog)
    name_in_url = f"[{host}]" if ":" in host else host
    url = f"http://{name_in_url}:{listening.getsockname()[1]}"
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.wait({running}, timeout=0.02)
            if running.done():
                running.result()
                raise OSError(f"cannot serve on {url}")
        log.info("listening", process=name, url=url)
        yield url
    finally:
        server.should_exit = True
        await running
