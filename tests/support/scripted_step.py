"""A step that follows a script."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

from deletion.clock import Clock
from deletion.plan import Batch

Action = Exception | Callable[[], object] | float | None
"""What happens before a batch: an error, a call (awaited if need be), seconds, or nothing."""


@dataclass
class ScriptedStep:
    """A step that deletes numbered items from `data` by bot, `batch_size` at a time.

    Before each batch it takes one action from `script`, before each read-back one from
    `read_script`; after the last action it simply works, with `seconds` for each batch.
    `cursors` are those it was started from, `deleted` the items in order. With `tells_last` the
    last batch is marked as the last one.
    """

    name: str
    data: dict[str, list[int]]
    clock: Clock
    batch_size: int = 2
    seconds: float = 0
    script: deque[Action] = field(default_factory=deque)
    read_script: deque[Action] = field(default_factory=deque)
    cursors: list[str | None] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    read_backs: int = 0
    tells_last: bool = False

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Delete the items after `cursor`; the read-back finds those before it."""
        self.cursors.append(cursor)
        last = -1 if cursor is None else int(cursor)
        while True:
            await self._act(self.script)
            await self.clock.sleep(self.seconds)
            batch = sorted(i for i in self.data.get(bot_id, []) if i > last)[: self.batch_size]
            if not batch:
                return
            self.data[bot_id] = [i for i in self.data[bot_id] if i not in batch]
            self.deleted += batch
            last = batch[-1]
            is_last = self.tells_last and not any(i > last for i in self.data[bot_id])
            yield Batch(len(batch), str(last), is_last)
            if is_last:
                return

    async def is_empty(self, bot_id: str) -> bool:
        """Whether `data` has no items of the bot."""
        self.read_backs += 1
        await self._act(self.read_script)
        return not self.data.get(bot_id)

    async def _act(self, script: deque[Action]) -> None:
        action = script.popleft() if script else None
        if isinstance(action, Exception):
            raise action
        if isinstance(action, (int, float)):
            await self.clock.sleep(action)
        elif action is not None and isinstance(answer := action(), Awaitable):
            await answer
