"""The embedded broker as a process: killed, short of disk, locked, and stopped."""

import asyncio
import errno
import random
import resource
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from google.api_core import exceptions as gcp
from google.pubsub_v1.types import ReceivedMessage, StreamingPullRequest

from botdel.local.broker.remedies import NO_FOLDER, NOT_OURS
from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.processes import ChildProcess, ProcessFailed, free_port
from botdel.local.server import found_taken
from tests.conformance.brokers import CALL, PAUSE, Calls, calls_to, data, moment
from tests.support.forked import ForkedBroker, ForkedProcess
from tests.support.polling import SLACK, eventually
from tests.support.proxy import Proxy

KILLS: Final = 6
SEED: Final = 9


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with ForkedBroker(folder=tmp_path / "kept") as broker:
        yield broker


@pytest.fixture
async def calls(broker: EmbeddedBroker) -> AsyncIterator[Calls]:
    async with calls_to(broker.host) as calls:
        await calls.create_topic()
        await calls.subscribe(ack_deadline_seconds=600)
        yield calls


class Load:
    """Publishes numbers and acknowledges them, and notes what was confirmed of both."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.published: set[bytes] = set()
        self.received: set[bytes] = set()
        self.acked: set[bytes] = set()
        self.acked_and_came_again: set[bytes] = set()
        self.errors = 0
        self.publishing = self.consuming = True
        self._next = 0

    async def publish(self) -> None:
        """Until it is told to stop; what has no answer may have been published or not."""
        while self.publishing:
            numbers = [b"%d" % n for n in range(self._next, self._next + 20)]
            self._next += 20
            async with self._errors_counted():
                await self._calls.publish(*numbers)
                self.published.update(numbers)

    async def consume(self) -> None:
        """Until nothing comes any more, once it is told to stop."""
        while True:
            async with self._errors_counted():
                entries = await self._calls.pull(50)
                if not entries and not self.consuming:
                    return
                if not entries:
                    await asyncio.sleep(PAUSE)  # between two pulls that bring nothing
                came = set(data(entries))
                self.received |= came
                self.acked_and_came_again |= came & self.acked
                if entries:
                    await self._calls.ack(*entries)
                    self.acked |= came

    async def stop(self, publishing: Sequence[asyncio.Task[None]]) -> None:
        """Stop the publishers. The consumer then ends as soon as a pull brings nothing."""
        self.publishing = False
        await asyncio.wait(publishing)
        self.consuming = False

    def has_published(self, number: int) -> bool:
        return len(self.published) > number

    @asynccontextmanager
    async def _errors_counted(self) -> AsyncIterator[None]:
        try:
            yield
        except (gcp.ServiceUnavailable, gcp.Unknown, gcp.DeadlineExceeded, gcp.Cancelled):
            self.errors += 1
            await asyncio.sleep(0.02)  # a broker that is away refuses at once, again and again


@pytest.mark.proves("broker-keeps")
async def test_a_kill_under_load_loses_nothing_confirmed_and_repeats_no_confirmed_ack(
    broker: EmbeddedBroker, calls: Calls
) -> None:
    load, rng = Load(calls), random.Random(SEED)  # noqa: S311
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        publishing = [tasks.create_task(load.publish()) for _ in range(3)]
        tasks.create_task(load.consume())
        for _ in range(KILLS):
            before = len(load.published)
            await eventually(partial(load.has_published, before + 200))
            await asyncio.sleep(rng.random() / 5)  # killed at any moment of the load
            await broker.kill()
            await broker.start()
        await load.stop(publishing)
    assert load.errors >= KILLS
    assert load.published <= load.received
    assert not load.acked_and_came_again


@pytest.mark.proves("broker-keeps")
async def test_a_disk_that_is_full_confirms_nothing_and_loses_nothing(
    broker: EmbeddedBroker, calls: Calls
) -> None:
    """A bound on the size of its files stands in for a full disk."""
    await calls.publish(b"before")
    [held] = await calls.receive(1)
    _limit_files(broker, 0)
    with pytest.raises(gcp.ServiceUnavailable, match="could not be kept on disk"):
        await calls.publish(b"refused")
    with pytest.raises(gcp.ServiceUnavailable, match="could not be kept on disk"):
        await calls.ack(held)
    with pytest.raises(gcp.ServiceUnavailable, match="could not be kept on disk"):
        await calls.create_topic("refused")
    _limit_files(broker, resource.RLIM_INFINITY)
    await calls.publish(b"after")
    assert data(await calls.receive(1)) == [b"after"]
    await broker.kill()
    await broker.start()
    assert set(data(await calls.receive(2))) == {b"before", b"after"}


def _limit_files(broker: EmbeddedBroker, size: int) -> None:
    if not hasattr(resource, "prlimit") or broker.pid is None:
        pytest.skip("this system cannot bound the files of another process")
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_leases_of_a_broker_that_died_are_over(broker: EmbeddedBroker, calls: Calls) -> None:
    await calls.publish(b"x")
    [held] = await calls.receive(1)
    await broker.kill()
    await broker.start()
    [again] = await calls.receive(1)
    assert again.message.message_id == held.message.message_id
    await calls.ack(held)  # an ack of the broker before counts as well
    await broker.restart()
    await calls.nothing_comes(1)


@pytest.mark.proves("broker-keeps")
async def test_a_folder_that_is_removed_ends_it(
    broker: EmbeddedBroker, calls: Calls, tmp_path: Path
) -> None:
    """Or it would confirm what is lost, beside a second one with a new folder of that name."""
    await calls.publish(b"x")
    shutil.rmtree(tmp_path / "kept")
    with pytest.raises(ProcessFailed, match=r"code 1\)(?s:.*)was removed or replaced while the"):
        await asyncio.wait_for(broker.watch(), 30)


async def test_more_ack_ids_than_fit_into_a_request_are_refused(calls: Calls) -> None:
    await calls.publish(b"x")
    [received] = await calls.receive(1)
    with pytest.raises(gcp.InvalidArgument, match="exceeds the limit: 524288 bytes"):
        await calls.ack(*[received] * 20_000)
    await calls.ack(received)


async def test_a_seek_holds_up_nobody_and_goes_on_when_its_client_leaves(calls: Calls) -> None:
    await calls.create_topic("other")
    await calls.subscribe("other", retain_acked_messages=True, ack_deadline_seconds=600)
    for _ in range(40):
        await calls.publish(*[b"x" * 100] * 1_000)
    request = {"subscription": calls.path("other"), "time": moment(-60)}
    answered = [await _answered_during(calls, request) for _ in range(5)]
    assert max(answered) > 3, "a seek in one piece would let one call in"
    with pytest.raises(gcp.DeadlineExceeded):
        await calls.subscriber.seek(request, timeout=0.02, retry=None)
    for _ in range(40):
        await calls.receive(1_000, "other")


async def _answered_during(calls: Calls, seek: dict[str, Any]) -> int:
    """How many calls are answered during a seek. On a busy machine it may end without one."""
    seeking = asyncio.create_task(calls.subscriber.seek(seek, timeout=CALL, retry=None))
    answered = 0
    while not seeking.done():
        await calls.publisher.get_topic(topic=calls.topic, timeout=CALL)
        answered += 1
    await seeking
    return answered


@pytest.mark.proves("broker-keeps")
async def test_two_brokers_never_open_one_folder(broker: EmbeddedBroker, tmp_path: Path) -> None:
    async with ForkedProcess("second", _argv("--folder", tmp_path / "kept")) as second:
        assert await second.wait(30) == 1
        [said] = list(second.lines)
    assert f"(pid {broker.pid})" in said
    assert "another broker keeps its messages in this folder" in said


async def test_a_port_that_is_taken_is_an_error(broker: EmbeddedBroker) -> None:
    async with ForkedProcess("second", _argv("--port", broker.port)) as second:
        assert await second.wait(30) == 1
        assert list(second.lines) == [
            f"botdel: [Errno {errno.EADDRINUSE}] cannot listen on 127.0.0.1:{broker.port}: "
            "Address already in use; name another with --port"
        ]
    assert found_taken(second)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::"])
async def test_it_listens_on_this_machine_alone(host: str) -> None:
    async with ForkedProcess("broker", _argv("--host", host)) as refused:
        assert await refused.wait(30) == 2
        assert any("listens on a loopback address only" in line for line in refused.lines)


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]"])
async def test_an_address_of_this_machine_has_one_form(host: str) -> None:
    shown = "127.0.0.1" if host == "localhost" else "[::1]"
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with ForkedProcess("broker", _argv("--host", host)) as broker:
        said = await broker.wait_for_line(lambda line: "listening on" in line, 30)
    assert said.startswith(f"listening on {shown}:")


async def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with ForkedProcess("broker", _argv("--folder", tmp_path / "file")) as refused:
        assert await refused.wait(30) == 2
        assert any(NO_FOLDER in line for line in refused.lines)


async def test_a_folder_without_a_name_is_an_error(tmp_path: Path) -> None:
    async with ForkedProcess("broker", _argv("--folder", ""), cwd=tmp_path) as refused:
        assert await refused.wait(30) == 2
        assert any("found an empty name" in line for line in refused.lines)
    assert not (tmp_path / "pubsub.sqlite").exists()


async def test_a_file_that_is_no_database_is_an_error_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "pubsub.sqlite"
    file.write_bytes(b"something else" * 100)
    async with ForkedProcess("broker", _argv("--folder", tmp_path)) as refused:
        assert await refused.wait(30) == 2
        assert any("file is not a database" in line and NOT_OURS in line for line in refused.lines)
    assert file.read_bytes() == b"something else" * 100


async def test_a_file_that_is_damaged_is_an_error(
    broker: EmbeddedBroker, calls: Calls, tmp_path: Path
) -> None:
    for _ in range(20):
        await calls.publish(*[b"x" * 1_000] * 100)
    await broker.stop()
    file = tmp_path / "kept" / "pubsub.sqlite"
    pages = bytearray(file.read_bytes())
    pages[4096:-4096] = b"\x55" * (len(pages) - 8192)
    file.write_bytes(pages)
    async with ForkedProcess("broker", _argv("--folder", tmp_path / "kept")) as refused:
        assert await refused.wait(30) == 2
        assert any("malformed" in line for line in refused.lines)


@pytest.mark.parametrize(
    ("mounting", "told"),
    [
        (
            'mount --bind "{0}" "{0}" && mount -o remount,ro,bind "{0}"',
            "Read-only file system; name a folder that this user may write to",
        ),
        ('mount -t tmpfs -o size=8k tmpfs "{0}"', "is full; make room on the disk"),
    ],
)
async def test_a_folder_that_cannot_be_written_to_is_an_error(
    tmp_path: Path, mounting: str, told: str
) -> None:
    """A mount of its own, because the permissions of a folder do not bind the superuser."""
    mounting = mounting.format(tmp_path)
    as_root = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        async with ChildProcess("mount", [*as_root, mounting]) as mount:
            can_mount = await mount.wait(30) == 0
    except OSError:
        can_mount = False
    if not can_mount:
        pytest.skip("this user cannot make a mount")
    command = [
        *as_root,
        f'{mounting} && exec "$@"',
        "sh",
        sys.executable,
        "-m",
        *_argv("--folder", tmp_path),
    ]
    async with ChildProcess("broker", command) as refused:
        assert await refused.wait(30) == 2
        assert any(told in line for line in refused.lines), list(refused.lines)


async def test_a_signal_ends_it_soon_though_streams_and_pulls_wait(
    broker: EmbeddedBroker, calls: Calls
) -> None:
    pulling = asyncio.create_task(calls.pull(seconds=30))
    streams = [await _stream(calls) for _ in range(3)]
    reading = [asyncio.create_task(_read(stream)) for stream in streams]
    await _all_sent_before_has_arrived(calls)
    began = time.monotonic()
    await broker.stop()
    assert time.monotonic() - began < 4 + SLACK
    with pytest.raises(ProcessFailed, match=r"exit code 0"):
        await broker.watch()
    for ended in (pulling, *reading):
        with pytest.raises(gcp.ServiceUnavailable, match="stopping"):
            await ended


async def test_what_a_dead_stream_held_comes_at_once(calls: Calls, broker: EmbeddedBroker) -> None:
    """Its deadline is ten minutes away."""
    await calls.publish(b"1", b"2")
    async with calls_to(broker.host) as other:
        stream = await _stream(Calls(other.publisher, other.subscriber, calls.project))
        assert len(await _read(stream)) > 0
    died = time.monotonic()
    assert set(data(await calls.receive(2))) == {b"1", b"2"}
    assert time.monotonic() - died < SLACK


async def test_what_a_client_that_vanished_held_comes_again(
    calls: Calls, broker: EmbeddedBroker
) -> None:
    """Its connection is silent and stays open, and its deadline is ten minutes away."""
    await calls.publish(b"x")
    async with Proxy(broker.port) as proxy, calls_to(f"127.0.0.1:{proxy.port}") as other:
        stream = await _stream(Calls(other.publisher, other.subscriber, calls.project))
        assert len(await _read(stream)) == 1
        proxy.black_hole()
        vanished = time.monotonic()
        assert data(await calls.receive(1)) == [b"x"]
        assert time.monotonic() - vanished < 25


async def test_connections_that_are_cut_lose_nothing_confirmed(
    calls: Calls, broker: EmbeddedBroker
) -> None:
    async with Proxy(broker.port) as proxy, calls_to(f"127.0.0.1:{proxy.port}") as other:
        load = Load(Calls(other.publisher, other.subscriber, calls.project))
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            publishing = [tasks.create_task(load.publish())]
            tasks.create_task(load.consume())
            for _ in range(10):
                await eventually(partial(load.has_published, len(load.published) + 100))
                proxy.cut()
            await load.stop(publishing)
        load.received |= set(data(await _left(calls, broker)))
    assert load.errors > 0
    assert load.published <= load.received
    assert not load.acked_and_came_again


async def _left(calls: Calls, broker: EmbeddedBroker) -> list[ReceivedMessage]:
    """What was delivered into a connection that was cut, and is held for ten minutes."""
    await broker.restart()
    found: list[ReceivedMessage] = []
    while some := await calls.pull(1000):
        found += some
    return found


async def test_a_pull_that_is_cancelled_takes_nothing(calls: Calls) -> None:
    for _ in range(20):
        pulling = asyncio.create_task(calls.pull(seconds=5))
        await _all_sent_before_has_arrived(calls)
        pulling.cancel()
        with suppress(asyncio.CancelledError, gcp.Cancelled):
            await pulling
    await calls.publish(b"x")
    assert data(await calls.receive(1)) == [b"x"]


async def test_the_start_says_what_it_is_for() -> None:
    said: list[str] = []
    async with EmbeddedBroker(on_line=said.append) as broker:
        assert f"listening on 127.0.0.1:{broker.port}" in said
    assert any("for tests, demos and development, not for production" in line for line in said)


async def test_without_a_folder_everything_is_forgotten() -> None:
    async with ForkedBroker() as broker, calls_to(broker.host) as calls:
        await calls.create_topic()
        await broker.restart()
        with pytest.raises(gcp.NotFound):
            await calls.publisher.get_topic(topic=calls.topic, timeout=CALL)


async def _all_sent_before_has_arrived(calls: Calls) -> None:
    """One connection keeps the order of what is sent through it."""
    await calls.publisher.get_topic(topic=calls.topic, timeout=CALL)


def _argv(*options: object) -> list[str]:
    port = ["--port", str(free_port())] if "--port" not in options else []
    return ["botdel.cli", "local", "pubsub", *port, *(str(option) for option in options)]


async def _stream(calls: Calls) -> Any:
    async def requests() -> AsyncIterator[StreamingPullRequest]:
        yield StreamingPullRequest(subscription=calls.path(), stream_ack_deadline_seconds=600)
        await asyncio.Event().wait()

    return await calls.subscriber.streaming_pull(requests=requests(), timeout=60, retry=None)


async def _read(stream: Any) -> Any:
    async for answer in stream:
        if answer.received_messages:
            return answer.received_messages
    return []
