"""`botdel healthcheck`: whether the process of a container answers, within a bound."""

import asyncio
import sys

import pytest

from botdel import cli
from botdel.healthcheck import healthcheck
from botdel.local.processes import free_port
from tests.support.hostile import HOSTILE, harmless
from tests.support.tcp import TcpServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SECONDS = 5.0
"""A bound that no test reaches."""
SHORT = 0.2
"""A bound that a test waits for."""


class Answering(TcpServer):
    """Sends `answer` to each request, then each byte of `slowly` after a tenth of a second."""

    def __init__(self, answer: bytes, slowly: bytes = b"") -> None:
        super().__init__()
        self._answer = answer
        self._slowly = slowly
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode().split(" HTTP/1.1\r\n")[0])
        writer.write(self._answer)
        for byte in self._slowly:
            await writer.drain()
            await asyncio.sleep(SHORT / 2)  # fixed: a server that is slow
            writer.write(bytes([byte]))
        await writer.drain()
        writer.close()


def problem(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def test_a_process_that_answers_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    async with Answering(OK) as server:
        assert await healthcheck("127.0.0.1", server.port, "/readyz", SECONDS) == 0
    assert server.asked == ["GET /readyz"]
    assert capsys.readouterr().out == f"200: http://127.0.0.1:{server.port}/readyz\n"


@pytest.mark.proves("healthcheck-bounded")
@pytest.mark.parametrize("status", ["503 Service Unavailable", "404 Not Found", "204 No Content"])
async def test_any_other_answer_is_unhealthy(
    status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Answering(problem(status, b"")) as server:
        assert await healthcheck("127.0.0.1", server.port, "/healthz", SECONDS) == 1
    assert f"/healthz: {status[:3]}" in capsys.readouterr().err


async def test_it_says_why_a_process_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"status": 503, "detail": "Pub/Sub does not answer"}'
    async with Answering(problem("503 Service Unavailable", body)) as server:
        await healthcheck("127.0.0.1", server.port, "/readyz", SECONDS)
    assert capsys.readouterr().err.endswith("/readyz: 503: Pub/Sub does not answer\n")


async def test_a_redirect_is_not_followed() -> None:
    async with Answering(OK) as elsewhere:
        there = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{elsewhere.port}/\r\n\r\n"
        async with Answering(there.encode()) as server:
            assert await healthcheck("127.0.0.1", server.port, "/healthz", SECONDS) == 1
    assert elsewhere.asked == []


async def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert await healthcheck("127.0.0.1", port, "/healthz", SECONDS) == 1
    assert f"http://127.0.0.1:{port}/healthz: no answer (ConnectError)" in capsys.readouterr().err


@pytest.mark.proves("healthcheck-bounded")
@pytest.mark.parametrize(
    ("answer", "slowly"),
    [
        (b"", b"HTTP/1.1 200 OK and so on, for ever"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", b"a body that comes byte by byte"),
    ],
)
async def test_the_whole_call_is_bounded_and_not_each_read(
    answer: bytes, slowly: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Answering(answer, slowly) as server, asyncio.timeout(SECONDS):
        assert await healthcheck("127.0.0.1", server.port, "/healthz", SHORT) == 1
    assert "no answer within 0.2 s" in capsys.readouterr().err


async def test_what_a_stranger_answers_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = HOSTILE.encode() + b"x" * 1_000_000
    async with Answering(problem("500 Internal Server Error", body)) as server:
        assert await healthcheck("127.0.0.1", server.port, "/healthz", SECONDS) == 1
    said = capsys.readouterr().err
    assert harmless(said)
    assert len(said) < 2_000


async def test_it_does_not_ask_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Answering(OK) as server, Answering(OK) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert await healthcheck("127.0.0.1", server.port, "/healthz", SECONDS) == 0
    assert proxy.asked == []


async def test_an_ipv6_address_needs_no_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert await healthcheck("::1", port, "/healthz", SECONDS) == 1
    assert f"http://[::1]:{port}/healthz" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--port 0",
        "--port 65536",
        "--port 8080 --timeout 0",
        "--port 8080 --path healthz",
        "--port 8080 --path //elsewhere/healthz",
        "--port 8080 --host a/b",
    ],
)
def test_options_that_cannot_be_are_refused_with_a_code_of_their_own(
    options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["botdel", "healthcheck", *options.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "--" in capsys.readouterr().err
