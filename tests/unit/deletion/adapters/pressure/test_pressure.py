"""Gauges of pressure tell a number, or why there is none, and never more than that."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.lag import ReplicationLag
from deletion.adapters.pressure.http import BODY_BYTES, HttpGauge, PrometheusGauge
from deletion.errors import PressureUnknown
from deletion.pace import Gauge
from tests.support.fake_mongo import REPLICA_SET, STANDALONE, FakeMongo, failure

NOW = datetime(2025, 3, 30, 1, 59, 59, tzinfo=UTC)


@asynccontextmanager
async def serving(body: bytes, status: str = "200 OK") -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers with `body`: its URL, and the targets that were asked for."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.decode().split()[1])
        length = f"content-length: {len(body)}"
        writer.write(f"HTTP/1.1 {status}\r\n{length}\r\nconnection: close\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def gauge(url: str) -> Gauge:
    return HttpGauge(SecretStr(f"{url}/load?key=hunter22"))


def prometheus(url: str) -> Gauge:
    return PrometheusGauge(SecretStr(f"{url}/"), 'rate(slow{job="chat"}[5m])')


def answered(kind: str, result: object) -> bytes:
    return json.dumps(
        {"status": "success", "data": {"resultType": kind, "result": result}}
    ).encode()


@pytest.mark.parametrize(("body", "value"), [(b"12", 12), (b" 0.5\n", 0.5), (b"1e3", 1000)])
async def test_a_gauge_is_the_number_in_the_body(body: bytes, value: float) -> None:
    async with serving(body) as (url, asked):
        assert await gauge(url).read() == value
        assert asked == ["/load?key=hunter22"]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (answered("vector", [{"metric": {}, "value": [1, "3.5"]}]), 3.5),
        (answered("vector", [{"value": [1, "3"]}, {"value": [1, "7"]}]), 7),
        (answered("scalar", [1, "2"]), 2),
    ],
)
async def test_prometheus_is_asked_an_instant_query(body: bytes, value: float) -> None:
    async with serving(body) as (url, asked):
        assert await prometheus(url).read() == value
    target = urlsplit(asked[0])
    assert target.path == "/api/v1/query"
    assert parse_qs(target.query) == {"query": ['rate(slow{job="chat"}[5m])']}


@pytest.mark.proves("pressure")
@pytest.mark.parametrize(
    ("make", "body", "status", "said"),
    [
        (gauge, b"", "200 OK", "not a number"),
        (gauge, b"busy", "200 OK", "not a number"),
        (gauge, b"nan", "200 OK", "not a number"),
        (gauge, b"inf", "200 OK", "not a number"),
        (gauge, b"1", "503 Unavailable", "answered 503"),
        (gauge, b"1", "302 Found", "answered 302"),
        (gauge, b" " * (BODY_BYTES + 1), "200 OK", "more than 65536 bytes"),
        (prometheus, b"<html>", "200 OK", "not a Prometheus result"),
        (prometheus, b'{"status": "error"}', "200 OK", "not a Prometheus result"),
        (prometheus, answered("vector", []), "200 OK", "finds nothing"),
        (prometheus, answered("scalar", [1, "NaN"]), "200 OK", "not a number"),
    ],
)
async def test_what_is_no_value_is_said_without_the_url(
    make: Callable[[str], Gauge], body: bytes, status: str, said: str
) -> None:
    async with serving(body, status) as (url, _):
        with pytest.raises(PressureUnknown, match=said) as caught:
            await make(url).read()
    assert "hunter22" not in str(caught.value)


async def test_a_server_that_is_not_there_is_said_without_the_url() -> None:
    async with serving(b"") as (url, _):
        pass
    with pytest.raises(PressureUnknown, match=r"does not answer \(ConnectError") as caught:
        await gauge(url).read()
    assert "hunter22" not in repr(caught.value)


async def test_a_proxy_does_not_see_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    async with serving(b"12") as (url, _):
        assert await gauge(url).read() == 12


# --- replication lag


def members(**seconds_behind: float) -> Mapping[str, Any]:
    """A set whose members are so far behind."""
    names = {"primary": "PRIMARY", "first": "SECONDARY", "second": "SECONDARY", "lost": "DOWN"}
    return {
        "members": [
            {"stateStr": names[name], "optimeDate": NOW - timedelta(seconds=seconds)}
            for name, seconds in seconds_behind.items()
        ]
    }


async def lag(
    hello: Mapping[str, Any], *statuses: Mapping[str, Any], times: int = 1
) -> list[float]:
    """The lags read from a server that gives these answers when asked for its members. The last
    answer is repeated.
    """
    answers = deque(statuses)

    def reply(command: dict[str, Any]) -> Mapping[str, Any]:
        if "replSetGetStatus" not in command:
            return {**hello}
        return answers.popleft() if len(answers) > 1 else answers[0]

    async with FakeMongo(hello, reply) as server:
        client = connect(server.uri)
        try:
            gauge = ReplicationLag(client)
            return [await gauge.read() for _ in range(times)]
        finally:
            client.close()


LAST_WRITE = {"lastWrite": {"lastWriteDate": NOW, "majorityWriteDate": NOW - timedelta(seconds=4)}}


async def test_the_lag_is_that_of_the_slowest_secondary() -> None:
    status = members(primary=0, first=2, second=9, lost=500)
    assert await lag(REPLICA_SET, status) == [9]


async def test_a_secondary_may_seem_to_be_ahead() -> None:
    assert await lag(REPLICA_SET, members(primary=2, first=0)) == [0]


@pytest.mark.parametrize("status", [failure(13, "not authorized"), failure(76), members(primary=0)])
async def test_without_the_right_to_see_the_members_it_is_that_of_the_majority(
    status: Mapping[str, Any],
) -> None:
    assert await lag({**REPLICA_SET, **LAST_WRITE}, status, times=2) == [4, 4]


@pytest.mark.parametrize(("code", "then"), [(13, 4), (59, 4), (50, 9)])
async def test_only_a_right_that_is_missing_is_never_asked_for_again(code: int, then: int) -> None:
    """Code 50 is a command that took too long."""
    status = members(primary=0, first=9)
    assert await lag({**REPLICA_SET, **LAST_WRITE}, failure(code), status, times=2) == [4, then]


async def test_a_server_that_tells_no_lag_says_so() -> None:
    with pytest.raises(PressureUnknown, match="reports no replication lag"):
        await lag(STANDALONE, failure(76))


async def test_a_server_that_is_away_says_so() -> None:
    client = connect("mongodb://127.0.0.1:1/?directConnection=true")
    try:
        with pytest.raises(PressureUnknown, match="StoreUnavailable"):
            await ReplicationLag(client).read()
    finally:
        client.close()
