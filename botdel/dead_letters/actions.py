"""An operator's actions on dead letters: choose them page by page, and replay or discard them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deletion.bus import Publisher
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.errors import TopologyMissing
from deletion.ports import DeadLetterStore, ReadLetter, Unreadable
from deletion.replay import refusal, replay_message

PAGE = 20
"""Letters in memory at a time; Pub/Sub allows 10 MB for each."""
GROUP_BYTES = 5_000_000
"""Bytes published at once, so that one request stays below Pub/Sub's 10 MB."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters: those of `ids` or, without ids, the newest `limit` that match every filter."""

    ids: Sequence[str] = ()
    service: str | None = None
    reason: Reason | None = None
    status: DeadLetterStatus | None = None
    limit: int | None = None

    async def pages(self, store: DeadLetterStore) -> AsyncIterator[Sequence[ReadLetter]]:
        """Yield the chosen letters in pages; an unknown id is left out."""
        for letter_id in self.ids:
            if letter := await store.get(letter_id):
                yield [letter]
        left, before = (0 if self.ids else self.limit), None
        while left is None or left > 0:
            page = await store.find(
                service=self.service,
                reason=self.reason,
                status=self.status,
                before=before,
                limit=PAGE if left is None else min(PAGE, left),
            )
            if not page:
                return
            before, left = page[-1].id, None if left is None else left - len(page)
            yield page


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcome of each letter, by its id."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Action(Protocol):
    """Acts on each letter, and records the outcome in the tally."""

    async def __call__(self, letters: Sequence[DeadLetter], tally: Tally) -> None:
        """Raises the error that stops it; what was done by then is in the tally."""


async def act_on(
    choice: Choice,
    store: DeadLetterStore,
    action: Action,
    tally: Tally,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Act on the chosen letters page by page, calling `progress` after each page.

    Refuses, in the tally, unknown ids and letters that cannot be read.
    """
    async for page in choice.pages(store):
        tally.refused.update(
            {each.id: unreadable(each) for each in page if isinstance(each, Unreadable)}
        )
        await action([letter for letter in page if isinstance(letter, DeadLetter)], tally)
        progress()
    known = {*tally.done, *tally.refused}
    for missing in [letter_id for letter_id in choice.ids if letter_id not in known]:
        tally.refused[missing] = "there is no dead letter of that id"


class Replay:
    """Publishes, then marks. A crash in between may replay twice, but never skips a letter.

    `find_way` raises `TopologyMissing` if a message for a service would not reach it, or if this
    identity may not check that.
    """

    def __init__(
        self,
        store: DeadLetterStore,
        publisher: Publisher,
        find_way: Callable[[str], Awaitable[None]],
        *,
        force: bool = False,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._find_way = find_way
        self._force = force
        self._no_way: dict[str, str | None] = {}

    async def __call__(self, letters: Sequence[DeadLetter], tally: Tally) -> None:
        """Raises `BusUnavailable`, `StoreUnavailable`."""
        allowed = []
        for letter in letters:
            why = refusal(letter, force=self._force) or await self._missing_way(letter.service)
            if why:
                tally.refused[letter.id] = why
            else:
                allowed.append(letter)
        for group in _groups(allowed):
            await self._replay(group, tally)

    async def _missing_way(self, service: str) -> str | None:
        if service not in self._no_way:
            try:
                await self._find_way(service)
                self._no_way[service] = None
            except TopologyMissing as error:
                self._no_way[service] = str(error)
        return self._no_way[service]

    async def _replay(self, letters: Sequence[DeadLetter], tally: Tally) -> None:
        answers = await asyncio.gather(
            *(self._publisher.publish(replay_message(letter)) for letter in letters),
            return_exceptions=True,
        )
        for letter, answer in zip(letters, answers, strict=True):
            if answer is None:
                await self._mark(letter)
                tally.done.append(letter.id)
        for answer in answers:
            if answer is not None:
                raise answer

    async def _mark(self, letter: DeadLetter) -> None:
        """Mark the letter as replayed, unless its replay has come back already: it stays new."""
        read: ReadLetter | None = letter
        while isinstance(read, DeadLetter) and read.returns == letter.returns:
            if await self._store.settle(read, DeadLetterStatus.REPLAYED):
                return
            read = await self._store.get(letter.id)


class Discard:
    """Marks letters as discarded: nobody will replay them."""

    def __init__(self, store: DeadLetterStore) -> None:
        self._store = store

    async def __call__(self, letters: Sequence[DeadLetter], tally: Tally) -> None:
        """Raises `StoreUnavailable`."""
        for letter in letters:
            if why := why_not_discarded(letter):
                tally.refused[letter.id] = why
            elif await self._store.settle(letter, DeadLetterStatus.DISCARDED):
                tally.done.append(letter.id)
            else:
                tally.refused[letter.id] = "it has just come back after a replay: look at it again"


class DryRun:
    """Records what would be done, and does nothing. `why_not` says why the action would refuse."""

    def __init__(self, why_not: Callable[[DeadLetter], str | None]) -> None:
        self._why_not = why_not

    async def __call__(self, letters: Sequence[DeadLetter], tally: Tally) -> None:
        """Raises nothing."""
        for letter in letters:
            if why := self._why_not(letter):
                tally.refused[letter.id] = why
            else:
                tally.done.append(letter.id)


def unreadable(letter: Unreadable) -> str:
    """Return why the letter cannot be read, and what to do about it."""
    return (
        f"it cannot be read ({letter.reason}); if a later version wrote it, use the botdel of that "
        "version, otherwise its record in MongoDB is damaged"
    )


def why_not_discarded(letter: DeadLetter) -> str | None:
    """Return why the letter may not be discarded, or None. A replayed letter stays replayed."""
    if letter.status is DeadLetterStatus.NEW:
        return None
    return f"it is {letter.status} already"


def _groups(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Yield the letters in order, in groups of at most `GROUP_BYTES` or of one larger letter."""
    group: list[DeadLetter] = []
    for letter in letters:
        if group and sum(len(each.data) for each in [*group, letter]) > GROUP_BYTES:
            yield group
            group = []
        group.append(letter)
    if group:
        yield group
