"""What the headers of a request do: tokens, keys, traces; and the document that says so."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from deletion.clock import truncated
from deletion.events import RequestPlaced, decode
from gateway.requests import NAMESPACE
from tests.unit.gateway.served import (
    BOT,
    NEXT_TOKEN,
    NOW,
    OTHER_TOKEN,
    PATH,
    TOKEN,
    Served,
    problem,
    serving,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN])
async def test_without_a_bearer_token_the_answer_is_a_challenge(
    served: Served, header: str | None
) -> None:
    del served.http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}
    answer = await served.http.delete(PATH, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="botdel"'
    assert problem(answer)["title"] == "Unauthorized"
    assert not served.bus.published


@pytest.mark.parametrize("token", ["wrong", TOKEN[:-1], TOKEN + "x", f"{TOKEN} {TOKEN}", "ä"])
async def test_a_wrong_token_is_told_from_none(served: Served, token: str) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())]
    answer = await served.http.delete(PATH, headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert token not in answer.text
    assert not served.bus.published
    assert served.count("unauthorized") == 1


@pytest.mark.parametrize("header", [f"Bearer {OTHER_TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN}"])
async def test_any_of_the_tokens_opens(served: Served, header: str) -> None:
    answer = await served.http.delete(PATH, headers={"Authorization": header})
    assert answer.status_code == 202


@pytest.mark.proves("requested-by")
@pytest.mark.parametrize(
    ("token", "name"), [(TOKEN, "client"), (OTHER_TOKEN, "portal"), (NEXT_TOKEN, "portal")]
)
async def test_who_asked_is_in_the_event_and_in_the_log(
    served: Served, token: str, name: str
) -> None:
    with capture_logs() as logged:
        await served.http.delete(PATH, headers={"Authorization": f"Bearer {token}"})
    (message,) = served.bus.published
    assert decode(message.data).event == RequestPlaced(truncated(NOW), name)
    assert logged[0]["requested_by"] == name
    assert token not in str(logged)


@pytest.mark.proves("requested-by")
async def test_every_token_is_compared_whichever_holds(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(offered: bytes, token: bytes) -> bool:
        compared.append(token)
        return offered == token

    monkeypatch.setattr("deletion.process.tokens.hmac.compare_digest", compare)
    await served.http.delete(PATH, headers={"Authorization": f"Bearer {OTHER_TOKEN}"})
    assert compared == [token.encode() for token in (OTHER_TOKEN, TOKEN, NEXT_TOKEN)]


async def test_who_has_no_token_learns_nothing_else(served: Served) -> None:
    headers = {"Authorization": "Bearer wrong", "Idempotency-Key": ""}
    answer = await served.http.request("DELETE", "/v1/bots/x", headers=headers, content=b"x")
    assert answer.status_code == 401


async def test_the_same_key_makes_the_same_event(served: Served) -> None:
    keyed = {"Idempotency-Key": "a-key"}
    first = await served.http.delete(PATH, headers=keyed)
    again = await served.http.delete(f"/v1/bots/{BOT.upper()}", headers=keyed)
    other_key = await served.http.delete(PATH, headers={"Idempotency-Key": "another"})
    other_bot = await served.http.delete(f"/v1/bots/{'0' * 24}", headers=keyed)
    ids = [answer.json()["event_id"] for answer in (first, again, other_key, other_bot)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert [decode(message.data).event_id for message in served.bus.published] == ids


async def test_the_event_of_a_key_never_changes(served: Served) -> None:
    answer = await served.http.delete(PATH, headers={"Idempotency-Key": "a-key"})
    assert str(NAMESPACE) == "6d9f6c5e-2f0b-4a7c-9d35-0c1e4b8a7f21"
    assert answer.json()["event_id"] == "c121e34e-f515-5867-87a8-ba68e09fe39c"


async def test_without_a_key_each_call_is_a_request_of_its_own(served: Served) -> None:
    ids = {(await served.http.delete(PATH)).json()["event_id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("key", ["!", "~", "x" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"'])
async def test_a_key_of_visible_ascii_is_taken(served: Served, key: str) -> None:
    answer = await served.http.delete(PATH, headers={"Idempotency-Key": key})
    assert answer.status_code == 202


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"x" * 256, "ä".encode(), b"\x7f", b"a\tb"])
async def test_any_other_key_is_refused(served: Served, key: bytes) -> None:
    answer = await served.http.delete(PATH, headers=[(b"Idempotency-Key", key)])
    assert answer.status_code == 400
    assert "1 to 255 visible ASCII characters" in problem(answer)["detail"]
    assert not served.bus.published


async def test_two_keys_are_refused(served: Served) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    assert (await served.http.delete(PATH, headers=headers)).status_code == 400


async def test_the_trace_of_the_caller_goes_on_in_a_new_span(served: Served) -> None:
    await served.http.delete(PATH, headers={"traceparent": PARENT})
    traceparent = served.bus.published[0].attributes["traceparent"]
    assert traceparent[:36] == PARENT[:36]
    assert traceparent[36:52] != PARENT[36:52]
    assert traceparent[52:] == PARENT[52:]


async def test_two_traces_are_as_good_as_none(served: Served) -> None:
    await served.http.delete(PATH, headers=[("traceparent", PARENT), ("traceparent", PARENT)])
    assert PARENT[:36] not in served.bus.published[0].attributes["traceparent"]


async def test_the_document_says_how_to_ask(served: Served) -> None:
    document = (await served.http.get("/openapi.json")).json()
    operation = document["paths"]["/v1/bots/{bot_id}"]["delete"]
    names = {(p["in"], p["name"]): p.get("required", False) for p in operation["parameters"]}
    assert names == {
        ("path", "bot_id"): True,
        ("header", "Idempotency-Key"): False,
        ("header", "traceparent"): False,
    }
    (scheme,) = operation["security"][0]
    assert document["components"]["securitySchemes"][scheme] == {"type": "http", "scheme": "bearer"}
    accepted = operation["responses"]["202"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][accepted["$ref"].rpartition("/")[2]]
    assert set(schema["required"]) == {"event_id", "bot_id", "placed_at"}
    assert {int(status) for status in operation["responses"]} == {
        *(202, 400, 401, 408, 413, 422, 429, 431, 500, 503)
    }
    assert "requestBody" not in operation


async def test_there_is_a_page_to_read_it(served: Served) -> None:
    page = await served.http.get("/docs")
    assert page.status_code == 200
    assert "/openapi.json" in page.text
