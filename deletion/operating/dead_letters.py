"""An operator's actions on dead letters: choose them page by page, and replay or discard them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from deletion.bus import Publisher
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.errors import TopologyMissing
from deletion.operating.acting import Unknown, by_ids
from deletion.operating.bulk import Bulk
from deletion.operating.record import Looks, in_words
from deletion.ports import DeadLetterStore, ReadLetter
from deletion.replay import refusal, replay_message

PAGE = 20
"""Letters in memory at a time; Pub/Sub allows 10 MB for each."""
GROUP_BYTES = 5_000_000
"""Bytes that are acted on at once, so that one request of a replay stays below Pub/Sub's 10 MB."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters: those of `ids` or, without ids, those that match every filter.

    Filters choose the newest first, until `limit` letters are dealt with.
    """

    ids: Sequence[str] = ()
    service: str | None = None
    reason: Reason | None = None
    status: DeadLetterStatus | None = None
    limit: int | None = None

    @property
    def words(self) -> dict[str, str]:
        """The choice as the record of an action names it."""
        return in_words(
            self.ids,
            service=self.service,
            reason=self.reason,
            status=self.status,
            limit=self.limit,
        )

    async def pages(self, store: DeadLetterStore) -> AsyncIterator[Sequence[ReadLetter | Unknown]]:
        """Yield the chosen letters in pages of at most `GROUP_BYTES` or of one larger letter."""
        if self.ids:
            async for one in by_ids(self.ids, store.get):
                yield one
            return
        async for page in self.matching(store):
            for group in _groups(page):
                yield group

    async def matching(self, store: DeadLetterStore) -> AsyncIterator[Sequence[ReadLetter]]:
        """Yield all letters that match the filters in pages."""
        before = None
        while page := await store.find(
            service=self.service,
            reason=self.reason,
            status=self.status,
            before=before,
            limit=PAGE,
        ):
            before = page[-1].id
            yield page


class Replay:
    """Publishes a letter, then marks it.

    A crash in between may replay it twice, but never skips a letter. `check_attached` raises
    `TopologyMissing` if a message for a service would not reach it, or if this identity may not
    check that. The result is kept for as long as this object, so make a new one for each command.
    """

    def __init__(
        self,
        store: DeadLetterStore,
        publisher: Publisher,
        check_attached: Callable[[str], Awaitable[None]],
        *,
        force: bool = False,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._check_attached = check_attached
        self._force = force
        self._obstacles: dict[str, asyncio.Task[str | None]] = {}

    async def __call__(self, letter: DeadLetter) -> str | None:
        """Raises `BusUnavailable`, `StoreUnavailable`."""
        if why := await self.refusal(letter):
            return why
        await self._publisher.publish(replay_message(letter))
        await self._mark(letter)
        return None

    async def refusal(self, letter: DeadLetter) -> str | None:
        """Return why the letter may not be replayed, or would be lost. Raises `BusUnavailable`."""
        return refusal(letter, force=self._force) or await self._obstacle(letter.service)

    async def _obstacle(self, service: str) -> str | None:
        """Return why a message would not reach the service, or None. Pub/Sub is asked once: if it
        does not answer, that is raised for each letter of the service.
        """
        if service not in self._obstacles:
            self._obstacles[service] = asyncio.create_task(self._look(service))
        return await self._obstacles[service]

    async def _look(self, service: str) -> str | None:
        try:
            await self._check_attached(service)
        except TopologyMissing as error:
            return str(error)
        return None

    async def _mark(self, letter: DeadLetter) -> None:
        """Mark the letter as replayed, unless its replay has come back already: it stays new."""
        read: ReadLetter | None = letter
        while isinstance(read, DeadLetter) and read.returns == letter.returns:
            if await self._store.mark(read, DeadLetterStatus.REPLAYED):
                return
            read = await self._store.get(letter.id)


class Discard:
    """Marks a new letter as discarded: only `replay --force` publishes it after that. A letter that
    was replayed already is refused.
    """

    def __init__(self, store: DeadLetterStore) -> None:
        self._store = store

    async def __call__(self, letter: DeadLetter) -> str | None:
        """Raises `StoreUnavailable`."""
        if why := await self.refusal(letter):
            return why
        if not await self._store.mark(letter, DeadLetterStatus.DISCARDED):
            return "it has arrived again since it was read: look at it again"
        return None

    async def refusal(self, letter: DeadLetter) -> str | None:
        """Return why the letter may not be discarded, or None."""
        return None if letter.status is DeadLetterStatus.NEW else f"it is {letter.status} already"


def replaying(choice: Choice, store: DeadLetterStore, replay: Replay) -> Bulk[DeadLetter]:
    """Return the replay of the chosen letters, to be previewed, then performed."""
    return _bulk(choice, store, replay)


def discarding(choice: Choice, store: DeadLetterStore) -> Bulk[DeadLetter]:
    """Return the discarding of the chosen letters, to be previewed, then performed."""
    return _bulk(choice, store, Discard(store))


def looks_of_letter(letter: DeadLetter) -> Looks:
    """The fields that show whether the letter has arrived again, or was replayed or discarded."""
    return {"status": str(letter.status), "count": letter.count}


def _bulk(choice: Choice, store: DeadLetterStore, action: Replay | Discard) -> Bulk[DeadLetter]:
    return Bulk(
        pages=lambda: choice.pages(store),
        get=store.get,
        looks=looks_of_letter,
        act=action,
        why_not=action.refusal,
        grouped=_groups,
    )


def _groups(letters: Sequence[ReadLetter | Unknown]) -> Iterator[list[ReadLetter | Unknown]]:
    """Yield the letters in order, in groups of at most `GROUP_BYTES` or of one larger letter."""
    group: list[ReadLetter | Unknown] = []
    for letter in letters:
        if group and sum(map(_size, [*group, letter])) > GROUP_BYTES:
            yield group
            group = []
        group.append(letter)
    if group:
        yield group


def _size(letter: ReadLetter | Unknown) -> int:
    return len(letter.data) if isinstance(letter, DeadLetter) else 0
