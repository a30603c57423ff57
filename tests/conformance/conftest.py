"""Brokers as processes, for the suites about what a broker does (`test_broker*.py`)."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.broker_choice import GOOGLE
from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator
from tests.conformance.brokers import Calls, calls_to


@pytest.fixture(scope="module")
async def host(tested_broker: str) -> AsyncIterator[str]:
    """Where a broker listens."""
    server = PubSubEmulator() if tested_broker == GOOGLE else EmbeddedBroker()
    async with server:
        yield server.host


@pytest.fixture
def is_google(tested_broker: str) -> bool:
    return tested_broker == GOOGLE


@pytest.fixture
async def on_broker(
    request: pytest.FixtureRequest, host: str, is_google: bool
) -> AsyncIterator[Calls]:
    """The clients of one, in a project of this test's own."""
    wrong = request.node.get_closest_marker("wrong_in_emulator")
    if wrong is not None and is_google:
        request.node.add_marker(pytest.mark.xfail(reason=wrong.args[0], strict=True))
    async with calls_to(host) as calls:
        yield calls


@pytest.fixture
async def calls(on_broker: Calls) -> Calls:
    """With a topic, `events`."""
    await on_broker.create_topic()
    return on_broker
