"""What every long-running process has in common: an HTTP port, and a clean end."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from deletion.process.bounded_http import BoundedHttp
from deletion.process.garbage import startup_frozen
from deletion.process.http_connections import BOUNDS, Bounds, Connections

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: FastAPI, host: str, port: int, *, name: str, grace: float, bounds: Bounds = BOUNDS
) -> AsyncIterator[str]:
    """Serve `app` while the block runs, and yield its URL; port 0 takes a free one.

    `name` is that of the process, as in `BOTDEL_<NAME>_HOST` and `BOTDEL_<NAME>_PORT`. At the end
    no new request is accepted, and those under way get `grace` seconds. Raises `OSError`, naming
    the setting, when the port or the address is not available.
    """
    protocol: Any = partial(BoundedHttp, among=Connections(bounds))
    config = uvicorn.Config(
        app,
        http=protocol,
        timeout_keep_alive=bounds.idle_seconds,  # type: ignore[arg-type]  # fractions work too
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(grace)),
        lifespan="off",
        ws="none",
    )
    listening = _listening(host, port, name, config.backlog)
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
        with startup_frozen():
            yield url
    finally:
        server.should_exit = True
        await running


def _listening(host: str, port: int, name: str, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        of_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        setting = "port" if of_port else "host"
        reason = str(error.strerror).partition(" (while attempting")[0]
        remedy = f"set BOTDEL_{name.upper()}_{setting.upper()} or --{setting}"
        where = f"cannot listen on {host}, port {port}"
        raise OSError(error.errno, f"{where}: {reason}; {remedy}") from error
