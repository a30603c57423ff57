"""The gateway's HTTP: each answer, and what was published for it."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from deletion.errors import BusOverloaded, BusUnavailable, TopologyMissing
from deletion.events import RequestPlaced, decode
from gateway.body import BODY_SECONDS, MAX_BODY_BYTES
from tests.support.clock import VirtualClock
from tests.unit.gateway.served import BOT, PATH, TOKEN, Served, problem, serving


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def test_a_request_is_accepted_with_its_event(served: Served) -> None:
    answer = await served.http.delete(PATH)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert content.keys() == {"event_id", "bot_id", "placed_at"}
    assert UUID(content["event_id"]).version == 4
    assert content["bot_id"] == BOT
    assert content["placed_at"] == "2025-03-30T01:59:59.250Z"


async def test_what_is_published_is_what_was_answered(served: Served) -> None:
    content = (await served.http.delete(PATH)).json()
    (message,) = served.bus.published
    subject = decode(message.data)
    placed_at = datetime.fromisoformat(content["placed_at"])
    assert (subject.event_id, subject.bot_id) == (content["event_id"], BOT)
    assert subject.event == RequestPlaced(placed_at, "client")
    assert subject.timestamp == placed_at
    attributes = dict(message.attributes)
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", attributes.pop("traceparent"))
    assert attributes == {
        "event_type": "EVENT_TYPE_REQUEST_PLACED",
        "bot_id": BOT,
        "event_id": content["event_id"],
        "version": "1",
    }


@pytest.mark.proves("confirmed")
async def test_nothing_is_answered_before_the_bus_has_confirmed(served: Served) -> None:
    served.bus.confirmation = asyncio.Event()
    answer = asyncio.create_task(served.http.delete(PATH))
    while not served.bus.published:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.wait({answer}, timeout=0.05)
    assert not answer.done()
    assert served.registry.get_sample_value("botdel_gateway_pending") == 1
    served.bus.confirmation.set()
    assert (await answer).status_code == 202
    assert served.registry.get_sample_value("botdel_gateway_pending") == 0


async def test_the_id_is_normalised_to_lower_case(served: Served) -> None:
    answer = await served.http.delete(f"/v1/bots/{BOT.upper()}")
    assert answer.json()["bot_id"] == BOT
    assert served.bus.published[0].attributes["bot_id"] == BOT


@pytest.mark.parametrize(
    "bot_id",
    ["x", BOT[:-1], BOT + "0", "g" * 24, "\u0660" * 24, BOT + "%0A", "%20" + BOT, "a" * 60_000],
)
async def test_an_id_that_is_not_24_hex_digits_is_refused(served: Served, bot_id: str) -> None:
    answer = await served.http.delete(f"/v1/bots/{bot_id}")
    assert answer.status_code == 422
    assert "24 hex digits" in problem(answer)["detail"]
    assert not served.bus.published
    assert served.count("invalid") == 1


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after", "outcome", "placed"),
    [
        (BusOverloaded("full"), 429, "1", "overloaded", "was not"),
        (BusUnavailable("down"), 503, "5", "unavailable", "may have been"),
        (TopologyMissing("no such thing"), 503, "5", "unavailable", "was not"),
    ],
)
async def test_what_the_bus_refuses_may_be_tried_again(
    served: Served, refusal: Exception, status: int, retry_after: str, outcome: str, placed: str
) -> None:
    served.bus.refusal = refusal
    answer = await served.http.delete(PATH)
    assert answer.status_code == status
    assert answer.headers["retry-after"] == retry_after
    assert str(refusal) not in problem(answer)["detail"]
    assert f"the request {placed} placed" in problem(answer)["detail"]
    assert served.count(outcome) == 1


async def test_an_error_nobody_foresaw_is_a_problem_too(served: Served) -> None:
    served.bus.refusal = RuntimeError("a secret")
    answer = await served.http.delete(PATH)
    assert answer.status_code == 500
    assert "a secret" not in problem(answer)["detail"]
    assert served.count("error") == 1
    assert served.registry.get_sample_value("botdel_gateway_pending") == 0


async def test_a_small_body_is_ignored(served: Served) -> None:
    for content in (b"{}", b"x" * MAX_BODY_BYTES):
        answer = await served.http.request("DELETE", PATH, content=content)
        assert answer.status_code == 202


async def test_a_body_that_says_it_is_large_is_not_read(served: Served) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("was read")
        yield b""

    headers = {"Content-Length": str(MAX_BODY_BYTES + 1)}
    answer = await served.http.request("DELETE", PATH, content=never(), headers=headers)
    assert answer.status_code == 413
    assert str(MAX_BODY_BYTES) in problem(answer)["detail"]
    assert not served.bus.published


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(served: Served) -> None:
    chunks = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal chunks
        while True:
            chunks += 1
            yield b"x" * 1024

    answer = await served.http.request("DELETE", PATH, content=endless())
    assert answer.status_code == 413
    assert chunks <= MAX_BODY_BYTES // 1024 + 2
    assert not served.bus.published


async def test_a_chunked_body_of_the_limit_is_ignored(served: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 1024

    answer = await served.http.request("DELETE", PATH, content=chunks())
    assert answer.status_code == 202


@pytest.mark.virtual_time
async def test_a_body_that_does_not_end_is_not_waited_for(served: Served) -> None:
    async def hanging() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = await served.http.request("DELETE", PATH, content=hanging())
    assert answer.status_code == 408
    assert VirtualClock().monotonic() == BODY_SECONDS
    assert not served.bus.published


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("DELETE", "/v1/bots/", 404), ("DELETE", f"{PATH}/", 404)],
)
async def test_what_does_not_exist_is_a_problem(
    served: Served, method: str, path: str, status: int
) -> None:
    answer = await served.http.request(method, path)
    assert answer.status_code == status
    problem(answer)
    assert answer.headers.get("allow") == ("DELETE" if status == 405 else None)


async def test_it_is_alive_whatever_it_lacks(served: Served) -> None:
    served.missing = "Pub/Sub does not answer"
    assert (await served.http.get("/healthz")).status_code == 200


async def test_it_is_ready_when_nothing_is_missing(served: Served) -> None:
    assert (await served.http.get("/readyz")).status_code == 200
    served.missing = "Pub/Sub does not answer"
    answer = await served.http.get("/readyz")
    assert answer.status_code == 503
    assert problem(answer)["detail"] == served.missing


async def test_metrics_name_outcomes_and_nobody(served: Served) -> None:
    await served.http.delete(PATH, headers={"Idempotency-Key": "a-key"})
    text = (await served.http.get("/metrics")).text
    assert 'botdel_gateway_requests_total{outcome="accepted"} 1.0' in text
    assert 'botdel_gateway_requests_total{outcome="unavailable"} 0.0' in text
    assert 'botdel_gateway_request_seconds_count{outcome="accepted"} 1.0' in text
    assert BOT not in text
    assert "a-key" not in text


async def test_probes_are_not_counted_as_requests(served: Served) -> None:
    await served.http.get("/readyz")
    assert served.count("accepted") == served.count("invalid") == 0


@pytest.mark.proves("credentials")
async def test_an_accepted_event_is_logged_once_and_no_secret(served: Served) -> None:
    with capture_logs() as logged:
        content = (await served.http.delete(PATH, headers={"Idempotency-Key": "a-key"})).json()
        served.bus.refusal = BusUnavailable("down")
        await served.http.delete(PATH, headers={"Idempotency-Key": "a-key"})
    accepted, refused = logged
    assert (accepted["event"], accepted["event_id"]) == ("accepted", content["event_id"])
    assert (refused["log_level"], refused["reason"]) == ("warning", "down")
    assert TOKEN not in str(logged)
    assert "a-key" not in str(logged)
