"""A console in this process, over parts in memory, and the ways to visit it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from console.pages.render import Renderer
from console.proxy import Proxy
from console.sessions import COOKIE, Sessions
from console.users import Role, User, Users
from console.web import create_app
from tests.support.clock import VirtualClock

ORIGIN: Final = "https://console.example.org"
VIEWER: Final = User("vera", Role.VIEWER, SecretStr("the-token-of-the-viewer"))
OPERATOR: Final = User("otto", Role.OPERATOR, SecretStr("the-token-of-the-operator"))
USERS: Final = (VIEWER, OPERATOR)
OWN_PAGE: Final = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a form of the console."""
BROWSER: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass
class Visited:
    """The application, its clock, and a client without a credential."""

    app: FastAPI
    http: httpx.AsyncClient
    clock: VirtualClock
    sessions: Sessions
    missing: str | None = None

    def cookie(self, user: User) -> dict[str, str]:
        """The header of a browser in which `user` has logged in."""
        return {"Cookie": f"{COOKIE}={self.sessions.cookie_of(user)}"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """A page as the browser of the viewer asks for it. An underscore of a header's name stands
        for a hyphen.
        """
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.http.get(path, headers=BROWSER | self.cookie(VIEWER) | given)


def bearer(user: User) -> dict[str, str]:
    """The header of a program with the token of `user`."""
    return {"Authorization": f"Bearer {user.token.get_secret_value()}"}


@asynccontextmanager
async def visiting(
    routers: Sequence[APIRouter] = (),
    *,
    users: Sequence[User] = USERS,
    own_origin: str | None = ORIGIN,
    proxy: Proxy | None = None,
    clock: VirtualClock | None = None,
    render: Renderer | None = None,
) -> AsyncIterator[Visited]:
    """The console with `routers`."""
    clock = clock or VirtualClock()
    known = Users(users)
    sessions = Sessions(known, clock)

    async def ready() -> str | None:
        return visited.missing

    app = create_app(
        known,
        sessions,
        proxy,
        own_origin=own_origin,
        clock=clock,
        render=render or Renderer(clock),
        registry=CollectorRegistry(),
        ready=ready,
        routers=routers,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=ORIGIN
    ) as http:
        visited = Visited(app, http, clock, sessions)
        yield visited
