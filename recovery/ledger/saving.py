"""Saving changes of requests: together, or one by one when one of them is broken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from deletion.errors import BotDeletionError
from deletion.ledger import RequestChange, RequestStore
from deletion.request import DeletionRequest

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of changes. `refused`: somebody else has written the request meanwhile.
    `broken`: writing it raised an error that nobody expected, which is in the log.
    """

    written: tuple[RequestChange, ...] = ()
    refused: tuple[RequestChange, ...] = ()
    broken: tuple[RequestChange, ...] = ()

    @property
    def requests(self) -> list[DeletionRequest]:
        """The requests that were written, as they are stored."""
        return [replace(each.after, revision=each.before.revision + 1) for each in self.written]

    def __add__(self, other: "Saved") -> "Saved":
        return Saved(
            self.written + other.written,
            self.refused + other.refused,
            self.broken + other.broken,
        )


async def save(requests: RequestStore, changes: Sequence[RequestChange]) -> Saved:
    """Save the changes. One that cannot be written does not hold up the others.

    Raises `StoreUnavailable`; some may be written then.
    """
    if not changes:
        return Saved()
    try:
        refused = {change.before.id for change in await requests.save(changes)}
    except BotDeletionError:
        raise
    except Exception:
        log.exception("requests not written", count=len(changes), event_id=changes[0].before.id)
        if len(changes) == 1:
            return Saved(broken=tuple(changes))
        alone = [await save(requests, [change]) for change in changes]
        return sum(alone, Saved())
    return Saved(
        tuple(change for change in changes if change.before.id not in refused),
        tuple(change for change in changes if change.before.id in refused),
    )
