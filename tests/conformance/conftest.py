"""Both brokers as processes, for the suites that run over each of them (`test_broker*.py`)."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.broker_choice import EMBEDDED, GOOGLE, why_left_out
from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator
from tests.conformance.brokers import Calls, calls_to


def _skipped(name: str) -> list[pytest.MarkDecorator]:
    """The mark of a broker that is not wanted, or not installed; such skips share a line."""
    return [pytest.mark.skip(reason=why)] if (why := why_left_out(name)) else []


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=_skipped(n)) for n in (GOOGLE, EMBEDDED)]
)
async def host(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Where a broker listens."""
    server = PubSubEmulator() if request.param == GOOGLE else EmbeddedBroker()
    async with server:
        yield server.host


@pytest.fixture
def is_google(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params["host"] == GOOGLE)


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
