"""Who may do what, for every route of the router itself, every role and every way."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import iter_route_contexts

from console.access import CHALLENGE, visitor_of
from console.pages.render import Renderer
from console.users import User, Way
from deletion.process.problems import PROBLEM
from tests.support.visiting import (
    BROWSER,
    OPERATOR,
    ORIGIN,
    OWN_PAGE,
    VIEWER,
    Console,
    Visited,
    bearer,
    visiting,
)

pytestmark = pytest.mark.virtual_time

ID = "0" * 24
PUBLIC = {"/healthz", "/readyz", "/metrics", "/login", "/static/{mark}/{name}"}
"""What anybody may get."""
FOR_EVERYBODY = {"/login", "/logout"}
"""What anybody may post to, from a page of the console."""
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def acting() -> APIRouter:
    """Routes that change something, without any check of their own."""
    router = APIRouter(include_in_schema=False)

    async def act(request: Request) -> dict[str, str]:
        visitor = visitor_of(request)
        return {"name": visitor.name, "way": visitor.way.value}

    for path in ("/act", "/v1/act"):
        router.add_api_route(path, act, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    return router


@asynccontextmanager
async def everything() -> AsyncIterator[Visited]:
    """The whole console, and routes that change something."""
    console = Console()
    render = Renderer(console.clock)
    pages = [*console.routers(render), acting()]
    async with visiting(pages, clock=console.virtual, render=render) as visited:
        yield visited


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path of the router."""
    for context in iter_route_contexts(app.routes):
        assert context.path is not None, "a route that this test cannot ask for"
        for method in context.methods or ():
            yield method, context.path


def ways(visited: Visited, user: User | None) -> dict[str, dict[str, str]]:
    """The credentials of each way to visit; those of nobody if there is no user."""
    if user is None:
        return {
            "none": {},
            "wrong bearer": {"Authorization": "Bearer not-a-token-of-anybody"},
            "wrong cookie": {"Cookie": "__Host-botdel=forged.cookie"},
            "unverified proxy": {"X-Goog-IAP-JWT-Assertion": "a.b.c"},
        }
    return {"bearer": bearer(user), "session": visited.cookie(user)}


async def asked(visited: Visited, method: str, path: str, headers: dict[str, str]) -> int:
    address = path.replace("{mark}", "m").replace("{name}", "n")
    address = "".join(
        f"/{ID}" if part.startswith("{") else f"/{part}" for part in address.split("/")[1:]
    )
    return (await visited.http.request(method, address, headers=headers)).status_code


@pytest.mark.proves("console-access")
async def test_every_route_is_refused_to_whoever_may_not() -> None:
    async with everything() as visited:
        found = list(routes(visited.app))
        assert {("POST", "/act"), ("GET", "/openapi.json"), ("GET", "/jobs/{job_id}")} <= set(found)
        assert ("GET", "/v1/deletions/{event_id}") in found
        for method, path in found:
            for way, headers in ways(visited, None).items():
                if path == "/logout" and way == "wrong bearer":
                    continue  # whoever says who they are must be right
                status = await asked(visited, method, path, headers | OWN_PAGE)
                is_public = path in PUBLIC if method in ("GET", "HEAD") else path in FOR_EVERYBODY
                refused = status == HTTPStatus.UNAUTHORIZED and path != "/login"
                assert refused is not is_public, (method, path, way, status)


@pytest.mark.proves("console-access")
async def test_head_is_answered_as_get_on_every_route_to_everybody() -> None:
    async with everything() as visited:
        for path in sorted({path for method, path in routes(visited.app) if method == "GET"}):
            for user in (None, VIEWER):
                headers = ways(visited, user)["session" if user else "none"]
                got = await asked(visited, "GET", path, headers)
                assert await asked(visited, "HEAD", path, headers) == got, (path, user)


@pytest.mark.proves("console-access")
@pytest.mark.parametrize("user", [VIEWER, OPERATOR], ids=["viewer", "operator"])
async def test_every_route_is_open_to_a_role_as_its_method_says(user: User) -> None:
    async with everything() as visited:
        for method, path in routes(visited.app):
            for way, headers in ways(visited, user).items():
                status = await asked(visited, method, path, headers | OWN_PAGE)
                may = method in ("GET", "HEAD") or path in FOR_EVERYBODY or user is OPERATOR
                is_refused = status in REFUSED and path != "/login"
                assert is_refused is not may, (method, path, way, status)


async def test_a_path_that_no_route_has_is_refused_first() -> None:
    async with visiting() as visited:
        assert (await visited.http.get("/nothing")).status_code == 401
        assert (await visited.http.get("/nothing", headers=bearer(VIEWER))).status_code == 404
        assert (await visited.http.post("/nothing", headers=bearer(VIEWER))).status_code == 403


FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "a neighbour": {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
    "typed by hand": {"Sec-Fetch-Site": "none"},
    "another origin": {"Origin": "https://evil.example"},
    "an origin that is hidden": {"Origin": "null"},
    "an origin that begins alike": {"Origin": f"{ORIGIN}.evil.example"},
    "nothing said": {},
}


@pytest.mark.proves("console-access")
@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
async def test_a_session_acts_only_from_a_page_of_the_console(foreign: dict[str, str]) -> None:
    async with visiting([acting()]) as visited:
        for path in ("/act", "/logout", "/login"):
            cookie = visited.cookie(OPERATOR)
            answer = await visited.http.post(path, headers=cookie | foreign)
            assert answer.status_code == 403, path
        asked = await visited.http.get("/act", headers=visited.cookie(OPERATOR) | foreign)
        assert asked.json()["way"] == Way.SESSION, "a link from an alert arrives logged in"


@pytest.mark.parametrize("own", [OWN_PAGE, {"Origin": ORIGIN}], ids=["fetch metadata", "origin"])
async def test_a_session_acts_from_a_page_of_the_console(own: dict[str, str]) -> None:
    async with visiting([acting()]) as visited:
        answer = await visited.http.post("/act", headers=visited.cookie(OPERATOR) | own)
        assert answer.json() == {"name": "otto", "way": "session"}


async def test_without_its_own_address_the_console_trusts_no_origin() -> None:
    async with visiting([acting()], own_origin=None) as visited:
        headers = visited.cookie(OPERATOR) | {"Origin": ORIGIN}
        answer = await visited.http.post("/act", headers=headers)
        assert answer.status_code == 403
        assert "BOTDEL_CONSOLE_URL is not set: set it to the address" in answer.text


async def test_a_bearer_token_acts_from_anywhere() -> None:
    async with visiting([acting()]) as visited:
        for foreign in FOREIGN.values():
            answer = await visited.http.post("/act", headers=bearer(OPERATOR) | foreign)
            assert answer.json() == {"name": "otto", "way": "bearer"}


async def test_a_wrong_bearer_token_is_not_made_up_for_by_a_cookie() -> None:
    async with visiting([acting()]) as visited:
        headers = visited.cookie(OPERATOR) | OWN_PAGE | {"Authorization": "Bearer wrong"}
        answer = await visited.http.post("/act", headers=headers)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


HOSTS = ("console/healthz?", "console/static/x?", "console/login#", "x/healthz")


@pytest.mark.proves("console-access")
@pytest.mark.parametrize("host", HOSTS)
async def test_the_host_header_does_not_choose_the_path(host: str) -> None:
    async with visiting([acting()]) as visited:
        for method in ("GET", "POST"):
            answer = await visited.http.request(method, "/act", headers=OWN_PAGE | {"Host": host})
            assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/static/../act", "/static/%2e%2e/act", "//act", "/login/../act"])
async def test_no_spelling_of_a_path_leads_past_the_check(path: str) -> None:
    async with visiting([acting()]) as visited:
        raw = httpx.URL(ORIGIN).copy_with(raw_path=path.encode())
        answer = await visited.http.send(httpx.Request("GET", raw))
        assert answer.status_code in (401, 404)
        assert "way" not in answer.text


async def test_a_large_body_is_refused_before_a_credential_is_looked_at() -> None:
    async with visiting([acting()]) as visited:
        for length in ("65537", "9" * 40, "9" * 5000, "-1", "x", "1e3"):
            answer = await visited.http.post("/act", headers={"Content-Length": length})
            assert answer.status_code == 413, length


async def test_a_program_gets_a_problem_and_a_person_the_log_in() -> None:
    async with visiting([acting()]) as visited:
        program = await visited.http.get("/v1/act")
        assert program.status_code == 401
        assert program.headers["content-type"] == PROBLEM
        assert program.headers["www-authenticate"] == CHALLENGE
        person = await visited.http.get("/jobs?status=failed&q=%22", headers=BROWSER)
        assert person.status_code == 303
        assert person.headers["location"] == "/login?next=/jobs%3Fstatus%3Dfailed%26q%3D%2522"
        posted = await visited.http.post("/act", headers=BROWSER | OWN_PAGE)
        assert posted.status_code == 401, "what was sent must not be sent again by a redirect"


async def test_a_poll_whose_session_has_ended_loads_the_page_again() -> None:
    async with visiting() as visited:
        answer = await visited.http.get("/jobs?part=1", headers=BROWSER | {"HX-Request": "true"})
        assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")
