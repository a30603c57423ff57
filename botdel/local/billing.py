"""A billing service for the demo: a third-party HTTP API.

It keeps the bots' accounts in memory, and can be made slow or unavailable. It answers 410 for what
an account does not have, so that 404 always means a wrong path. It refuses to close an account that
is not paused or still has channels.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict

from botdel.local.server import HttpServer

SLOW_SECONDS: Final = 0.3
"""Seconds that every answer takes while the API is slow."""


class Mood(StrEnum):
    """How the API answers."""

    WELL = "well"
    SLOW = "slow"
    DOWN = "down"


class Account(BaseModel):
    """The account of a bot. It is immutable: a change replaces it."""

    model_config = ConfigDict(frozen=True)
    paused: bool = False
    channels: int = 1
    disputed: bool = False


class Billing:
    """The accounts, the mood, and the number of calls in each mood."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.mood = Mood.WELL
        self.calls: Counter[str] = Counter()

    def account(self, bot_id: str) -> Account:
        """Return the account. Raises HTTP 410 if there is none, or no longer."""
        if bot_id not in self.accounts:
            raise HTTPException(410, "no such account")
        return self.accounts[bot_id]

    def part(self, bot_id: str, is_there: Callable[[Account], bool]) -> Account:
        """Return the account if `is_there` says that it has a part. Raises HTTP 410 if not."""
        account = self.account(bot_id)
        if not is_there(account):
            raise HTTPException(410, "the account has none")
        return account

    def change(self, bot_id: str, **values: object) -> Account:
        """Replace `values` of the account. Raises HTTP 410 if there is none."""
        account = self.accounts[bot_id] = self.account(bot_id).model_copy(update=values)
        return account

    async def answer(self, request: Request) -> None:
        """Count the call, and delay it while the API is slow. Raises HTTP 503 while it is down."""
        self.calls[self.mood] += 1
        if self.mood is Mood.DOWN:
            raise HTTPException(503, f"{request.url.path}: down")
        if self.mood is Mood.SLOW:
            await asyncio.sleep(SLOW_SECONDS)


def billing_app() -> FastAPI:
    """The API under `/bots`, and its controls under `/control`."""
    app, billing = FastAPI(openapi_url=None), Billing()
    moody = [Depends(billing.answer)]
    app.include_router(_calls(billing), prefix="/bots/{bot_id}", dependencies=moody)
    app.include_router(_reads(billing), prefix="/bots/{bot_id}", dependencies=moody)
    app.include_router(_controls(billing), prefix="/control")
    return app


def _calls(billing: Billing) -> APIRouter:
    calls = APIRouter()

    @calls.post("/pause")
    async def pause(bot_id: str) -> Account:
        return billing.change(bot_id, paused=True)

    @calls.post("/resume")
    async def resume(bot_id: str) -> Account:
        return billing.change(bot_id, paused=False)

    @calls.delete("/channels")
    async def unpublish(bot_id: str) -> Account:
        """Check for a dispute only after changing the account: a refused call may have had its
        effect.
        """
        account = billing.change(bot_id, channels=0)
        if account.disputed:
            raise HTTPException(409, "the account is disputed: its channels have to stay")
        return account

    @calls.post("/channels")
    async def publish(bot_id: str) -> Account:
        return billing.change(bot_id, channels=1)

    @calls.delete("")
    async def close(bot_id: str) -> Account:
        account = billing.account(bot_id)
        if account.channels or not account.paused:
            raise HTTPException(
                409, "an account can be closed once it is paused and has no channels"
            )
        return billing.accounts.pop(bot_id)

    return calls


def _reads(billing: Billing) -> APIRouter:
    """What an account may have. There is a `withdrawal` while the channels are unpublished."""
    reads = APIRouter()

    @reads.get("")
    async def account(bot_id: str) -> Account:
        return billing.account(bot_id)

    @reads.get("/subscription")
    async def subscription(bot_id: str) -> Account:
        return billing.part(bot_id, lambda account: not account.paused)

    @reads.get("/pause")
    async def pause(bot_id: str) -> Account:
        return billing.part(bot_id, lambda account: account.paused)

    @reads.get("/channels")
    async def channels(bot_id: str) -> Account:
        return billing.part(bot_id, lambda account: account.channels > 0)

    @reads.get("/withdrawal")
    async def withdrawal(bot_id: str) -> Account:
        return billing.part(bot_id, lambda account: account.channels == 0)

    return reads


def _controls(billing: Billing) -> APIRouter:
    controls = APIRouter()

    @controls.put("/accounts")
    async def fill(accounts: dict[str, Account]) -> None:
        billing.accounts = accounts

    @controls.get("/accounts")
    async def accounts() -> dict[str, Account]:
        return billing.accounts

    @controls.put("/mood")
    async def mood(mood: Mood) -> None:
        billing.mood = mood

    @controls.get("/calls")
    async def calls() -> dict[str, int]:
        return billing.calls

    return controls


class BillingApi(HttpServer):
    """The API as a process."""

    ready_path = "/control/calls"

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__("billing api", None, on_line)

    def command(self, port: int) -> list[str | Path]:
        return [sys.executable, "-m", "botdel.local.billing", str(port)]


if __name__ == "__main__":
    uvicorn.run(billing_app(), port=int(sys.argv[1]), log_level="warning")
