"""Calls side by side, a few at a time, so that they leave connections to others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def side_by_side(calls: Iterable[Callable[[], Awaitable[T]]], most: int) -> list[T]:
    """Make `calls`, at most `most` at a time, and return their results in order.

    Raises what the first call to fail raises. After that, or when this is cancelled, no further
    calls are made, and those under way are cancelled.
    """
    left = enumerate(calls)
    results = dict[int, T]()

    async def work() -> None:
        for place, call in left:
            results[place] = await call()

    working = [asyncio.create_task(work()) for _ in range(most)]
    try:
        await asyncio.gather(*working)
    finally:
        for each in working:
            each.cancel()
    return [results[place] for place in sorted(results)]
