"""HEAD is GET without its content, on every path that has GET (RFC 9110, section 9.3.2)."""

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from deletion.adapters.unproxied import unproxied
from deletion.process.head import HeadMiddleware
from deletion.process.problems import install_problems
from deletion.process.serving import serving
from tests.architecture.answering import APPS, TOKEN, Parts
from tests.support.polling import SOON


class Seen:
    """What a middleware outside of `HeadMiddleware` sees of each request, once it is answered."""

    def __init__(self, app: ASGIApp, kept: list[tuple[str, str]]) -> None:
        self._app = app
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        self._kept.append((scope["method"], scope["route"].path))


def an_app(seen: list[tuple[str, str]]) -> FastAPI:
    app = FastAPI()
    install_problems(app)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(Seen, kept=seen)

    @app.get("/shown/{name}")
    async def shown(name: str, request: Request) -> dict[str, str]:
        return {"name": name, "method": request.method}

    @app.post("/done")
    async def done() -> str:
        return "done"

    return app


def asking(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_head_is_answered_as_get_without_the_content() -> None:
    async with asking(an_app([])) as http:
        got, head = await http.get("/shown/a"), await http.head("/shown/a")
    assert (head.status_code, head.headers) == (200, got.headers)
    assert (got.content, head.content) == (b'{"name":"a","method":"GET"}', b"")


async def test_what_counts_and_traces_requests_sees_head_and_its_route() -> None:
    seen: list[tuple[str, str]] = []
    async with asking(an_app(seen)) as http:
        await http.head("/shown/a")
    assert seen == [("HEAD", "/shown/{name}")]


async def test_head_of_what_has_no_get_is_not_allowed() -> None:
    async with asking(an_app([])) as http:
        refused = await http.head("/done")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        assert (await http.post("/shown/a")).headers["allow"] == "GET, HEAD"


async def test_a_server_sends_no_content_and_keeps_the_connection() -> None:
    async with (
        serving(an_app([]), "127.0.0.1", 0, name="gateway", grace=1) as url,
        unproxied(base_url=url, timeout=SOON) as http,
    ):
        head = await http.head("/shown/a")
        got = await http.get("/shown/a")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("name", APPS)
async def test_every_process_answers_head_where_it_answers_get(name: str) -> None:
    app = APPS[name](Parts())
    paths = [
        path.replace("{event_id}", "0" * 8 + "-0000-4000-8000-" + "0" * 12).replace(
            "{sweep_id}", "0" * 24
        )
        for path, operations in app.openapi()["paths"].items()
        if "get" in operations
    ]
    assert paths
    async with asking(app) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        for path in paths:
            got, head = await http.get(path), await http.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers["content-length"] == got.headers["content-length"], path
