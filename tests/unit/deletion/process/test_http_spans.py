"""Spans of HTTP requests, over the smallest application."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from deletion.process.http_answer import AnswersMiddleware
from deletion.process.http_spans import admitted
from deletion.tracing import Kind, Tracer, current
from tests.support.factories import BOT
from tests.support.spans import Kept

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
PATH = f"/v1/things/{BOT}"


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def http(kept: Kept) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()

    @app.api_route("/v1/things/{thing}", methods=["GET", "BREW"])
    async def show(request: Request, thing: str, status: int = 200) -> Response:
        assert current()
        if status == 401:
            return Response(status_code=status)
        admitted(request.scope)
        if status == 599:
            raise LookupError(thing)
        return Response(status_code=status)

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    app.add_middleware(AnswersMiddleware, tracer=Tracer(kept))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://any") as http:
        yield http


async def test_a_request_is_named_by_its_route_and_not_by_its_path(
    http: httpx.AsyncClient, kept: Kept
) -> None:
    await http.get(PATH)
    (span,) = kept.spans
    assert (span.name, span.kind) == ("GET /v1/things/{thing}", Kind.SERVER)
    assert span.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/v1/things/{thing}",
        "http.response.status_code": 200,
    }


async def test_it_continues_the_trace_of_its_caller(http: httpx.AsyncClient, kept: Kept) -> None:
    await http.get(PATH, headers={"traceparent": PARENT})
    (span,) = kept.spans
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)


@pytest.mark.parametrize("given", [[], ["nonsense"], [PARENT, PARENT]])
async def test_without_exactly_one_parent_it_begins_a_trace(
    http: httpx.AsyncClient, kept: Kept, given: list[str]
) -> None:
    await http.get(PATH, headers=[("traceparent", each) for each in given])
    (span,) = kept.spans
    assert span.parent_id is None
    assert span.trace_id != TRACE


async def test_a_caller_whose_trace_is_not_recorded_leaves_no_span(
    http: httpx.AsyncClient, kept: Kept
) -> None:
    await http.get(PATH, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    assert kept.spans == []


@pytest.mark.parametrize(
    ("status", "answered", "error"),
    [(404, 404, None), (503, 503, "503"), (599, 500, "LookupError")],
)
async def test_the_servers_own_failures_are_errors(
    http: httpx.AsyncClient, kept: Kept, status: int, answered: int, error: str | None
) -> None:
    await http.get(PATH, params={"status": status})
    (span,) = kept.spans
    assert (span.attributes["http.response.status_code"], span.error) == (answered, error)
    assert BOT not in str(span.attributes)


async def test_probes_have_no_spans(http: httpx.AsyncClient, kept: Kept) -> None:
    await http.get("/healthz")
    assert kept.spans == []


async def test_a_method_of_nobodys_is_not_named(http: httpx.AsyncClient, kept: Kept) -> None:
    await http.request("BREW", PATH)
    (span,) = kept.spans
    assert span.name == "HTTP /v1/things/{thing}"
    assert span.attributes["http.request.method"] == "_OTHER"


@pytest.mark.parametrize(
    ("method", "path", "answered"),
    [("GET", f"{PATH}?status=401", 401), ("GET", "/v1/nothing", 404), ("PUT", PATH, 405)],
)
async def test_what_is_refused_before_its_caller_is_known_has_no_span(
    http: httpx.AsyncClient, kept: Kept, method: str, path: str, answered: int
) -> None:
    assert (await http.request(method, path)).status_code == answered
    assert kept.spans == []
