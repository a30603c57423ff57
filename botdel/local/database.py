"""An embedded MongoDB for one machine: the real wire protocol, on disk, from a Python package.

SecantusDB replaces a real MongoDB where there is none. Only this file knows about it: the product
only gets a URI.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from botdel.local.processes import ChildProcess
from botdel.local.server import LocalServer
from deletion.errors import ConfigurationError

PROGRAM: Final = "secantusd-py"
URI_OPTIONS: Final = "retryWrites=false&directConnection=true"
"""It advertises a replica set but has neither retryable writes nor a second member to find."""
PING_WITHIN_MS: Final = 2_000
"""Milliseconds for one readiness probe."""


class EmbeddedMongo(LocalServer):
    """The database as a process. Its folder, `storage`, is created if missing and kept at the end.

    An acknowledged write is on disk and survives `kill`. Two processes cannot share a folder.
    Raises ConfigurationError if the server is not installed.
    """

    stop_within = 3.0
    """It takes two seconds; a SIGTERM soon after a connection can hang it, and SIGKILL is safe."""

    def __init__(
        self, storage: Path, port: int | None = None, on_line: Callable[[str], None] | None = None
    ) -> None:
        super().__init__("mongodb", port, on_line)
        self._program = find_program()
        self._storage = storage.resolve()

    @property
    def uri(self) -> str:
        """The URI, as BOTDEL_MONGODB_URI wants it."""
        return _uri(self.port)

    def command(self, port: int) -> list[str | Path]:
        self._storage.mkdir(parents=True, exist_ok=True)
        where = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", str(self._storage)]
        return [self._program, *where, "--log-level", "WARNING", "--sync-on-commit"]

    async def answers(self, process: ChildProcess, port: int) -> bool:
        try:
            client: AsyncMongoClient[dict[str, Any]]
            async with AsyncMongoClient(_uri(port), timeoutMS=PING_WITHIN_MS) as client:
                await client.admin.command("ping")
                status = await client.admin.command("serverStatus")
        except PyMongoError:
            return False
        return bool(status["pid"] == process.pid)


def find_program() -> Path:
    """Return the server's program, installed beside this Python. Raises ConfigurationError."""
    program = Path(sys.executable).with_name(PROGRAM)
    if not program.is_file():
        raise ConfigurationError(
            f"the embedded MongoDB is not installed, {program} is missing (package SecantusDB)",
            "install the extra that has it: pip install 'bot-deletion-pipeline[local]', in a "
            "checkout pip install -e '.[local]'; or set BOTDEL_MONGODB_URI to a MongoDB you have",
        )
    return program


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?{URI_OPTIONS}"
