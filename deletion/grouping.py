"""Grouping: calls made at the same time share one round trip."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Grouping(Generic[T, R]):
    """Calls `answer` with the waiting items, up to `limit` in a call and `senders` calls at a time.

    `answer` returns a result or an exception for each item, in order. If it raises, every item of
    the call gets that exception. While `answer` is slow, the groups grow, not the number of calls.
    Each call runs in the context in which the first of its items was asked for.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        limit: int,
        senders: int,
    ) -> None:
        self._answer = answer
        self._limit = limit
        self._most_senders = senders
        self._waiting: deque[tuple[T, asyncio.Future[R], Context]] = deque()
        self._senders: set[asyncio.Task[None]] = set()

    async def ask(self, item: T) -> R:
        """Return the result for `item`, or raise its exception. Cancelling does not withdraw it."""
        outcome: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome, copy_context()))
        self._wake()
        return await outcome

    def _wake(self) -> None:
        if len(self._senders) < self._most_senders:
            sender = asyncio.create_task(self._send())
            self._senders.add(sender)
            sender.add_done_callback(self._ended)

    def _ended(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        if self._waiting:  # it arrived after the sender last checked
            self._wake()

    async def _send(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), self._limit)
            group = [self._waiting.popleft() for _ in range(size)]
            try:
                asking = self._answered([item for item, _, _ in group])
                results = await asyncio.create_task(asking, context=group[0][2])
            except Exception as error:  # noqa: BLE001 - the outcome of every waiting call
                results = [error] * size
            for (_, outcome, _), result in zip(group, results, strict=True):
                if outcome.done():
                    continue
                if isinstance(result, Exception):
                    outcome.set_exception(result)
                else:
                    outcome.set_result(result)

    async def _answered(self, items: Sequence[T]) -> Sequence[R | Exception]:
        return await self._answer(items)
