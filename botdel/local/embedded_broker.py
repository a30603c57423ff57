"""The embedded Pub/Sub broker as a process, for tests and demos."""

import sys
from pathlib import Path

from botdel.local.processes import ChildProcess
from botdel.local.server import LocalBroker, OnLine


class EmbeddedBroker(LocalBroker):
    """The broker as a process. With a `folder`, what it confirmed is kept however the process ends;
    without one, everything is lost when it ends.
    """

    described = "the embedded broker, for development only"
    stop_within = 5.0

    def __init__(
        self,
        port: int | None = None,
        on_line: OnLine | None = None,
        *,
        folder: Path | None = None,
    ) -> None:
        super().__init__(port, on_line)
        self._folder = folder
        self.keeps = folder is not None

    def command(self, port: int) -> list[str | Path]:
        kept: list[str | Path] = ["--folder", self._folder] if self._folder else []
        serve = [sys.executable, "-m", "botdel.cli", "local", "pubsub"]
        return [*serve, "--host", "127.0.0.1", "--port", str(port), *kept]

    async def answers(self, process: ChildProcess, port: int) -> bool:
        return any(line.endswith(f"listening on 127.0.0.1:{port}") for line in process.lines)
