"""A process is asked to stop in the middle of its start, while a server accepts and never answers.

In a container it is PID 1, for which the kernel has no default action: a signal that comes before
its handler is lost. Without a handler the exit code here would be that of the signal.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botdel.local.processes import ChildProcess
from tests.support.pipeline import WITHIN, Pipeline, listening
from tests.support.polling import eventually

AT_ONCE = 4.0
"""Seconds; on an idle machine it takes one, which connections get to close. Waiting for a server
that does not answer takes five."""
URI = "mongodb://127.0.0.1:{}/?directConnection=true&retryWrites=false"


class Silence:
    """A server that accepts and never answers. `heard` counts connections it got a word from."""

    heard = 0
    port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            self.heard += 1
        writer.close()


@pytest.fixture
async def silence() -> AsyncIterator[Silence]:
    silent = Silence()
    server = await asyncio.start_server(silent.accept, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    yield silent
    server.close()


def started(pipeline: Pipeline, command: str, plan: Path) -> ChildProcess:
    options = ("--plan", str(plan)) if command == "consumer" else ()
    return pipeline.process(command, "botdel.cli", command, "--port", "0", *options)


async def ends_at_once(process: ChildProcess, number: signal.Signals = signal.SIGTERM) -> None:
    began = time.monotonic()
    process.signal(number)
    assert await process.wait(WITHIN) == 0, list(process.lines)
    assert time.monotonic() - began < AT_ONCE


@pytest.mark.proves("signal-at-start")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("mute", ["database", "Pub/Sub"])
@pytest.mark.parametrize("command", ["consumer", "recovery"])
async def test_a_signal_ends_a_start_at_once(
    pipeline: Pipeline, silence: Silence, command: str, mute: str, number: signal.Signals
) -> None:
    if mute == "database":
        pipeline.settings["BOTDEL_MONGODB_URI"] = URI.format(silence.port)
    else:
        pipeline.settings["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{silence.port}"
    async with started(pipeline, command, pipeline.plan) as process:
        await eventually(lambda: silence.heard > 0, WITHIN)
        await ends_at_once(process, number)


@pytest.mark.proves("signal-at-start")
async def test_a_signal_ends_a_start_that_looks_for_an_index_in_a_database_that_hangs(
    pipeline: Pipeline, silence: Silence
) -> None:
    """That of the data; that of the jobs answers."""
    text = pipeline.plan.read_text()
    plan = pipeline.folder / "elsewhere.yaml"
    plan.write_text(text.replace("mongo: {", f"mongo: {{uri: '{URI.format(silence.port)}', "))
    async with started(pipeline, "consumer", plan) as process:
        await eventually(lambda: silence.heard > 0, WITHIN)
        await ends_at_once(process)


async def test_a_consumer_that_listens_ends_at_once_as_well(pipeline: Pipeline) -> None:
    async with pipeline.consumer() as consumer:
        await listening(consumer)
        consumer.terminate()
        assert await consumer.wait(WITHIN) == 0
