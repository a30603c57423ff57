"""What a client may cost before anybody knows who it is: over real sockets."""

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import perf_counter

import psutil
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from deletion.process.bounded_http import PIECE
from deletion.process.http_connections import Bounds
from deletion.process.serving import serving
from tests.support.polling import SLACK

QUICK = Bounds(seconds=0.3, idle_seconds=0.3, linger_seconds=0.3)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
MEGABYTE = 1024 * 1024


class App:
    """Answers `ok`, after `held` where that is set; reads no body except at `/body`."""

    def __init__(self) -> None:
        self.held: asyncio.Event | None = None
        self.under_way = 0
        self.fastapi = FastAPI(openapi_url=None)
        self.fastapi.add_api_route("/", self._answer, methods=["GET", "DELETE"])
        self.fastapi.add_api_route("/body", self._body, methods=["POST"])
        self.fastapi.add_api_route("/large", self._large, methods=["GET"])
        self.fastapi.add_api_route("/endless", self._endless, methods=["GET"])

    async def _answer(self) -> Response:
        self.under_way += 1
        if self.held:
            await self.held.wait()
        return PlainTextResponse("ok")

    async def _body(self, request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def _large(self) -> Response:
        return PlainTextResponse("x" * 16 * MEGABYTE)

    async def _endless(self) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * MEGABYTE
                await asyncio.sleep(0)  # sending to a client that has gone waits for nothing

        return StreamingResponse(parts())


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes = GET + b"\r\n") -> tuple[int, bytes]:
        """Send it, and return status and body of the next answer."""
        self.writer.write(data)
        return await self.answer()

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length
            return int(head.split()[1]), await self.reader.readexactly(int(length[1]))

    async def closed(self) -> float:
        """Seconds until the server has closed the connection."""
        started = perf_counter()
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(MEGABYTE):
                    pass
            except ConnectionResetError:
                pass
        return perf_counter() - started


class Server:
    def __init__(self, app: App, port: int) -> None:
        self.app, self._port = app, port

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def served(bounds: Bounds = QUICK) -> AsyncIterator[Server]:
    app = App()
    async with serving(app.fastapi, "127.0.0.1", 0, name="test", grace=1, bounds=bounds) as url:
        yield Server(app, int(url.rpartition(":")[2]))


def padded(size: int, start: bytes = GET) -> bytes:
    """A request whose head takes `size` bytes."""
    name, end = b"x-padding: ", b"\r\n\r\n"
    return start + name + b"a" * (size - len(start) - len(name) - len(end)) + end


# --- the size of a head


async def test_a_head_of_the_limit_is_taken_again_and_again() -> None:
    async with served() as server, server.connected() as client:
        for _ in range(3):
            assert await client.ask(padded(16 * 1024)) == (200, b"ok")


@pytest.mark.parametrize("chunk", [100, 16 * 1024 + 1])
async def test_a_head_of_one_byte_more_is_refused_as_a_problem(chunk: int) -> None:
    data = padded(16 * 1024 + 1)
    async with served(replace(QUICK, seconds=5)) as server, server.connected() as client:
        for start in range(0, len(data), chunk):
            client.writer.write(data[start : start + chunk])
            await asyncio.sleep(0)
        status, body = await client.answer()
        assert status == 431
        assert json.loads(body)["status"] == 431
        assert await client.closed() < SLACK
        assert not server.app.under_way


def crowded(headers: int, end: bytes = b"\r\n") -> bytes:
    """A request of so many headers, each as small as can be."""
    return GET + b"a:\r\n" * (headers - 1) + end


async def test_a_hundred_headers_are_taken_again_and_again() -> None:
    async with served() as server, server.connected() as client:
        for _ in range(3):
            assert await client.ask(crowded(100)) == (200, b"ok")


@pytest.mark.proves("bounded-clients")
@pytest.mark.parametrize(
    "data", [crowded(101), crowded(101) * 2, crowded(4000, b""), crowded(102, b"")]
)
async def test_one_header_more_is_refused_as_a_problem_before_the_head_has_ended(
    data: bytes,
) -> None:
    async with served(replace(QUICK, seconds=5)) as server, server.connected() as client:
        status, body = await client.ask(data)
        assert (status, json.loads(body)["status"]) == (431, 431)
        assert "100 headers" in json.loads(body)["detail"]
        assert await client.closed() < SLACK
        assert not server.app.under_way


HUGE = {
    "one header": b"x: ",
    "a target": b"",
    "many headers": b"x: y\r\n",
}


