"""The parts of one machine: where they listen, and which servers they are given."""

import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

import pytest

from botdel.local import installation
from botdel.local.broker_choice import Chosen
from botdel.local.installation import Installation, default_ports
from botdel.local.processes import ChildProcess, ProcessFailed, free_port, is_free
from botdel.local.server import LocalBroker
from deletion.adapters.pubsub import connection
from deletion.errors import BusUnavailable
from deletion.process.run import LOCAL_SERVERS

LISTEN: Final = """
import json, socket, sys, time
port = int(sys.argv[-1])
if port == {broken}:
    sys.exit("another error")
listening = socket.create_server(("127.0.0.1", port))
url = f"http://127.0.0.1:{{listening.getsockname()[1]}}"
print(json.dumps({{"event": "listening", "url": url}}), flush=True)
time.sleep(60)
"""
"""Listens on its last argument as the pipeline's processes do, and ends if that is taken."""


@pytest.fixture
def taken() -> Iterator[int]:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_each_process_has_its_default_port_and_no_two_have_one() -> None:
    assert default_ports(["a", "b", "c"]) == {
        "gateway": 8080,
        "consumer a": 8081,
        "recovery": 8082,
        "consumer b": 8083,
        "consumer c": 8084,
    }


def test_the_sample_services_keep_their_ports() -> None:
    ports = default_ports()
    services = ("analytics", "billing", "conversations", "media")
    assert [ports[f"consumer {service}"] for service in services] == [8081, 8083, 8084, 8085]


def test_a_port_is_free_when_nobody_listens_on_it(taken: int) -> None:
    assert not is_free(taken)
    assert is_free(free_port())


class Started:
    """The gateway of an installation, in which a process that only listens stands for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.tried: list[int] = []
        self.said: list[str] = []
        self._folder = folder
        monkeypatch.setattr(installation, "ChildProcess", self._process)
        self.broken = -1

    async def on(self, wanted: int | None) -> int:
        """The port it is on when `wanted` is its own."""
        ports = {} if wanted is None else {"gateway": wanted}
        parts = Installation(self._folder, lambda _, line: self.said.append(line), ports=ports)
        await parts._start("gateway", "gateway")
        await parts._stop_all()
        return int(parts.urls["gateway"].rpartition(":")[2])

    def _process(self, name: str, argv: list[str], **options: Any) -> ChildProcess:
        self.tried.append(int(argv[-1]))
        script = LISTEN.format(broken=self.broken)
        stand_in = [sys.executable, "-c", script, argv[-1]]
        return ChildProcess(name, stand_in, **options)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    return Started(monkeypatch, tmp_path)


async def test_a_port_that_is_free_is_taken(started: Started) -> None:
    wanted = free_port()
    assert await started.on(wanted) == wanted
    assert started.tried == [wanted]
    assert not any("taken" in line for line in started.said)


async def test_in_place_of_a_port_that_is_taken_it_is_a_free_one(
    started: Started, taken: int
) -> None:
    assert await started.on(taken) != taken
    assert started.tried == [0]
    assert started.said[0] == f"port {taken} is taken: using a free one"


async def test_a_port_that_is_taken_meanwhile_costs_a_second_start(
    started: Started, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "is_free", lambda port: True)
    assert await started.on(taken) != taken
    assert started.tried == [taken, 0]
    assert f"port {taken} is taken: using a free one" in started.said


async def test_a_process_that_fails_otherwise_is_not_started_again(started: Started) -> None:
    started.broken = free_port()
    with pytest.raises(ProcessFailed, match="another error"):
        await started.on(started.broken)
    assert started.tried == [started.broken]


async def test_without_a_wish_it_is_a_free_port(started: Started) -> None:
    await started.on(None)
    assert started.tried == [0]


async def test_a_process_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    parts = Installation(tmp_path, lambda *_: None)
    for name, script in {"gateway": "sleep 60", "consumer a": "kill -9 $$"}.items():
        parts._processes[name] = ChildProcess(name, ["sh", "-c", script])
        await parts._processes[name].start()
    try:
        with pytest.raises(ProcessFailed, match=r"^consumer a ended \(SIGKILL\)"):
            await parts.watch()
    finally:
        await parts._stop_all()


# --- which servers


class Server:
    """Stands for the emulator or the database, and says that it was started."""

    host, uri = "127.0.0.1:20001", "mongodb://127.0.0.1:20002/"
    described = "a broker"
    keeps = False

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
def without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", "BOTDEL_MONGODB_URI", LOCAL_SERVERS):
        monkeypatch.delenv(name, raising=False)
    chosen = Chosen(cast("LocalBroker", Server()), "in a test")
    monkeypatch.setattr(installation, "choose_broker", lambda **_: chosen)
    monkeypatch.setattr(installation, "EmbeddedMongo", Server)


@pytest.fixture
def without_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The S3 server and the API of the sample services are not started, which takes seconds."""

    async def none(_: Installation, _stack: AsyncExitStack) -> dict[str, str]:
        return {}

    monkeypatch.setattr(Installation, "_sample_servers", none)


