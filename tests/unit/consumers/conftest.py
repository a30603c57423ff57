"""A consumer over parts in memory; a module about a part of it has a `world` of its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.consumers.consuming import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """It is stopped at the end, if the test has started it."""
    world = World()
    yield world
    if world.consuming:
        world.consuming.cancel()
        await asyncio.gather(world.consuming, return_exceptions=True)
