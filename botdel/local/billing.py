"""A billing service for the demo: an HTTP API that belongs to somebody else.

It keeps accounts of bots in memory. It can be told to be slow or down, as such an API is now and
then, and it refuses for good to close an account that is disputed.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from botdel.local.server import HttpServer

SLOW_SECONDS: Final = 0.3
"""Seconds that every answer takes while it is slow."""


class Mood(StrEnum):
    """How the API answers."""

    WELL = "well"
    SLOW = "slow"
    DOWN = "down"


class Account(BaseModel):
    """What is kept of a bot. It is never changed, but replaced."""

    model_config = ConfigDict(frozen=True)
    paused: bool = False
    channels: int = 1
    disputed: bool = False


class Billing:
    """The accounts, the mood, and how often each call was made while it was down."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.mood = Mood.WELL
        self.calls: Counter[str] = Counter()

    def account(self, bot_id: str) -> Account:
        """Raises 404 when there is none, or none any more."""
        if bot_id not in self.accounts:
            raise HTTPException(404, "no such account")
        return self.accounts[bot_id]

    async def answer(self, request: Request) -> None:
        """Count the call, and treat it as the mood is. Raises 503 while it is down."""
        self.calls[self.mood] += 1
        if self.mood is Mood.DOWN:
            raise HTTPException(503, f"{request.url.path}: down")
        if self.mood is Mood.SLOW:
            await asyncio.sleep(SLOW_SECONDS)


def billing_app() -> FastAPI:
    """The API under `/bots`, and its controls under `/control`."""
    app, billing = FastAPI(openapi_url=None), Billing()
    moody = [Depends(billing.answer)]

    def change(bot_id: str, **values: object) -> Account:
        account = billing.accounts[bot_id] = billing.account(bot_id).model_copy(update=values)
        return account

    @app.post("/bots/{bot_id}/pause", dependencies=moody)
    async def pause(bot_id: str) -> Account:
        return change(bot_id, paused=True)

    @app.post("/bots/{bot_id}/resume", dependencies=moody)
    async def resume(bot_id: str) -> Account:
        return change(bot_id, paused=False)

    @app.delete("/bots/{bot_id}/channels", dependencies=moody)
    async def unpublish(bot_id: str) -> Account:
        if billing.account(bot_id).disputed:
            raise HTTPException(409, "the account is disputed: its channels stay")
        return change(bot_id, channels=0)

    @app.post("/bots/{bot_id}/channels", dependencies=moody)
    async def publish(bot_id: str) -> Account:
        return change(bot_id, channels=1)

    @app.delete("/bots/{bot_id}", dependencies=moody)
    async def close(bot_id: str) -> JSONResponse:
        gone = billing.accounts.pop(bot_id, None)
        return JSONResponse({}, 404 if gone is None else 200)

    @app.get("/bots/{bot_id}", dependencies=moody)
    async def read(bot_id: str) -> Account:
        return billing.account(bot_id)

    @app.put("/control/accounts")
    async def fill(accounts: dict[str, Account]) -> None:
        billing.accounts = accounts

    @app.get("/control/accounts")
    async def accounts() -> dict[str, Account]:
        return billing.accounts

    @app.put("/control/mood")
    async def mood(mood: Mood) -> None:
        billing.mood = mood

    @app.get("/control/calls")
    async def calls() -> dict[str, int]:
        return billing.calls

    return app


class BillingApi(HttpServer):
    """The API as a process of its own."""

    ready_path = "/control/calls"

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__("billing api", None, on_line)

    def command(self, port: int) -> list[str | Path]:
        return [sys.executable, "-m", "botdel.local.billing", str(port)]


if __name__ == "__main__":
    uvicorn.run(billing_app(), port=int(sys.argv[1]), log_level="warning")
