"""The acceptance suite runs over the broker that is wanted, or each that can be started here."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.pubsub import brokers, local_broker
from botdel.local.server import LocalBroker


@pytest.fixture(scope="session", params=brokers())
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[LocalBroker]:
    """In place of the one of all tests; what a test starts by itself starts the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOTDEL_LOCAL_BROKER", request.param)
        async with local_broker() as broker:
            yield broker
