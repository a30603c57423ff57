"""The acceptance suite runs over the broker that is wanted, or each that can be started here."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.pubsub import brokers, local_broker
from botdel.local.server import LocalBroker


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Not `params` of the fixture: a wrong setting is then an error of the import, with a trace."""
    if "broker" in metafunc.fixturenames and _is_ours(metafunc):
        metafunc.parametrize("broker", brokers(), indirect=True, scope="session")


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    """Whether no module has put a fixture of its own in place of the one below."""
    return not hasattr(metafunc.module, "broker")


@pytest.fixture(scope="session")
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[LocalBroker]:
    """In place of the one of all tests; what a test starts by itself starts the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOTDEL_LOCAL_BROKER", request.param)
        async with local_broker() as broker:
            yield broker
