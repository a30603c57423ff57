"""What the suites of dead-letter stores share."""

from deletion.dead_letter import DeadLetter, DeadLetterStatus
from deletion.ports import DeadLetterStore

NEW, REPLAYED, DISCARDED = DeadLetterStatus


async def put(store: DeadLetterStore, letter: DeadLetter) -> DeadLetter:
    """Record `letter`, which is new."""
    assert await store.record([letter]) == [letter]
    return letter


async def stored(store: DeadLetterStore, letter: DeadLetter) -> DeadLetter:
    """`letter` as the store holds it now."""
    found = await store.get(letter.id)
    assert isinstance(found, DeadLetter)
    return found
