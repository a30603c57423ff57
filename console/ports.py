"""The ports that only the console needs. Each docstring is the specification, which
tests/conformance checks. Every method raises `StoreUnavailable` when the database does not answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deletion.ports import Read


@dataclass(frozen=True, slots=True)
class Covering:
    """A job, and which of the requests that were asked for it covers."""

    service: str
    event_ids: frozenset[str]
    job: Read


class DeletionJobs(Protocol):
    """The jobs as a status shows them."""

    async def covering(
        self, bot_id: str, services: Collection[str], event_ids: Collection[str]
    ) -> Sequence[Covering]:
        """The jobs of the bot in `services` that cover one of `event_ids`, at most one for each
        service and event. A job that cannot be read otherwise is `Unreadable`.

        The `event_ids` of a returned job are only those that were asked for, in any order.
        """

    async def count_due(self, queue: str, before: datetime, limit: int) -> int:
        """How many jobs of `queue` are due before that time. Stops counting at `limit`."""
