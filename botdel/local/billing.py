"""A billing service for the demo: an HTTP API that belongs to somebody else.

It keeps accounts of bots in memory. It can be told to be slow or down, as such an API is now and
then. Where an account has nothing of a kind it answers 410, so that 404 only ever means a path that
does not exist. It closes no account that still runs or has channels.
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
    """The accounts, the mood, and how many calls came in each mood."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.mood = Mood.WELL
        self.calls: Counter[str] = Counter()

    def account(self, bot_id: str) -> Account:
        """Raises 410 when there is none, or none any more."""
        if bot_id not in self.accounts:
            raise HTTPException(410, "no such account")
        return self.accounts[bot_id]

    def part(self, bot_id: str, is_there: Callable[[Account], bool]) -> Account:
        """The account, for one thing that it may have. Raises 410 when it does not have it."""
        account = self.account(bot_id)
        if not is_there(account):
            raise HTTPException(410, "the account has none")
        return account

    def change(self, bot_id: str, **values: object) -> Account:
        """Raises 410 when there is no account."""
        account = self.accounts[bot_id] = self.account(bot_id).model_copy(update=values)
        return account

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
        """Looks for a dispute only after it has changed the account: a call that is refused may
        have had its effect.
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
            raise HTTPException(409, "an account is closed once it is paused and has no channels")
        return billing.accounts.pop(bot_id)

    return calls


def _reads(billing: Billing) -> APIRouter:
    """What an account may have. `withdrawal` is there while the channels are taken down."""
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
    """The API as a process of its own."""

    ready_path = "/control/calls"

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__("billing api", None, on_line)

    def command(self, port: int) -> list[str | Path]:
        return [sys.executable, "-m", "botdel.local.billing", str(port)]


if __name__ == "__main__":
    uvicorn.run(billing_app(), port=int(sys.argv[1]), log_level="warning")