@pytest.mark.proves("bounded-clients")
@pytest.mark.parametrize("what", HUGE)
async def test_sixty_one_megabytes_of_head_are_refused_early_and_take_no_memory(what: str) -> None:
    start = b"GET /" if what == "a target" else GET
    piece = (b"x: y\r\n" if what == "many headers" else b"a" * 6) * 10_000
    process, taken = psutil.Process(), 0
    async with served() as server, server.connected() as client:
        before = process.memory_info().rss
        client.writer.write(start + HUGE[what])
        with suppress(ConnectionError):
            while taken < 61 * MEGABYTE:
                client.writer.write(piece)
                await client.writer.drain()
                taken += len(piece)
        grown = process.memory_info().rss - before
    assert taken < 16 * MEGABYTE, "what the sockets hold"
    assert grown < 16 * MEGABYTE


@pytest.mark.proves("bounded-clients")
async def test_trailers_are_bounded_as_a_head_is() -> None:
    chunked = b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    async with served(replace(QUICK, seconds=5)) as server:
        async with server.connected() as client:
            assert await client.ask(chunked + b"x: y\r\n" * 100 + b"\r\n") == (200, b"1")
        async with server.connected() as client:
            client.writer.write(chunked + b"x: y\r\n" * 102)
            assert await client.closed() < SLACK
        async with server.connected() as client:
            client.writer.write(chunked + b"x: " + b"y" * 40_000)
            assert await client.closed() < SLACK


async def test_a_large_body_in_small_chunks_is_no_head() -> None:
    head = b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with served() as server, server.connected() as client:
        answer = await client.ask(head + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        assert answer == (200, b"50000")
        assert await client.ask() == (200, b"ok")


async def test_what_is_no_http_is_a_problem() -> None:
    async with served() as server, server.connected() as client:
        status, body = await client.ask(b"nonsense\r\n\r\n")
        assert (status, json.loads(body)["status"]) == (400, 400)
        assert await client.closed() < SLACK


# --- time


@pytest.mark.proves("bounded-clients")
@pytest.mark.parametrize("half", [GET, b"G", GET + b"x: y\r\n"])
async def test_a_half_sent_request_is_closed_in_time(half: bytes) -> None:
    async with served() as server, server.connected() as client:
        status, body = await client.ask(half)
        assert (status, json.loads(body)["status"]) == (408, 408)
        assert await client.closed() < SLACK


async def test_a_byte_now_and_then_buys_no_time() -> None:
    async with served() as server, server.connected() as client:
        started = perf_counter()
        for byte in GET + b"x: " + b"a" * 200:
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0.02)  # a byte now and then
            if client.reader.at_eof() or client.writer.is_closing():
                break
        assert perf_counter() - started < 4


@pytest.mark.parametrize("before", [b"", b"\r\n"])
async def test_a_connection_that_asks_nothing_is_closed_in_time(before: bytes) -> None:
    async with served() as server, server.connected() as client:
        client.writer.write(before)
        assert await client.closed() < SLACK


async def test_an_idle_connection_is_closed_in_time() -> None:
    async with served() as server, server.connected() as client:
        assert await client.ask() == (200, b"ok")
        assert await client.closed() < SLACK


async def test_the_second_request_has_its_time_too_and_no_more() -> None:
    bounds = replace(QUICK, seconds=1, idle_seconds=10)
    async with served(bounds) as server, server.connected() as client:
        for _ in range(3):
            await asyncio.sleep(0.4)  # idle: together longer than a head may take
            assert await client.ask() == (200, b"ok")
        status, _ = await client.ask(GET)
        assert status == 408


async def test_an_answer_that_takes_longer_is_waited_for() -> None:
    async with served() as server, server.connected() as client:
        server.app.held = asyncio.Event()
        client.writer.write(GET + b"\r\n")
        await asyncio.sleep(0.7)  # longer than each bound of QUICK
        server.app.held.set()
        assert await client.answer() == (200, b"ok")
        assert await client.ask() == (200, b"ok"), "and the connection is kept"


async def test_a_body_that_trickles_in_after_the_answer_is_not_waited_for() -> None:
    async with served() as server, server.connected() as client:
        head = b"DELETE / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
        assert await client.ask(head) == (200, b"ok")
        closing = asyncio.create_task(client.closed())
        for _ in range(80):
            client.writer.write(b"x")
            await asyncio.sleep(0.1)  # a byte now and then
        assert await closing < SLACK


@pytest.mark.parametrize("path", [b"/large", b"/endless"])
async def test_a_client_that_does_not_read_its_answer_is_not_waited_for(path: bytes) -> None:
    async with served() as server, server.connected() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(1)  # longer than each bound of QUICK
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await client.closed() < SLACK


# --- number


@pytest.mark.proves("bounded-clients")
async def test_connections_that_dawdle_do_not_stop_a_good_client() -> None:
    async with served(Bounds(connections=20)) as server:
        slow = [await stack(server, half) for half in [GET, b""] * 30]
        async with server.connected() as client:
            assert await client.ask() == (200, b"ok")
        gone = sum(dawdler.reader.at_eof() for dawdler in slow)
        assert gone >= 40, "the oldest made room"
        for dawdler in slow:
            dawdler.writer.transport.abort()


