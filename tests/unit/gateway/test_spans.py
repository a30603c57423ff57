"""Which requests to the gateway have spans: those with a valid token."""

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from deletion.message_spans import MessageSpans
from deletion.process.tokens import BearerTokens
from deletion.tracing import Tracer
from gateway.app import create_app
from tests.support.spans import Kept
from tests.unit.gateway.served import PATH, TOKEN, Bus

REQUEST = "DELETE /v1/bots/{bot_id}"


async def names_after(method: str, path: str, token: str | None) -> tuple[int, list[str]]:
    """The status of an answer, and the spans of its request."""

    async def ready() -> None: ...

    kept = Kept()
    tracer = Tracer(kept)
    app = create_app(
        Bus(),
        BearerTokens([SecretStr(TOKEN)]),
        registry=CollectorRegistry(),
        ready=ready,
        tracer=tracer,
        spans=MessageSpans(tracer, "projects/any/topics/bot-deletion"),
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway", headers=headers
    ) as http:
        return (await http.request(method, path)).status_code, kept.names


@pytest.mark.parametrize(
    ("path", "status", "spans"),
    [(PATH, 202, ["create bot-deletion", REQUEST]), ("/v1/bots/none", 422, [REQUEST])],
)
async def test_a_request_with_a_valid_token_has_one(
    path: str, status: int, spans: list[str]
) -> None:
    assert await names_after("DELETE", path, TOKEN) == (status, spans)


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("DELETE", PATH, None, 401),
        ("DELETE", PATH, "a-token-of-nobody", 401),
        ("GET", PATH, None, 405),
        ("GET", "/v1/nothing", None, 404),
    ],
)
async def test_a_stranger_leaves_none(
    method: str, path: str, token: str | None, status: int
) -> None:
    assert await names_after(method, path, token) == (status, [])
