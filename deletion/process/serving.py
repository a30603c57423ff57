"""What every long-running process has in common: an HTTP port, and a clean end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from fastapi import FastAPI

log = structlog.get_logger(__name__)


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
