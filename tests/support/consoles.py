"""The console as a process, and an operator who acts through its forms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from botdel.local.processes import ChildProcess
from deletion.adapters.unproxied import unproxied
from tests.support.forked import ForkedProcess
from tests.support.pipeline import WITHIN, listening, until

VIEWER = "the-token-of-the-viewer"
OPERATOR = "the-token-of-the-operator"
BY = "otto"
"""The name of the operator."""
HEADERS = {"Authorization": f"Bearer {VIEWER}", "Accept": "text/html"}


@asynccontextmanager
async def console(
    mongo_uri: str, database: str, **settings: str
) -> AsyncIterator[tuple[ChildProcess, httpx.AsyncClient]]:
    """A console that listens, and a client of the viewer. Without `settings` it has no Pub/Sub."""
    environment = {
        "GOOGLE_CLOUD_PROJECT": "a-project",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
        "BOTDEL_MONGODB_URI": mongo_uri,
        "BOTDEL_MONGODB_DATABASE": database,
        "BOTDEL_CONSOLE_USERS": f"vera:viewer:{VIEWER},{BY}:operator:{OPERATOR}",
        "BOTDEL_LOG_FORMAT": "json",
    } | settings
    arguments = ["botdel.cli", "console", "--port", "0"]
    async with ForkedProcess("console", arguments, env=environment) as process:
        url = await listening(process)
        async with unproxied(base_url=url, headers=HEADERS, timeout=WITHIN) as http:
            yield process, http


@dataclass
class Operator:
    """The operator at a console, whose process this is."""

    process: ChildProcess
    http: httpx.AsyncClient

    async def previewed(self, path: str) -> str:
        """Send the form at `path`, which leads to a preview; return the address of the preview."""
        return await self._led_to(path, {})

    async def confirmed(self, preview: str, reason: str) -> str:
        """Confirm the preview; return the id of the action."""
        action = await self._led_to(f"{preview}/confirm", {"reason": reason})
        return action.rpartition("/")[2]

    async def went_on(self, action_id: str) -> None:
        """Do the rest of an action that could not go on."""
        await self._led_to(f"/actions/{action_id}/again", {})

    async def saw(self, path: str, text: str) -> None:
        """Wait until the page at `path` has this text."""

        async def is_there() -> bool:
            return text in (await self.http.get(path)).text

        await until(is_there)

    async def _led_to(self, path: str, form: dict[str, str]) -> str:
        answer = await self.http.post(path, data=form)
        assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
        return answer.headers["location"]


@asynccontextmanager
async def operated(mongo_uri: str, database: str, **settings: str) -> AsyncIterator[Operator]:
    """A console that listens, and its operator."""
    async with console(mongo_uri, database, **settings) as (process, http):
        http.headers["Authorization"] = f"Bearer {OPERATOR}"
        yield Operator(process, http)