async def stack(server: Server, half: bytes) -> Client:
    """A connection that has sent so much, and is kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server._port)
    writer.write(half)
    await writer.drain()
    await asyncio.sleep(0.001)  # so that the next one is younger
    return Client(reader, writer)


async def test_one_connection_more_than_are_answered_is_refused_as_a_problem() -> None:
    async with served(Bounds(connections=3)) as server:
        server.app.held = asyncio.Event()
        busy = [await stack(server, GET + b"\r\n") for _ in range(3)]
        while server.app.under_way < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with server.connected() as client:
            status, body = await client.answer()
            assert (status, json.loads(body)["status"]) == (503, 503)
            assert await client.closed() < SLACK
        server.app.held.set()
        assert [await client.answer() for client in busy] == [(200, b"ok")] * 3
        for client in busy:
            client.writer.transport.abort()
        await asyncio.sleep(0.1)  # the server closes its ends
        async with server.connected() as client:
            assert await client.ask() == (200, b"ok")


def parsed() -> int:
    """Requests that wait for their turn or for their answer, on all connections."""
    # not isinstance: among the objects may be proxies whose object is gone
    return sum(type(each) is RequestResponseCycle for each in gc.get_objects())


@pytest.mark.proves("bounded-clients")
@pytest.mark.parametrize("head", [padded(8000), crowded(100), GET + b"\r\n"])
async def test_a_request_sent_ahead_is_not_parsed_before_its_turn(head: bytes) -> None:
    async with served() as server, server.connected() as client:
        server.app.held = asyncio.Event()
        before = parsed()
        count = 16 * 1024 // len(head)
        for _ in range(count):
            client.writer.write(head)
            await client.writer.drain()
            await asyncio.sleep(0)
        while not server.app.under_way:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # nothing more is parsed meanwhile
        assert server.app.under_way == 1, "one at a time"
        assert parsed() - before <= 1 + PIECE // len(GET)
        server.app.held.set()
        assert [await client.answer() for _ in range(count)] == [(200, b"ok")] * count
        assert await client.ask() == (200, b"ok"), "and the connection is kept"


async def test_what_is_sent_ahead_beside_a_body_is_answered_behind_it() -> None:
    post = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000
    async with served() as server, server.connected() as client:
        client.writer.write((post + GET + b"\r\n") * 3)
        answers = [await client.answer() for _ in range(6)]
        assert answers == [(200, b"5000"), (200, b"ok")] * 3


async def test_half_a_request_sent_ahead_is_completed_later_or_closed_in_time() -> None:
    async with served() as server, server.connected() as client:
        client.writer.write(GET + b"\r\n" + padded(2000)[:1900])
        assert await client.answer() == (200, b"ok")
        assert await client.ask(padded(2000)[1900:] + padded(2000)[:1900]) == (200, b"ok")
        status, _ = await client.answer()
        assert status == 408


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(b"nonsense\r\n\r\n", 400), (crowded(101), 431), (padded(20_000), None)],
)
async def test_what_is_wrong_and_sent_ahead_is_refused_behind_the_answer(
    ahead: bytes, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as server, server.connected() as client:
        client.writer.write(padded(PIECE) + ahead)
        assert await client.answer() == (200, b"ok")
        if status:
            assert (await client.answer())[0] == status
        assert await client.closed() < SLACK
    assert not [line for line in caplog.records if line.exc_info]


@pytest.mark.proves("bounded-clients")
async def test_a_body_is_not_held_once_its_request_is_answered() -> None:
    head = b"DELETE / HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n"
    async with served(Bounds()) as server, server.connected() as client:
        assert await client.ask(head + b"x" * MEGABYTE) == (200, b"ok")
        cycles = [each for each in gc.get_objects() if type(each) is RequestResponseCycle]
        assert max(len(cycle.body) for cycle in cycles) < PIECE


@pytest.mark.proves("bounded-clients")
async def test_requests_sent_without_waiting_are_answered_in_order_up_to_a_bound() -> None:
    async with served() as server:
        async with server.connected() as client:
            client.writer.write((GET + b"\r\n") * 10)
            assert [await client.answer() for _ in range(10)] == [(200, b"ok")] * 10
        async with server.connected() as client:
            server.app.held, server.app.under_way = asyncio.Event(), 0
            client.writer.write((GET + b"\r\n") * 10_000)
            await asyncio.sleep(0.1)  # the server reads until it is full
            server.app.held.set()
            await client.closed()
            assert 10 <= server.app.under_way < 500
