"""The proxy does to connections what it says."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from botdel.local.processes import free_port
from tests.support.polling import SOON, eventually
from tests.support.proxy import Proxy
from tests.support.tcp import TcpServer

DELAY_BY = 0.3
"""Seconds."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(TcpServer):
    """Answers each line with itself, and remembers what it heard."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.heard.append(line)
            writer.write(line)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy(echo.port) as proxy:
        yield proxy


async def connected(proxy: Proxy) -> Connection:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def asked(connection: Connection, line: bytes = b"hello\n") -> bytes:
    """What comes back for `line`: nothing when the connection ends first."""
    reader, writer = connection
    async with asyncio.timeout(SOON):
        try:
            writer.write(line)
            return await reader.readline()
        except ConnectionError:
            return b""


async def test_it_passes_everything_on_in_both_directions(proxy: Proxy) -> None:
    connection = await connected(proxy)
    large = b"x" * 60_000 + b"\n"
    assert [await asked(connection), await asked(connection, large)] == [b"hello\n", large]


async def test_it_passes_the_end_of_a_stream_on(proxy: Proxy) -> None:
    reader, writer = await connected(proxy)
    writer.write(b"last words\n")
    writer.write_eof()
    assert await reader.read() == b"last words\n"


async def test_a_cut_ends_what_is_open_and_a_new_connection_works(proxy: Proxy) -> None:
    connections = [await connected(proxy) for _ in range(3)]
    assert [await asked(each) for each in connections] == [b"hello\n"] * 3
    proxy.cut()
    assert [await asked(each) for each in connections] == [b""] * 3
    assert await asked(await connected(proxy)) == b"hello\n"


async def test_slowed_down_an_answer_takes_the_way_there_and_back(proxy: Proxy) -> None:
    connection = await connected(proxy)
    proxy.delay(DELAY_BY)
    began = asyncio.get_running_loop().time()
    assert await asked(connection) == b"hello\n"
    assert asyncio.get_running_loop().time() - began >= 2 * DELAY_BY


async def test_muted_the_server_hears_what_it_cannot_answer(proxy: Proxy, echo: Echo) -> None:
    connection = await connected(proxy)
    proxy.lose_answers()
    waiting = asyncio.create_task(asked(connection))
    await eventually(lambda: bool(echo.heard))
    assert not waiting.done()
    proxy.heal()
    assert await waiting == b""
    assert await asked(await connected(proxy)) == b"hello\n"


async def test_a_black_hole_swallows_both_directions_of_what_is_open_and_closes_nothing(
    proxy: Proxy, echo: Echo
) -> None:
    connection = await connected(proxy)
    assert await asked(connection) == b"hello\n"
    proxy.black_hole()
    waiting = asyncio.create_task(asked(connection, b"lost\n"))
    assert await asked(await connected(proxy)) == b"hello\n", "a new flow works"
    assert not waiting.done()
    proxy.black_hole(new=True)
    later = asyncio.create_task(asked(await connected(proxy), b"lost\n"))
    await asyncio.sleep(DELAY_BY)  # no answer comes meanwhile
    assert not later.done()
    proxy.heal()
    assert [await waiting, await later] == [b"", b""]
    assert await asked(await connected(proxy)) == b"hello\n"
    assert b"lost\n" not in echo.heard


async def test_a_swallowed_request_is_heard_and_its_connection_reset_in_place_of_the_answer(
    proxy: Proxy, echo: Echo
) -> None:
    doomed, other = await connected(proxy), await connected(proxy)
    proxy.lose_answer_to(b"write", times=2)
    assert await asked(doomed, b"read\n") == b"read\n"
    assert await asked(doomed, b"write 1\n") == b""
    assert await asked(other) == b"hello\n"
    assert await asked(other, b"write 2\n") == b""
    assert echo.heard == [b"read\n", b"write 1\n", b"hello\n", b"write 2\n"]
    assert await asked(await connected(proxy), b"write 3\n") == b"write 3\n"
    assert proxy.lost == 2


async def test_refusing_it_lets_nobody_through_until_it_is_healed(proxy: Proxy) -> None:
    earlier = await connected(proxy)
    proxy.outage()
    assert await asked(earlier) == b""
    assert await asked(await connected(proxy)) == b""
    proxy.heal()
    assert await asked(await connected(proxy)) == b"hello\n"


async def test_without_its_server_a_connection_is_reset_and_the_next_one_may_do_better(
    echo: Echo,
) -> None:
    port = free_port()
    async with Proxy(port) as proxy:
        assert await asked(await connected(proxy)) == b""
        server = await asyncio.start_server(echo.serve, "127.0.0.1", port)
        assert await asked(await connected(proxy)) == b"hello\n"
        server.close()
