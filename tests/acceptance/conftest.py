"""The acceptance suite runs over the broker that is chosen; with `--each-broker`, over each."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.broker_choice import brokers, choose_broker
from botdel.local.server import LocalBroker


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Not `params` of a fixture: a wrong setting would be an error of this import, with a trace."""
    if "broker_name" in metafunc.fixturenames:
        wanted = brokers() if metafunc.config.getoption("--each-broker") else brokers()[:1]
        metafunc.parametrize("broker_name", wanted, scope="session")


@pytest.fixture(scope="session")
async def broker(broker_name: str) -> AsyncIterator[LocalBroker]:
    """In place of the one of all tests; what a test starts by itself starts the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOTDEL_LOCAL_BROKER", broker_name)
        async with choose_broker().broker as broker:
            yield broker
