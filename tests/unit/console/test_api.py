"""The API of the console, over parts in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr

from console.api import MOST_LISTED, create_api
from console.cursor import as_cursor, as_position
from deletion.job import Failure, Status, StepProgress
from deletion.process.problems import PROBLEM, install_problems
from deletion.process.tokens import BearerTokens
from tests.support.clock import START
from tests.support.factories import BOT, LEDGER_POLICY, OTHER_BOT
from tests.unit.console.looking import Away, World, later

pytestmark = pytest.mark.virtual_time

TOKEN = "a-token-that-is-long-enough"
PATH = "/v1/deletions"
NOBODYS = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
HOSTILE = '<script>alert(1)</script>"\u202e\x00\x1b[2J\U0001f600'


@dataclass
class Served:
    world: World
    http: httpx.AsyncClient

    async def shown(self, event_id: str) -> Any:
        answer = await self.http.get(f"{PATH}/{event_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def listed(self, **query: Any) -> Any:
        answer = await self.http.get(PATH, params={"bot_id": BOT} | query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest_asyncio.fixture(loop_scope="function")
async def served() -> AsyncIterator[Served]:
    world = World()
    async with serving(world) as http:
        yield Served(world, http)


def serving(world: World) -> httpx.AsyncClient:
    app = FastAPI()
    install_problems(app)
    app.include_router(create_api(world.deletions, BearerTokens([SecretStr(TOKEN)])))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://console",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )


def problem(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == PROBLEM
    content = answer.json()
    assert content["status"] == answer.status_code
    return content


async def test_a_deletion_is_shown_with_its_services(served: Served) -> None:
    request = await served.world.request("analytics", "billing", "media", requested_by="portal")
    steps = (StepProgress("rows", deleted=1200), StepProgress("files", deleted=34))
    complete = await served.world.job(
        request, service="analytics", status=Status.COMPLETE, steps=steps, finished_at=later(60)
    )
    waiting = await served.world.job(request, service="billing")
    assert await served.shown(request.id) == {
        "event_id": request.id,
        "bot_id": BOT,
        "placed_at": "2025-03-30T01:59:59.250Z",
        "requested_by": "portal",
        "state": "open",
        "deadline": "2025-04-29T01:59:59.250Z",
        "settled_at": None,
        "services": [
            {
                "service": "analytics",
                "state": "complete",
                "job_id": complete.id,
                "reason": "everything is deleted, and was read back empty",
                "waiver": None,
                "deleted": 1234,
                "since": "2025-03-30T02:00:59.250Z",
            },
            {
                "service": "billing",
                "state": "pending",
                "job_id": waiting.id,
                "reason": "pending at place 1",
                "waiver": None,
                "deleted": 0,
                "since": "2025-03-30T01:59:59.250Z",
            },
            {
                "service": "media",
                "state": "missing",
                "job_id": None,
                "reason": "no job yet: no consumer of media has recorded the request; start one if "
                "none is running",
                "waiver": None,
                "deleted": 0,
                "since": "2025-03-30T01:59:59.250Z",
            },
        ],
    }


async def test_ids_are_found_in_either_case(served: Served) -> None:
    request = await served.world.request()
    assert (await served.shown(request.id.upper()))["event_id"] == request.id
    assert len((await served.listed(bot_id=BOT.upper()))["deletions"]) == 1


async def test_a_settled_one_says_since_when(served: Served) -> None:
    request = await served.world.request()
    settled = request.completed("conversations", "a" * 24, later(1))
    served.world.requests.requests[request.id] = settled
    found = await served.shown(request.id)
    assert (found["state"], found["settled_at"]) == ("settled", "2025-03-30T02:00:00.250Z")


async def test_an_event_that_nobody_placed_is_a_404_that_says_how_soon_one_appears(
    served: Served,
) -> None:
    found = problem(await served.http.get(f"{PATH}/{NOBODYS}"))
    appears = "while recovery runs, one appears within seconds of its 202"
    why = f"no request {NOBODYS} is recorded; {appears}"
    assert (found["status"], found["detail"]) == (404, why)


@pytest.mark.parametrize(
    "bad", ["x", "0" * 24, NOBODYS + "0", NOBODYS + "%0A", f"%7B{NOBODYS}%7D", "%00", "a%2Fb"]
)
async def test_an_id_that_is_no_uuid_is_refused(served: Served, bad: str) -> None:
    assert problem(await served.http.get(f"{PATH}/{bad}"))["status"] in (404, 422)
    assert (bad == "a%2Fb") == ((await served.http.get(f"{PATH}/{bad}")).status_code == 404)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "bot_id=",
        "bot_id=x",
        f"bot_id={BOT}0",
        f"bot_id={BOT}%0A",
        f"bot_id={BOT}&limit=0",
        f"bot_id={BOT}&limti=5",
        f"bot_id={BOT}&limit={MOST_LISTED + 1}",
        f"bot_id={BOT}&limit=many",
        f"bot_id={BOT}&cursor=x",
        f"bot_id={BOT}&cursor=-1-{NOBODYS}",
        f"bot_id={BOT}&cursor={'9' * 15}-{NOBODYS}",
        f"bot_id={BOT}&cursor=1-{NOBODYS}%0A",
    ],
)
async def test_a_query_that_is_not_valid_is_refused(served: Served, query: str) -> None:
    assert problem(await served.http.get(f"{PATH}?{query}"))["status"] == 422


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("path", [f"{PATH}/{NOBODYS}", f"{PATH}/x", PATH, f"{PATH}?bot_id={BOT}"])
async def test_without_the_credential_nothing_is_shown(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    served.http.headers.pop("Authorization")
    answer = await served.http.get(path, headers=headers)
    assert problem(answer)["status"] == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back() -> None:
    async with serving(World(requests=Away())) as http:
        for path in (f"{PATH}/{NOBODYS}", f"{PATH}?bot_id={BOT}"):
            answer = await http.get(path)
            found = problem(answer)
            assert (found["status"], answer.headers["retry-after"]) == (503, "5")
            assert found["detail"] == "MongoDB has no primary"


async def test_the_text_of_others_is_a_json_string_of_bounded_length(served: Served) -> None:
    request = await served.world.request("billing", "media", requested_by=HOSTILE)
    failure = Failure("HttpRefused", HOSTILE, START)
    await served.world.job(request, service="billing", status=Status.EXHAUSTED, failure=failure)
    huge = Failure("HttpRefused", HOSTILE * 1000, START)
    await served.world.job(request, service="media", status=Status.EXHAUSTED, failure=huge)
    found = await served.shown(request.id)
    assert found["requested_by"] == HOSTILE
    small, large = (service["reason"] for service in found["services"])
    assert HOSTILE in small
    assert len(large) == 500


async def test_a_request_whose_record_cannot_be_read_says_so_and_hides_no_other(
    served: Served,
) -> None:
    damaged, whole = await served.world.request(), await served.world.request()
    served.world.requests.damaged.add(damaged.id)
    found = problem(await served.http.get(f"{PATH}/{damaged.id}"))
    why = f"the record of request {damaged.id} cannot be read: shares is missing"
    assert (found["status"], found["detail"]) == (500, why)
    listed = await served.listed()
    assert [each["event_id"] for each in listed["deletions"]] == [whole.id]
    assert listed["unreadable"] == [{"event_id": damaged.id, "reason": "shares is missing"}]


async def test_pages_follow_one_another(served: Served) -> None:
    requests = [await served.world.request(now=later(n)) for n in range(25)]
    await served.world.request(bot_id=OTHER_BOT)
    first = await served.listed()
    assert len(first["deletions"]) == 20
    second = await served.listed(cursor=first["next"])
    assert second["next"] is None
    found = [each["event_id"] for page in (first, second) for each in page["deletions"]]
    assert found == [request.id for request in reversed(requests)]
    assert (await served.listed(limit=100))["next"] is None
    again = await served.listed(cursor="")
    assert again == first


async def test_the_page_of_a_bot_that_nobody_asked_to_delete_is_empty(served: Served) -> None:
    assert await served.listed() == {"deletions": [], "unreadable": [], "next": None}


@pytest.mark.parametrize("later_by", [timedelta(0), timedelta(milliseconds=1), timedelta(days=9)])
def test_a_cursor_leads_back_to_its_position(later_by: timedelta) -> None:
    position = START + later_by, NOBODYS
    assert as_position(as_cursor(position)) == position
    for wrong in ("", "-", "12", f"-{position[1]}", f"{'1' * 15}-{position[1]}", "12-g"):
        with pytest.raises(ValueError, match="is no position"):
            as_position(wrong)


async def test_a_deletion_is_overdue_from_its_deadline_on(served: Served) -> None:
    request = await served.world.request()
    served.world.clock.pause(LEDGER_POLICY.deadline.total_seconds() - 0.001)
    assert (await served.shown(request.id))["state"] == "open"
    served.world.clock.pause(0.001)
    assert (await served.shown(request.id))["state"] == "overdue"


async def test_openapi_knows_every_answer_and_the_credential(served: Served) -> None:
    paths = (await served.http.get("/openapi.json")).json()["paths"]
    show, every = paths[f"{PATH}/{{event_id}}"]["get"], paths[PATH]["get"]
    assert set(show["responses"]) == {"200", "401", "404", "408", "422", "431", "500", "503"}
    assert set(every["responses"]) == set(show["responses"]) - {"404"}
    assert show["security"] == every["security"] == [{"bearer": []}]
    for operation in (show, every):
        for status, answer in operation["responses"].items():
            kind = "application/json" if status < "300" else PROBLEM
            assert list(answer["content"]) == [kind]
        assert "Retry-After" in operation["responses"]["503"]["headers"]
        assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]
