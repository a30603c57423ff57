"""A gateway in this process, over a bus in memory."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from deletion.bus import Message
from deletion.process.problems import PROBLEM
from deletion.process.tokens import BearerTokens, NamedToken
from gateway.app import create_app

BOT = "65f0a1b2c3d4e5f607182930"
PATH = f"/v1/bots/{BOT}"
TOKEN = "a-token-that-is-long-enough"
OTHER_TOKEN = "another-token-long-enough"
NEXT_TOKEN = "the-next-token-of-portal"
NOW = datetime(2025, 3, 30, 1, 59, 59, 250_999, UTC)


@dataclass
class Bus:
    """`deletion.bus.Publisher` that keeps what it gets, or refuses it, or waits."""

    published: list[Message] = field(default_factory=list)
    refusal: Exception | None = None
    confirmation: asyncio.Event | None = None

    async def publish(self, message: Message) -> None:
        if self.refusal:
            raise self.refusal
        self.published.append(message)
        if self.confirmation:
            await self.confirmation.wait()


@dataclass
class Served:
    """The application, what stands behind it, and a client with a good token."""

    app: FastAPI
    bus: Bus
    http: httpx.AsyncClient
    registry: CollectorRegistry
    missing: str | None = None

    def count(self, outcome: str) -> float:
        labels = {"outcome": outcome}
        return self.registry.get_sample_value("botdel_gateway_requests_total", labels) or 0


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """Every answer the client gets is held against the OpenAPI document."""
    bus, registry = Bus(), CollectorRegistry()

    async def ready() -> str | None:
        return state.missing

    app = create_app(
        bus,
        BearerTokens(
            [
                NamedToken("portal", SecretStr(OTHER_TOKEN)),
                SecretStr(TOKEN),
                NamedToken("portal", SecretStr(NEXT_TOKEN)),
            ]
        ),
        registry=registry,
        ready=ready,
        now=lambda: NOW,
    )

    async def check(answer: httpx.Response) -> None:
        assert_documented(app, answer)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {TOKEN}"},
        event_hooks={"response": [check]},
    ) as http:
        state = Served(app, bus, http, registry)
        yield state


def assert_documented(app: FastAPI, answer: httpx.Response) -> None:
    """The OpenAPI document knows the status, the media type and the headers of the answer."""
    path = re.sub("^/v1/bots/[^/]+$", "/v1/bots/{bot_id}", answer.request.url.path)
    operation = app.openapi()["paths"].get(path, {}).get(answer.request.method.lower())
    if operation is None:
        assert answer.status_code in (200, 404, 405), "an answer of no operation"
        return
    documented = operation["responses"][str(answer.status_code)]
    assert answer.headers["content-type"].split(";")[0] in documented["content"]
    special = {"retry-after", "www-authenticate"} & set(answer.headers)
    assert special == {name.lower() for name in documented.get("headers", {})}


def problem(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == PROBLEM
    content = answer.json()
    assert content["status"] == answer.status_code
    assert content.keys() == {"title", "status", "detail"}
    return content
