"""The ports of operators' actions. Their docstrings are the specification, which one suite of
`tests/conformance` checks over every implementation.

Every method raises `StoreUnavailable` when the database does not answer in time.
"""

from collections.abc import Sequence
from typing import Protocol

from deletion.operating.record import (
    ActionKind,
    Entries,
    OperatorAction,
    Preview,
    Target,
    WholeAction,
)
from deletion.ports import Unreadable


class ActionStore(Protocol):
    """Holds the actions. What was added to one is never changed or removed."""

    def new_id(self) -> str:
        """An unused id, 24 hex digits. Later ids sort after earlier ones, to the second."""

    async def insert(self, action: OperatorAction, targets: Sequence[Target] = ()) -> bool:
        """Insert an action that one run has begun. Returns False if there is one with its id that
        another run began. Repeating a call whose answer was lost returns True.
        """

    async def save(
        self, before: OperatorAction, after: OperatorAction, added: Entries | None = None
    ) -> None:
        """Write `after`, and add the entries, if the stored one has the revision of `before`;
        atomic. `after` has a later revision, and the same order and start.

        Raises `LeaseLost` if another run has written. Repeating a call whose answer was lost adds
        nothing twice.
        """

    async def get(self, action_id: str) -> WholeAction | Unreadable | None:
        """The action with this id (24 hex digits) and its entries, or None."""

    async def find(
        self,
        *,
        by: str | None = None,
        kind: ActionKind | None = None,
        before: str | None = None,
        limit: int,
    ) -> Sequence[OperatorAction | Unreadable]:
        """At most `limit` that match all given filters, with ids below `before`, newest first.

        Ids sort by the second: actions that begin in the same second may be in any order.
        """


class PreviewStore(Protocol):
    """Keeps previews for `KEPT_FOR`. Confirming one does not change it."""

    def new_id(self) -> str:
        """An unused id, 24 hex digits. It becomes the id of the action."""

    async def keep(self, preview: Preview) -> None:
        """Insert `preview`, and delete those that are older than `KEPT_FOR` by then. Repeating it
        is safe.
        """

    async def get(self, preview_id: str) -> Preview | None:
        """The preview with this id (24 hex digits), or None; also None if it cannot be read."""
