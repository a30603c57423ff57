"""Fixtures of the unit tests."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """What is logged, kept from being rendered."""
    with capture_logs() as logs:
        yield logs