async def servers(folder: Path) -> dict[str, str]:
    """What the processes are told of the servers."""
    async with AsyncExitStack() as stack:
        return await Installation(folder, lambda *_: None)._servers(stack)


@pytest.mark.usefixtures("without_servers")
async def test_servers_are_started_where_the_environment_names_none(tmp_path: Path) -> None:
    found = await servers(tmp_path)
    assert (found["PUBSUB_EMULATOR_HOST"], found["BOTDEL_MONGODB_URI"]) == (Server.host, Server.uri)
    assert found[LOCAL_SERVERS].split() == [Server.host, Server.uri]


@pytest.mark.usefixtures("without_servers", "without_samples")
async def test_servers_that_the_environment_names_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://real/")
    found = await servers(tmp_path)
    assert (found["PUBSUB_EMULATOR_HOST"], found["BOTDEL_MONGODB_URI"]) == (
        Server.host,
        "mongodb://real/",
    )
    assert found[LOCAL_SERVERS] == Server.host, "the other one is somebody else's"


@pytest.mark.usefixtures("without_servers", "without_samples")
async def test_servers_of_an_earlier_installation_are_not_used_though_its_shell_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1:2"}
    for name, address in (earlier | {LOCAL_SERVERS: " ".join(earlier.values())}).items():
        monkeypatch.setenv(name, address)
    found = await servers(tmp_path)
    assert (found["PUBSUB_EMULATOR_HOST"], found["BOTDEL_MONGODB_URI"]) == (Server.host, Server.uri)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:8085")
    found = await servers(tmp_path)
    assert found["PUBSUB_EMULATOR_HOST"] == "127.0.0.1:8085", "set since, and another"


@pytest.mark.usefixtures("without_servers", "without_samples")
@pytest.mark.parametrize("named", [True, False])
async def test_what_the_embedded_broker_has_kept_is_set_aside_while_another_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if named:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    assert await set_aside(tmp_path) is None
    kept = tmp_path / "pubsub"
    kept.mkdir()
    assert await set_aside(tmp_path) == kept
    monkeypatch.setattr(Server, "keeps", True)
    assert await set_aside(tmp_path) == (kept if named else None)


async def set_aside(folder: Path) -> Path | None:
    async with AsyncExitStack() as stack:
        parts = Installation(folder, lambda *_: None)
        await parts._servers(stack)
        return parts.set_aside


async def test_an_emulator_that_does_not_answer_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "EmbeddedMongo", Server)
    monkeypatch.setattr(connection.BOUNDED_RETRY, "_timeout", 0.1)
    monkeypatch.delenv("BOTDEL_MONGODB_URI", raising=False)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    with pytest.raises(BusUnavailable):
        async with Installation(tmp_path, lambda *_: None):
            pass


def test_the_log_of_a_process_is_json_whatever_the_environment_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTDEL_LOG_FORMAT", "console")
    found = Installation(tmp_path, lambda *_: None)._credentials()
    assert found["BOTDEL_LOG_FORMAT"] == "json"


@pytest.mark.parametrize(
    ("tokens", "token"),
    [("s" * 16, "s" * 16), (f"billing:{'s' * 16} , ops:{'t' * 16}", "s" * 16)],
)
def test_a_client_is_given_a_token_without_its_name(
    tokens: str, token: str, tmp_path: Path
) -> None:
    parts = Installation(tmp_path, lambda *_: None)
    parts.env = {"BOTDEL_GATEWAY_TOKENS": tokens, "GOOGLE_CLOUD_PROJECT": "local"}
    assert parts.client_token == token
