"""Receivers of alerts, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

from deletion.alerts import Alert
from deletion.process.serving import serving


class RecordedAlerts:
    """`deletion.alerts.Alerts` that keeps the alerts raised, in order."""

    def __init__(self) -> None:
        self.told: list[Alert] = []

    def tell(self, alert: Alert) -> None:
        """See the port."""
        self.told.append(alert)


@asynccontextmanager
async def webhook() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A server that accepts alerts: its URL, and the alerts it got."""
    app, sent = FastAPI(), []

    @app.post("/hook")
    async def hook(request: Request) -> None:
        sent.append(await request.json())

    async with serving(app, "127.0.0.1", 0, name="webhook", grace=1) as url:
        yield f"{url}/hook", sent
