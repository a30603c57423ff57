"""The stores of operators' actions in memory, for tests. They pass the same suite as the real ones.

No await inside a method: each is atomic.
"""

from collections.abc import Sequence
from itertools import count, islice

from deletion.errors import LeaseLost
from deletion.operating.record import (
    KEPT_FOR,
    ActionKind,
    Entries,
    OperatorAction,
    Preview,
    Target,
    WholeAction,
)
from deletion.ports import Unreadable


class MemoryActionStore:
    """`deletion.operating.ports.ActionStore` over a dict."""

    def __init__(self) -> None:
        self.actions: dict[str, WholeAction] = {}
        self._ids = count(1)

    def new_id(self) -> str:
        """Ids that sort in the order they were made."""
        return f"{next(self._ids):024x}"

    async def insert(self, action: OperatorAction, targets: Sequence[Target] = ()) -> bool:
        """See the port."""
        if stored := self.actions.get(action.id):
            return stored.action.runs[0] == action.runs[0]
        self.actions[action.id] = WholeAction(action, tuple(targets), ())
        return True

    async def save(
        self, before: OperatorAction, after: OperatorAction, added: Entries | None = None
    ) -> None:
        """See the port."""
        stored = self.actions.get(after.id)
        if stored is not None and stored.action == after:
            return
        if stored is None or stored.action.revision != before.revision:
            raise LeaseLost(f"another run has written action {after.id}")
        new = added or Entries()
        self.actions[after.id] = WholeAction(
            after, (*stored.targets, *new.targets), (*stored.outcomes, *new.outcomes)
        )

    async def get(self, action_id: str) -> WholeAction | Unreadable | None:
        """See the port."""
        return self.actions.get(action_id)

    async def find(
        self,
        *,
        by: str | None = None,
        kind: ActionKind | None = None,
        before: str | None = None,
        limit: int,
    ) -> Sequence[OperatorAction | Unreadable]:
        """See the port."""
        fitting = (
            whole.action
            for action_id, whole in sorted(self.actions.items(), reverse=True)
            if by in (None, whole.action.order.by)
            and kind in (None, whole.action.order.kind)
            and (before is None or action_id < before)
        )
        return list(islice(fitting, limit))


class MemoryPreviewStore:
    """`deletion.operating.ports.PreviewStore` over a dict."""

    def __init__(self) -> None:
        self.previews: dict[str, Preview] = {}
        self._ids = count(1 << 64)  # never those of actions

    def new_id(self) -> str:
        """See the port."""
        return f"{next(self._ids):024x}"

    async def keep(self, preview: Preview) -> None:
        """See the port."""
        self.previews.setdefault(preview.id, preview)
        self.previews = {
            key: each for key, each in self.previews.items() if each.at >= preview.at - KEPT_FOR
        }

    async def get(self, preview_id: str) -> Preview | None:
        """See the port."""
        return self.previews.get(preview_id)
