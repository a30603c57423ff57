"""Many records at once: a preview freezes them as they look, and what changed since is refused.

A run is: read → refuse what has changed → act → record. Doing any of it twice is harmless, because
each act on a record is guarded by itself: so after a crash the rest is simply done.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic

from deletion.errors import Interrupted, TransientError, with_type
from deletion.operating.acting import Act, R, Unknown, act_on, why_not_read
from deletion.operating.journal import INTERRUPTED, Journal
from deletion.operating.record import MOST, Looks, Target, WholeAction, storable
from deletion.ports import Unreadable
from deletion.skew import Check, unchecked

GROUP: Final = 10
"""Records that are read and acted on side by side."""
GROUP_SECONDS: Final = 60.0
"""How long a group may take. `journal.WRITE_SECONDS` says what this and the silence add up to."""
MOST_LOOKED_AT: Final = 10_000
"""Records that a preview looks at, at most."""
MOST_REASONS: Final = 20
OTHER_REASONS: Final = "other reasons"

CHANGED: Final = "it has changed since the preview: look at it again"
UNCLEAR: Final = (
    "it has changed since the preview, perhaps by this action, whose process ended while it was "
    "acting on it: look at it again"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a preview finds: see `deletion.operating.record.Preview`."""

    targets: tuple[Target, ...]
    why_not: Counter[str]
    is_cut_off: bool


def as_one(
    records: Sequence[R | Unreadable | Unknown],
) -> Iterator[Sequence[R | Unreadable | Unknown]]:
    """Yield the records as one group."""
    yield records


@dataclass(frozen=True, slots=True)
class Bulk(Generic[R]):
    """One kind of action on many records.

    `pages` yields the chosen records, and None for each that was read and not chosen. `get` reads
    one by its id. `looks` returns the fields that show a change. `why_not` returns the refusal of
    `act` without details of the record, so that equal ones can be counted. `grouped` yields the
    records that are acted on at once. `check` raises while nothing may be done.
    """

    pages: Callable[[], AsyncIterator[Sequence[R | Unreadable | Unknown | None]]]
    get: Callable[[str], Awaitable[R | Unreadable | None]]
    looks: Callable[[R], Looks]
    act: Act[R]
    why_not: Callable[[R], Awaitable[str | None]]
    grouped: Callable[
        [Sequence[R | Unreadable | Unknown]], Iterator[Sequence[R | Unreadable | Unknown]]
    ] = as_one
    check: Check = unchecked

    async def preview(self, most: int = MOST) -> Selection:
        """Freeze the chosen records that are eligible, at most `most`. Changes nothing.

        Raises `TransientError`, and what `check` raises.
        """
        await self.check()
        targets: list[Target] = []
        why_not: Counter[str] = Counter()
        looked_at = 0
        async for page in self.pages():
            chosen = [each for each in page if each]
            reasons = await asyncio.gather(*map(self._why_not, chosen))
            for record, reason in zip(chosen, reasons, strict=True):
                if isinstance(record, Unreadable | Unknown) or reason:
                    _count(why_not, reason or "")
                elif len(targets) == most:
                    return Selection(tuple(targets), why_not, is_cut_off=True)
                else:
                    targets.append(Target(record.id, self.looks(record)))
            looked_at += len(page)
            if looked_at >= MOST_LOOKED_AT:
                return Selection(tuple(targets), why_not, is_cut_off=True)
        return Selection(tuple(targets), why_not, is_cut_off=False)

    async def perform(self, whole: WholeAction, journal: Journal, stopping: asyncio.Event) -> None:
        """Act on the targets that have no outcome, in their order, a group at a time.

        Raises `Interrupted` between two groups once `stopping` is set, what `check` and the journal
        raise, and `TransientError` if a group is not done within `GROUP_SECONDS`, or because the
        database or Pub/Sub does not answer: the outcomes until then are in the journal's tally.
        """
        await self.check()
        left = whole.left
        for start in range(0, len(left), GROUP):
            if stopping.is_set():
                raise Interrupted(INTERRUPTED)
            group = left[start : start + GROUP]
            await journal.begin(group[-1][0] + 1)
            try:
                async with asyncio.timeout(GROUP_SECONDS):
                    await self._act_on(group, whole.action.begun, journal)
            except TimeoutError as error:
                slow = f"{len(group)} records were not dealt with within {GROUP_SECONDS:g} s"
                raise TransientError(slow) from error

    async def _act_on(
        self, group: Sequence[tuple[int, Target]], begun: int, journal: Journal
    ) -> None:
        """Act on a group. The targets before the place `begun` were begun by an earlier run."""
        frozen = {target.id: (place, target) for place, target in group}

        async def attempt(record: R) -> str | None:
            place, target = frozen[record.id]
            if self.looks(record) != target.looks:
                return UNCLEAR if place < begun else CHANGED
            return await self.act(record)

        await act_on(self._read(list(frozen)), attempt, journal.tally)

    async def _read(self, ids: Sequence[str]) -> AsyncIterator[Sequence[R | Unreadable | Unknown]]:
        found = await asyncio.gather(*map(self.get, ids))
        records = [each or Unknown(id_) for each, id_ in zip(found, ids, strict=True)]
        for page in self.grouped(records):
            yield page

    async def _why_not(self, record: R | Unreadable | Unknown) -> str | None:
        """Return why the record is not eligible, or None. Raises `TransientError` only."""
        if isinstance(record, Unreadable | Unknown):
            return why_not_read(record)
        try:
            return await self.why_not(record)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - the reason why this record is left alone
            return with_type(error)


def _count(why_not: Counter[str], reason: str) -> None:
    reason = storable(reason)
    is_one_more = reason not in why_not and len(why_not) >= MOST_REASONS
    why_not[OTHER_REASONS if is_one_more else reason] += 1
