"""What is refused is a page for a person, and a problem for a program."""

from dataclasses import dataclass, field
from typing import NoReturn

import httpx
import pytest
from fastapi import APIRouter

from console.accept import LONGEST_ACCEPT, prefers_html
from console.pages.render import Renderer
from console.users import User
from deletion.process.problems import PROBLEM
from tests.support.visiting import BROWSER, OPERATOR, OWN_PAGE, VIEWER, Console, Visited, visiting
from tests.unit.console.paged import Page

pytestmark = pytest.mark.virtual_time

TOO_LARGE = {"Content-Length": "65537"}


@dataclass(frozen=True)
class Refused:
    """A request, by whom, and how it is refused."""

    status: int
    method: str
    path: str
    says: str
    by: User | None = VIEWER
    headers: dict[str, str] = field(default_factory=dict)


REFUSALS = {
    "no session": Refused(401, "POST", "/jobs/retry", "a credential is required", None),
    "a wrong token": Refused(
        401, "POST", "/act", "not valid", headers={"Authorization": "Bearer wrong"}
    ),
    "a viewer acts": Refused(403, "POST", "/jobs/retry", "this needs the role operator"),
    "another site": Refused(
        403, "POST", "/logout", "another site", headers={"Sec-Fetch-Site": "cross-site"}
    ),
    "no such page": Refused(404, "GET", "/nothing", "Not Found"),
    "no such record": Refused(404, "GET", f"/jobs/{'0' * 24}", "there is no job"),
    "no such method": Refused(405, "PUT", "/jobs", "Method Not Allowed", OPERATOR),
    "too large": Refused(413, "POST", "/login", "exceeds 65536 bytes", None, TOO_LARGE),
    "a wrong filter": Refused(422, "GET", "/jobs?bot=x", "bot: expected 24 hex digits"),
    "an error": Refused(500, "GET", "/broken", "an unexpected error: see the log"),
    "an error of the API": Refused(500, "GET", "/v1/broken", "an unexpected error: see the log"),
}


def broken() -> APIRouter:
    """Routes that raise what nobody expects."""
    router = APIRouter(include_in_schema=False)

    async def fail() -> NoReturn:
        raise RuntimeError("a secret")

    for path in ("/broken", "/v1/broken"):
        router.add_api_route(path, fail, methods=["GET"], response_model=None)
    return router


async def ask(refused: Refused, accept: dict[str, str]) -> httpx.Response:
    console = Console()
    render = Renderer(console.clock)
    pages = [*console.routers(render), broken()]
    async with visiting(pages, clock=console.virtual, render=render) as visited:
        headers = accept | OWN_PAGE | _cookie(visited, refused.by) | refused.headers
        return await visited.http.request(refused.method, refused.path, headers=headers)


def _cookie(visited: Visited, user: User | None) -> dict[str, str]:
    return visited.cookie(user) if user else {}


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_program_gets_a_problem(refused: Refused) -> None:
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/html;q=0.5"}):
        answer = await ask(refused, accept)
        assert (answer.status_code, answer.headers["content-type"]) == (refused.status, PROBLEM)
        assert refused.says in answer.json()["detail"]


@pytest.mark.parametrize(
    "refused",
    [each for each in REFUSALS.values() if not each.path.startswith("/v1/")],
    ids=[name for name, each in REFUSALS.items() if not each.path.startswith("/v1/")],
)
async def test_a_person_gets_a_page(refused: Refused) -> None:
    answer = await ask(refused, BROWSER)
    assert answer.status_code == refused.status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.says(refused.says)
    assert page.says(str(answer.status_code))
    assert "a secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if refused.status == 401:
        assert "/login" in page.links
        assert "www-authenticate" in answer.headers
    elif refused.by:
        assert page.says(refused.by.name), "the same layout as every page"
        assert "/requests" in page.links


async def test_the_api_never_answers_with_a_page() -> None:
    for refused in (REFUSALS["an error of the API"], Refused(404, "GET", "/v1/x", "Not Found")):
        answer = await ask(refused, BROWSER)
        assert (answer.status_code, answer.headers["content-type"]) == (refused.status, PROBLEM)


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        (BROWSER["Accept"], True),
        ("text/html;q=0", False),
        ("application/json", False),
        ("application/json;q=0.5, text/html", True),
        ("text/html;q=0.5, application/json;q=0.6", False),
        (f"text/html;q=0.5, {PROBLEM}", False),
        ("text/html;q=x", False),
        ("text/html;level=1;q=0.4,application/json;q=0.3", True),
        (";,=;q,,", False),
    ],
)
def test_html_is_preferred_if_it_weighs_as_much_as_json(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


def test_a_header_that_no_browser_sends_is_not_read() -> None:
    longest = f"text/html,{'*' * (LONGEST_ACCEPT - 10)}"
    assert prefers_html(longest)
    assert not prefers_html(f"{longest}*")
