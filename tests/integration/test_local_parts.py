"""The real parts on one machine: they start, answer, survive being killed, and leave nothing."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from botdel.local import installation, server
from botdel.local.broker_choice import EMBEDDED, GOOGLE, why_left_out
from botdel.local.database import EmbeddedMongo
from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator
from botdel.local.processes import ChildProcess, free_port
from botdel.local.server import LocalServer, PortTaken
from deletion.adapters.mongo.connection import Clients
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.unproxied import unproxied
from deletion.clock import SystemClock
from tests.support.brokers import OPTION, of_broker_tests
from tests.support.polling import SOON, eventually, runs

Part = Callable[[int | None], LocalServer]
Client = AsyncMongoClient[dict[str, Any]]
Bots = AsyncCollection[dict[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each server that this project starts on a machine, with `--each-broker` both brokers."""
    if "part" in metafunc.fixturenames:
        brokers = of_broker_tests(each=metafunc.config.getoption(OPTION))
        metafunc.parametrize("part", [*brokers, "mongodb"], indirect=True)


@pytest.fixture
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Part:
    """Makes parts that share nothing, each on the port it is given."""
    if request.param == GOOGLE:
        return PubSubEmulator
    if request.param == EMBEDDED:
        return lambda port: EmbeddedBroker(port, folder=Path(mkdtemp(dir=tmp_path)))
    return lambda port: EmbeddedMongo(Path(mkdtemp(dir=tmp_path)), port)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", free_port())) as other:
        yield other.getsockname()[1]


needs_google = pytest.mark.skipif(bool(why_left_out(GOOGLE)), reason=why_left_out(GOOGLE))


@pytest.fixture
async def emulator() -> AsyncIterator[PubSubEmulator]:
    async with PubSubEmulator() as emulator:
        yield emulator


def topic(emulator: PubSubEmulator, project: str) -> str:
    return f"http://{emulator.host}/v1/projects/{project}/topics/greetings"


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@needs_google
async def test_the_emulator_keeps_a_topic_for_its_project_only(
    emulator: PubSubEmulator, project: str
) -> None:
    async with unproxied(timeout=SOON) as client:
        assert (await client.put(topic(emulator, project), json={})).status_code == 200
        assert (await client.get(topic(emulator, project))).status_code == 200
        assert (await client.get(topic(emulator, f"{project}-other"))).status_code == 404


@needs_google
async def test_a_killed_emulator_comes_back_on_its_port_and_has_forgotten_all(project: str) -> None:
    async with PubSubEmulator() as emulator, unproxied(timeout=SOON) as client:
        before = emulator.host
        await client.put(topic(emulator, project), json={})

        await emulator.kill()
        assert emulator.pid is None
        await emulator.start()

        assert emulator.host == before
        assert (await client.get(topic(emulator, project))).status_code == 404


async def test_the_database_answers_and_starts_empty(
    mongo: EmbeddedMongo, database_name: str
) -> None:
    client: Client
    async with AsyncMongoClient(mongo.uri) as client:
        bots: Bots = client[database_name]["bots"]
        assert await bots.database.list_collection_names() == []
        await bots.insert_one({"_id": 1})
        assert await bots.count_documents({}) == 1


async def test_a_database_killed_amid_writes_keeps_every_acknowledged_one(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    client: Client

    async def write(bots: Bots) -> None:
        for number in count():
            await bots.insert_one({"_id": number})
            acknowledged.add(number)

    async with (
        EmbeddedMongo(tmp_path / "mongodb") as mongo,
        AsyncMongoClient(mongo.uri, timeoutMS=5_000) as client,
    ):
        bots: Bots = client["test"]["bots"]
        writer = asyncio.create_task(write(bots))
        await eventually(lambda: len(acknowledged) >= 200)
        await mongo.kill()
        with pytest.raises(PyMongoError):
            await writer

        await mongo.start()
        assert acknowledged <= set(await bots.distinct("_id"))


async def test_a_restart_keeps_the_port(part: Part) -> None:
    async with part(None) as running:
        before, port = running.pid, running.port
        await running.restart()

        assert running.port == port
        assert running.pid not in {None, before}


async def test_starting_what_runs_changes_nothing(part: Part) -> None:
    async with part(None) as running:
        before = running.pid
        await running.start()

        assert running.pid == before


async def test_a_port_taken_at_the_last_moment_is_given_up_for_another(
    part: Part, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([taken, *(free_port() for _ in range(server.PORT_TRIES))])
    monkeypatch.setattr(server, "free_port", lambda: next(ports))

    async with part(None) as running:
        assert running.port != taken
        assert listening(running.port)


async def test_a_given_port_on_which_another_one_answers_is_reported(part: Part) -> None:
    async with part(None) as other:
        with pytest.raises(PortTaken, match=str(other.port)):
            await part(other.port).start()


async def test_stopping_frees_the_port_and_leaves_no_process(part: Part) -> None:
    running = part(None)
    await running.start()
    pid = running.pid
    assert pid is not None

    await running.stop()

    assert running.pid is None
    assert not runs(pid)
    assert not listening(running.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can promise it")
async def test_nothing_is_left_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    async with ChildProcess("parent", [sys.executable, "-c", PARENT, tmp_path]) as parent:
        line = await parent.wait_for_line(lambda line: line.startswith("pids "), SOON)
        pids = [int(pid) for pid in line.split()[1:]]
        assert all(map(runs, pids))
        parent.signal(signal.SIGKILL)
        await parent.wait(SOON)

    await eventually(lambda: not any(map(runs, pids)))


PARENT = """
import asyncio, sys
from pathlib import Path
from botdel.local.database import EmbeddedMongo
from botdel.local.broker_choice import choose_broker

async def main():
    async with choose_broker().broker as broker, EmbeddedMongo(Path(sys.argv[1])) as mongo:
        print("pids", broker.pid, mongo.pid)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_service_without_a_consumer_here_is_named_until_it_is_retired(
    mongo: EmbeddedMongo, database_name: str
) -> None:
    env = {"BOTDEL_MONGODB_URI": mongo.uri, "BOTDEL_MONGODB_DATABASE": database_name}
    env |= {"BILLING_URL": "http://127.0.0.1:9"}
    clients, now = Clients(mongo.uri), SystemClock().now()
    services = MongoServiceStore(clients.get(), database_name)
    assert await installation._provide(env) == []
    await services.register(["chat"], now)
    assert await installation._provide(env) == ["chat"]
    await services.retire("chat", "ann", "tried out", now)
    assert await installation._provide(env) == []
    clients.close()
