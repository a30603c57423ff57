"""Acceptance tests are tests of the pipeline: with `--each-broker` they run over each broker."""

from collections.abc import AsyncIterator

import pytest

from botdel.local.broker_choice import choose_broker
from botdel.local.server import LocalBroker


@pytest.fixture(scope="session")
async def broker(broker_name: str) -> AsyncIterator[LocalBroker]:
    """In place of the one of all tests; what a test starts by itself starts the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOTDEL_LOCAL_BROKER", broker_name)
        async with choose_broker().broker as broker:
            yield broker
