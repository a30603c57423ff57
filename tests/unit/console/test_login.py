"""Logging in and out, and what a session is good for."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from structlog.typing import EventDict

from console.forms import FORM_TYPE
from console.pages.login import own_path
from console.sessions import COOKIE, SESSION, Sessions
from console.users import Role, User, Users
from tests.support.clock import VirtualClock
from tests.support.visiting import (
    BROWSER,
    OPERATOR,
    OWN_PAGE,
    USERS,
    VIEWER,
    visiting,
)

pytestmark = pytest.mark.virtual_time

HEADERS = BROWSER | OWN_PAGE


async def test_the_token_of_a_user_starts_a_session() -> None:
    async with visiting() as visited:
        answer = await visited.http.post(
            "/login",
            data={"token": VIEWER.token.get_secret_value(), "next": "/jobs?status=failed"},
            headers=HEADERS,
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?status=failed")
        [cookie] = answer.headers.get_list("set-cookie")
        name, _, rest = cookie.partition("=")
        attributes = {part.strip().lower() for part in rest.split(";")[1:]}
        assert name == "__Host-botdel"
        assert attributes == {
            "httponly",
            "secure",
            "samesite=lax",
            "path=/",
            f"max-age={int(SESSION.total_seconds())}",
        }
        assert (await visited.http.get("/nothing", headers=HEADERS)).status_code == 404
        assert VIEWER.token.get_secret_value() not in cookie


async def test_a_wrong_token_is_refused_and_never_shown_or_logged(logs: list[EventDict]) -> None:
    async with visiting() as visited:
        for offered in ("", "wrong-token-of-nobody", "x" * 1025, "\u202e\x00é"):
            answer = await visited.http.post("/login", data={"token": offered}, headers=HEADERS)
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
            assert "not valid" in answer.text
            assert not offered or offered not in answer.text
    assert "wrong-token" not in str(logs)


async def test_many_refused_log_ins_are_few_lines_of_the_log(logs: list[EventDict]) -> None:
    async with visiting() as visited:
        for _ in range(50):
            await visited.http.post("/login", data={"token": "x"}, headers=HEADERS)
        visited.clock.set(timedelta(seconds=0))
        lines = [each for each in logs if each["event"] == "log-ins refused"]
        assert len(lines) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"token=" + b"x" * 9000, {}, 413),
        (b"token=%ff%fe", {}, 400),
        (b"token=\xc3\xa9", {}, 400),
        (b"&".join(b"a=1" for _ in range(2001)), {}, 400),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b"", {}, 401),
    ],
)
async def test_a_form_that_is_none_is_a_problem(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    async with visiting() as visited:
        sent = HEADERS | {"Content-Type": FORM_TYPE} | headers
        answer = await visited.http.post("/login", content=body, headers=sent)
        assert answer.status_code == status


async def test_logging_out_deletes_the_cookie() -> None:
    async with visiting() as visited:
        headers = HEADERS | visited.cookie(VIEWER)
        answer = await visited.http.post("/logout", headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert answer.headers["set-cookie"].startswith(f'{COOKIE}="";')
        assert "Max-Age=0" in answer.headers["set-cookie"]


def session(*users: User, secret: str | None = None) -> Sessions:
    return Sessions(Users(users), VirtualClock(), secret)


SECRET = "a-secret-that-signs-cookies"


@pytest.mark.proves("console-sessions")
@pytest.mark.parametrize("secret", [None, SECRET])
async def test_a_session_ends_with_its_time_its_token_or_its_role(secret: str | None) -> None:
    clock = VirtualClock()
    sessions = Sessions(Users(USERS), clock, secret)
    cookie = sessions.cookie_of(OPERATOR)
    assert sessions.user(cookie) == OPERATOR
    assert session(*USERS, secret=secret).user(cookie) == OPERATOR, "another replica"
    other_token = User("otto", Role.OPERATOR, SecretStr("another-token-of-otto"))
    other_role = User("otto", Role.VIEWER, OPERATOR.token)
    for changed in ((VIEWER, other_token), (VIEWER, other_role), (VIEWER,)):
        assert session(*changed, secret=secret).user(cookie) is None
    clock.set(SESSION - timedelta(seconds=1))
    assert sessions.user(cookie) == OPERATOR
    clock.set(timedelta(seconds=1))
    assert sessions.user(cookie) is None


@pytest.mark.proves("console-sessions")
async def test_no_cookie_can_be_made_without_the_key() -> None:
    cookie = session(*USERS, secret=SECRET).cookie_of(OPERATOR)
    assert session(*USERS, secret=SECRET[::-1]).user(cookie) is None
    assert session(*USERS).user(cookie) is None
    sessions = session(*USERS, secret=SECRET)
    for at in range(len(cookie) - 1):  # the last character has bits that mean nothing
        changed = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]
        assert sessions.user(changed) is None
    for other in ("", ".", "a.b", cookie[:-1], cookie + "x", "x" * 5000, "[1,2,3]", "é"):
        assert sessions.user(other) is None


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "jobs",
        "",
        "/login",
        "/logout",
        "/\u202e",
    ],
)
def test_nobody_is_sent_elsewhere_after_the_log_in(target: str) -> None:
    assert own_path(target) == "/"


@pytest.mark.parametrize(
    "target", ["/", "/jobs", "/jobs?status=failed&before=1.2", "/jobs/" + "0" * 24]
)
def test_a_link_arrives_where_it_leads(target: str) -> None:
    assert own_path(target) == target
