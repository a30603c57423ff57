"""Published clients over the embedded broker: that of Python, and that of Node."""

import asyncio
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google.cloud import pubsub_v1

from botdel.local.embedded_broker import EmbeddedBroker
from tests.conformance.brokers import ACK_DEADLINE, Calls, calls_to
from tests.support.forked import ForkedBroker

WITHIN: Final = 30.0
NODE_PACKAGE: Final = "@google-cloud/pubsub@5.3.1"
NODE: Final = 20
"""The release of Node that this package is for; 6.x of it needs 22."""
INSTALL_WITHIN: Final = 150.0


@pytest.fixture(scope="module")
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with ForkedBroker() as broker:
        yield broker


@pytest.fixture
async def calls(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Calls]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", broker.host)
    async with calls_to(broker.host) as calls:
        await calls.create_topic()
        yield calls


class Received:
    """Messages that callbacks, which run in threads, were given."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self._changed = threading.Condition()

    def add(self, message: pubsub_v1.subscriber.message.Message) -> None:
        with self._changed:
            self.data.append(message.data)
            self._changed.notify_all()

    def wait(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.data) >= number, WITHIN), self.data


@contextmanager
def subscribed(
    path: str, callback: Callable[[pubsub_v1.subscriber.message.Message], None], **flow: Any
) -> Iterator[pubsub_v1.subscriber.futures.StreamingPullFuture]:
    with pubsub_v1.SubscriberClient() as client:
        control = pubsub_v1.types.FlowControl(**flow)
        streaming = client.subscribe(path, callback=callback, flow_control=control)
        try:
            yield streaming
        finally:
            streaming.cancel()
            streaming.result(WITHIN)


@pytest.mark.proves("broker-as-documented")
async def test_python_publishes_and_subscribes(calls: Calls) -> None:
    await calls.subscribe()
    received = Received()

    def acking(message: pubsub_v1.subscriber.message.Message) -> None:
        received.add(message)
        message.ack()

    def work() -> None:
        publisher = pubsub_v1.PublisherClient()
        with subscribed(calls.path(), acking, max_messages=10):
            futures = [publisher.publish(calls.topic, b"%d" % n) for n in range(1_000)]
            assert len({future.result(WITHIN) for future in futures}) == 1_000
            received.wait(1_000)
        publisher.stop()

    await asyncio.to_thread(work)
    assert sorted(received.data, key=int) == [b"%d" % n for n in range(1_000)]
    await calls.nothing_comes(1)


async def test_python_extends_deadlines_and_nacks(calls: Calls) -> None:
    """Its first stream asks for 10 s; the library extends what a callback holds for longer."""
    await calls.subscribe(ack_deadline_seconds=ACK_DEADLINE)
    received, acked = Received(), threading.Event()

    def slow(message: pubsub_v1.subscriber.message.Message) -> None:
        received.add(message)
        if len(received.data) == 1:
            message.nack()
        else:
            time.sleep(ACK_DEADLINE + 1)  # longer than its deadline
            message.ack()
            acked.set()

    def work() -> None:
        with subscribed(calls.path(), slow):
            assert acked.wait(WITHIN)

    await calls.publish(b"x")
    await asyncio.to_thread(work)
    assert received.data == [b"x", b"x"]
    await calls.nothing_comes(1)


async def test_python_keeps_the_order_of_a_key(calls: Calls) -> None:
    await calls.subscribe(enable_message_ordering=True)
    received = Received()

    def acking(message: pubsub_v1.subscriber.message.Message) -> None:
        received.add(message)
        message.ack()

    def work() -> None:
        options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
        publisher = pubsub_v1.PublisherClient(publisher_options=options)
        with subscribed(calls.path(), acking):
            for n in range(300):
                publisher.publish(calls.topic, b"%d" % n, ordering_key="bot")
            received.wait(300)
        publisher.stop()

    await asyncio.to_thread(work)
    assert received.data == [b"%d" % n for n in range(300)]


async def test_python_connects_anew_after_a_restart(tmp_path: Path) -> None:
    received = Received()

    def acking(message: pubsub_v1.subscriber.message.Message) -> None:
        received.add(message)
        message.ack()

    async with ForkedBroker(folder=tmp_path) as broker, calls_to(broker.host) as calls:
        await calls.create_topic()
        await calls.subscribe()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PUBSUB_EMULATOR_HOST", broker.host)
            with subscribed(calls.path(), acking) as streaming:
                await calls.publish(b"before")
                await asyncio.to_thread(received.wait, 1)
                await broker.kill()
                await broker.start()
                await calls.publish(b"after")
                await asyncio.to_thread(received.wait, 2)
                with pytest.raises(FutureTimeoutError):
                    streaming.result(0)
    assert received.data[-1] == b"after"


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client of Node in it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is not installed")
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    if int(found.stdout.strip().lstrip("v").partition(".")[0]) < NODE:
        pytest.skip(f"Node {NODE} or newer is needed, and this is {found.stdout.strip()}")
    folder = tmp_path_factory.mktemp("node")
    install = [npm, "install", "--no-audit", "--no-fund", "--silent", NODE_PACKAGE]
    try:
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=INSTALL_WITHIN)
    except subprocess.SubprocessError as error:
        pytest.skip(f"{NODE_PACKAGE} could not be installed: {error}")
    return folder


SCRIPT: Final = """
const {PubSub} = require('@google-cloud/pubsub');
(async () => {
  const [topic, path] = process.argv.slice(2);
  const client = new PubSub({projectId: process.env.PUBSUB_PROJECT_ID});
  const subscription = client.subscription(path, {flowControl: {maxMessages: 5}});
  const seen = new Map();
  let nacked = false;
  const done = new Promise((resolve, reject) => {
    subscription.on('error', reject);
    subscription.on('message', message => {
      if (!nacked) { nacked = true; message.nack(); return; }
      seen.set(message.id, message.data.toString());
      message.ack();
      if (seen.size === 200) resolve();
    });
  });
  const publisher = client.topic(topic);
  const ids = await Promise.all([...Array(200).keys()].map(n =>
    publisher.publishMessage({data: Buffer.from(String(n)), attributes: {kind: 'chat'}})));
  await done;
  await subscription.close();
  console.log(JSON.stringify({ids: new Set(ids).size, data: [...seen.values()]}));
  await client.close();
})().catch(error => { console.error(error); process.exit(1); });
"""


@pytest.mark.proves("broker-as-documented")
@pytest.mark.timeout(300)
async def test_node_publishes_and_subscribes(
    calls: Calls, broker: EmbeddedBroker, node_folder: Path
) -> None:
    await calls.subscribe(filter='attributes.kind = "chat"')
    (node_folder / "both.js").write_text(SCRIPT)
    environment = {
        "PATH": os.environ["PATH"],
        "PUBSUB_EMULATOR_HOST": broker.host,
        "PUBSUB_PROJECT_ID": calls.project,
    }
    ended = await asyncio.to_thread(
        subprocess.run,
        ["node", "both.js", calls.topic, calls.path()],
        cwd=node_folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["ids"] == 200
    assert sorted(found["data"], key=int) == [str(n) for n in range(200)]
    await calls.nothing_comes(1)
