"""A consumer over parts in memory; a module about a part of it has a `world` of its own."""

import pytest

from tests.unit.consumers.consuming import World


@pytest.fixture
def world() -> World:
    return World()
