"""Fixtures of the model."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _uncollected() -> Iterator[None]:
    """Worlds form no reference cycles, and searching for them takes a third of the time."""
    gc.disable()
    yield
    gc.enable()
