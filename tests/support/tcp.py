"""A TCP server on a loopback port, in the test's process, with a task for each connection."""

import asyncio
from abc import ABC, abstractmethod
from typing import Self


class TcpServer(ABC):
    """Listens on `port` (0: a free one) while entered, and closes its connections at the end."""

    limit: int = 65_536
    """Bytes of a connection that are buffered."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._serving: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accepted, "127.0.0.1", self.port, limit=self.limit
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def connected(self) -> int:
        """The number of open connections."""
        return len(self._serving)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self.serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
