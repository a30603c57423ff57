"""Dead letters: which are chosen, and what is done with them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from deletion.bus import Message
from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetter, DeadLetterStatus
from deletion.errors import BotDeletionError, BusUnavailable, StoreUnavailable, TopologyMissing
from deletion.operating import dead_letters
from deletion.operating.acting import MOST_ERRORS, Attempt, Tally, Unknown, act_on
from deletion.operating.dead_letters import PAGE, Choice, Discard, Replay
from deletion.ports import ReadLetter, Unreadable
from tests.support.clock import VirtualClock
from tests.support.factories import a_letter, again
from tests.support.factories import replay as come_back
from tests.support.memory_bus import MemoryBus
from tests.support.memory_stores import MemoryDeadLetterStore

pytestmark = pytest.mark.virtual_time

NEW, REPLAYED, DISCARDED = DeadLetterStatus
NO_ID = "0" * 24


class World:
    """A store, a topic, and what came of acting on them."""

    def __init__(self) -> None:
        self.store = MemoryDeadLetterStore()
        self.bus = MemoryBus(VirtualClock())
        self.tally = Tally()
        self.subscribed = {"conversations", "analytics"}
        self.looked_for: list[str] = []

    async def put(self, count: int = 1, **values: Any) -> list[DeadLetter]:
        letters = [a_letter(id=self.store.new_id(), **values) for _ in range(count)]
        assert await self.store.record(letters) == letters
        return letters

    def replay(self, *, force: bool = False) -> Replay:
        return Replay(self.store, self.bus, self.check_attached, force=force)

    async def check_attached(self, service: str) -> None:
        self.looked_for.append(service)
        if service not in self.subscribed:
            raise TopologyMissing(f"there is no subscription of {service}")

    async def act(self, attempt: Attempt[DeadLetter], choice: Choice) -> Tally:
        self.tally = Tally()
        await act_on(choice.pages(self.store), attempt, self.tally, limit=choice.limit)
        return self.tally

    @property
    def replayed(self) -> list[str]:
        """The records of what was published."""
        return [message.attributes[RECORD_ATTRIBUTE] for message in self.bus.published]

    def status_of(self, letter: DeadLetter) -> DeadLetterStatus:
        return self.store.letters[letter.id].status


@pytest.fixture
def world() -> World:
    return World()


def of(*letters: DeadLetter) -> Choice:
    return Choice(ids=ids(letters))


def ids(letters: Sequence[DeadLetter]) -> list[str]:
    return [letter.id for letter in letters]


# --- choosing


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 3 * PAGE])
async def test_all_that_fit_are_chosen_newest_first_and_a_page_at_a_time(
    world: World, count: int
) -> None:
    letters = await world.put(count)
    await world.put(3, service="analytics")
    pages = [page async for page in Choice(service="conversations").pages(world.store)]
    assert [letter for page in pages for letter in page] == letters[::-1]
    assert all(len(page) <= PAGE for page in pages)


@pytest.mark.parametrize("limit", [1, PAGE, PAGE + 7, 4 * PAGE])
async def test_no_more_than_the_limit_are_acted_on(world: World, limit: int) -> None:
    letters = await world.put(3 * PAGE)
    tally = await world.act(Discard(world.store), Choice(limit=limit))
    assert tally == Tally(ids(letters[::-1][:limit]))


async def test_what_is_refused_each_time_does_not_use_up_a_limit(world: World) -> None:
    (sound,) = await world.put()
    lost = await world.put(PAGE + 2, service="gone")
    tally = await world.act(world.replay(), Choice(status=NEW, limit=1))
    assert (tally.done, set(tally.refused)) == ([sound.id], set(ids(lost)))


async def test_ids_are_chosen_whatever_their_status(world: World) -> None:
    first, second, _ = await world.put(3)
    await world.store.mark(first, REPLAYED)
    choice = Choice(ids=[first.id, NO_ID, second.id, first.id])
    pages = [page async for page in choice.pages(world.store)]
    assert [[each.id for each in page] for page in pages] == [[first.id], [NO_ID], [second.id]]
    assert pages[1] == [Unknown(NO_ID)]


# --- replaying


async def test_a_replayed_letter_is_published_and_then_marked(world: World) -> None:
    (letter,) = await world.put()
    tally = await world.act(world.replay(), of(letter))
    assert (tally.done, tally.refused) == ([letter.id], {})
    [message] = world.bus.published
    assert message.data == letter.data
    assert message.attributes["service"] == letter.service
    assert world.status_of(letter) is REPLAYED


async def test_all_pages_are_replayed(world: World) -> None:
    letters = await world.put(2 * PAGE + 1)
    tally = await world.act(world.replay(), Choice(status=NEW))
    assert tally.done == world.replayed == ids(letters[::-1])
    assert await world.store.find(status=NEW, limit=1) == []


@pytest.mark.proves("replay-crash")
async def test_nothing_is_marked_that_was_not_confirmed(world: World) -> None:
    letters = await world.put(3)
    world.bus.down = True
    with pytest.raises(BusUnavailable):
        await world.act(world.replay(), Choice(status=NEW))
    assert [world.status_of(letter) for letter in letters] == [NEW] * 3
    assert world.tally.done == []


class Choosy(MemoryBus):
    """Refuses the messages of one record."""

    refused = ""

    async def publish(self, message: Message) -> None:
        await asyncio.sleep(0)
        if message.attributes[RECORD_ATTRIBUTE] == self.refused:
            raise BusUnavailable("not confirmed")
        await super().publish(message)


async def test_what_was_confirmed_is_marked_also_when_the_rest_was_not(world: World) -> None:
    letters = await world.put(PAGE + 2)
    choosy = world.bus = Choosy(VirtualClock())
    choosy.refused = letters[-1].id
    with pytest.raises(BusUnavailable):
        await world.act(world.replay(), Choice(status=NEW))
    assert set(world.tally.done) == set(world.replayed) == set(ids(letters[2:-1]))
    assert world.status_of(letters[-1]) is NEW
    assert world.status_of(letters[-2]) is REPLAYED


@pytest.mark.proves("replay-crash")
async def test_a_crash_before_the_mark_replays_twice_and_not_never(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (letter,) = await world.put()
    with monkeypatch.context() as patched:

        async def away(*_: object) -> bool:
            raise StoreUnavailable("the database is down")

        patched.setattr(world.store, "mark", away)
        with pytest.raises(StoreUnavailable):
            await world.act(world.replay(), of(letter))
    assert world.replayed == [letter.id]
    await world.act(world.replay(), of(letter))
    assert world.replayed == [letter.id, letter.id]
    assert world.status_of(letter) is REPLAYED


@pytest.mark.proves("replay")
async def test_what_came_back_dead_is_refused_without_force(world: World) -> None:
    (letter,) = await world.put()
    await world.act(world.replay(), of(letter))
    await world.store.record([come_back(letter)])
    tally = await world.act(world.replay(), Choice(status=NEW))
    assert list(tally.refused) == [letter.id]
    assert world.replayed == [letter.id]
    tally = await world.act(world.replay(force=True), Choice(status=NEW))
    assert tally.done == [letter.id]
    assert world.replayed == [letter.id, letter.id]


async def test_a_replay_that_is_dead_before_it_could_be_marked_stays_new(world: World) -> None:
    (letter,) = await world.put()

    class Fast(MemoryBus):
        """The consumer has given it up by the time it is confirmed."""

        async def publish(self, message: Message) -> None:
            await super().publish(message)
            await world.store.record([come_back(letter)])

    world.bus = Fast(VirtualClock())
    tally = await world.act(world.replay(), of(letter))
    assert tally.done == [letter.id]
    assert world.status_of(letter) is NEW
    assert world.store.letters[letter.id].returns == 1


async def test_a_late_redelivery_does_not_keep_a_replay_from_being_marked(world: World) -> None:
    (letter,) = await world.put()

    class Late(MemoryBus):
        async def publish(self, message: Message) -> None:
            await super().publish(message)
            await world.store.record([again(letter)])

    world.bus = Late(VirtualClock())
    await world.act(world.replay(), of(letter))
    assert world.status_of(letter) is REPLAYED
    assert world.store.letters[letter.id].count == 2


async def test_a_service_without_a_subscription_would_lose_what_is_published(world: World) -> None:
    lost = await world.put(2, service="gone")
    (letter,) = await world.put()
    tally = await world.act(world.replay(force=True), Choice(status=NEW))
    assert tally.done == world.replayed == [letter.id]
    assert tally.refused == dict.fromkeys(ids(lost), "there is no subscription of gone")
    assert sorted(world.looked_for) == ["conversations", "gone"], "each is looked for once"


@pytest.mark.parametrize("dry_run", [True, False])
async def test_while_pub_sub_is_away_a_page_of_letters_waits_for_it_once(
    world: World, dry_run: bool
) -> None:
    """For each service, and all at once: it takes seconds to tell that nobody answers."""
    letters = await world.put(PAGE // 2) + await world.put(PAGE // 2, service="analytics")
    looked_for: list[str] = []

    async def away(service: str) -> None:
        looked_for.append(service)
        await asyncio.sleep(6)
        raise BusUnavailable("it does not answer")

    replay = Replay(world.store, world.bus, away)
    began = asyncio.get_running_loop().time()
    with pytest.raises(BusUnavailable):
        await world.act(replay.refusal if dry_run else replay, Choice(status=NEW))
    assert asyncio.get_running_loop().time() - began == 6
    assert sorted(looked_for) == ["analytics", "conversations"]
    assert (world.tally, world.replayed) == (Tally(), [])
    assert {world.status_of(letter) for letter in letters} == {NEW}


async def test_an_id_that_is_not_there_is_refused(world: World) -> None:
    (letter,) = await world.put()
    tally = await world.act(world.replay(), Choice(ids=[NO_ID, letter.id]))
    assert tally.done == [letter.id]
    assert tally.refused == {NO_ID: "there is no record with this id"}


async def test_no_request_grows_beyond_what_pub_sub_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "GROUP_BYTES", 10)
    sizes = [4, 6, 1, 12, 3, 3, 3, 3]
    letters = [(await world.put(data=b"x" * size))[0] for size in reversed(sizes)][::-1]
    waiting: list[int] = []
    groups: list[list[int]] = []

    class Gathering(MemoryBus):
        """What waits at the same time goes into one request."""

        async def publish(self, message: Message) -> None:
            waiting.append(len(message.data))
            await asyncio.sleep(0)
            if waiting:
                groups.append(waiting.copy())
                waiting.clear()
            await super().publish(message)

    world.bus = Gathering(VirtualClock())
    await world.act(world.replay(), Choice(status=NEW))
    assert groups == [[4, 6], [1], [12], [3, 3, 3], [3]]
    assert world.replayed == ids(letters)


# --- discarding and dry runs


async def test_new_letters_are_discarded_and_their_records_stay(world: World) -> None:
    letters = await world.put(PAGE + 1)
    tally = await world.act(Discard(world.store), Choice(status=NEW))
    assert tally.done == ids(letters[::-1])
    assert {world.status_of(letter) for letter in letters} == {DISCARDED}


@pytest.mark.parametrize("status", [REPLAYED, DISCARDED], ids=str)
async def test_what_is_dealt_with_is_not_discarded(world: World, status: DeadLetterStatus) -> None:
    (letter,) = await world.put(status=status)
    tally = await world.act(Discard(world.store), of(letter))
    assert tally.refused == {letter.id: f"it is {status} already"}
    assert world.status_of(letter) is status


async def test_what_is_given_up_while_it_is_looked_at_is_not_discarded(world: World) -> None:
    (letter,) = await world.put()
    await world.store.record([again(letter)])
    refusal = await Discard(world.store)(letter)
    assert refusal == "it has arrived again since it was read: look at it again"
    assert world.status_of(letter) is NEW


async def test_a_dry_run_tells_what_would_be_done_and_does_nothing(world: World) -> None:
    (new,) = await world.put()
    (dealt_with,) = await world.put(status=REPLAYED)
    before = dict(world.store.letters)
    tally = await world.act(Discard(world.store).refusal, of(new, dealt_with))
    assert (tally.done, list(tally.refused)) == ([new.id], [dealt_with.id])
    assert (world.store.letters, world.bus.published) == (before, [])


async def test_a_dry_run_of_a_replay_refuses_what_the_replay_would(world: World) -> None:
    letters = [*await world.put(2), *await world.put(service="gone"), *await world.put(service="")]
    letters += await world.put(status=REPLAYED)
    before = dict(world.store.letters)
    dry = await world.act(world.replay().refusal, of(*letters))
    assert (world.store.letters, world.bus.published) == (before, [])
    assert dry.refused[letters[2].id] == "there is no subscription of gone"
    assert await world.act(world.replay(), of(*letters)) == dry
    assert dry.done == world.replayed == ids(letters[:2])


class Unmarkable(MemoryDeadLetterStore):
    """The user of the database may read letters, but not write those in `unwritable`."""

    unwritable: frozenset[str] = frozenset()

    async def mark(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        if letter.id in self.unwritable:
            raise PermissionError("not authorized to update dead_letters")
        return await super().mark(letter, status)


async def test_an_error_of_every_record_ends_an_action_before_it_has_met_all(world: World) -> None:
    """All letters would be published, and none marked: each repetition would publish all again."""
    store = world.store = Unmarkable()
    letters = await world.put(MOST_ERRORS + 2 * PAGE)
    store.unwritable = frozenset(ids(letters))
    with pytest.raises(BotDeletionError, match=r"in a row.*not authorized .*PermissionError"):
        await world.act(world.replay(), Choice(status=NEW))
    assert MOST_ERRORS <= len(world.bus.published) < MOST_ERRORS + PAGE
    assert set(world.tally.refused) == set(world.replayed)


@pytest.mark.parametrize("by_id", [True, False])
async def test_errors_of_many_records_that_are_not_in_a_row_are_their_refusals(
    world: World, *, by_id: bool
) -> None:
    store = world.store = Unmarkable()
    letters = await world.put(6 * PAGE)
    store.unwritable = frozenset(ids(letters)) - {*ids(letters)[:: MOST_ERRORS // 2]}
    choice = of(*letters) if by_id else Choice(status=NEW)
    tally = await world.act(Discard(store), choice)
    assert set(tally.refused) == store.unwritable
    assert len(tally.done) + len(tally.refused) == len(letters)


async def test_progress_is_told_after_each_page(world: World) -> None:
    await world.put(PAGE + 1)
    told: list[int] = []
    tally = Tally()
    await act_on(
        Choice().pages(world.store),
        Discard(world.store),
        tally,
        progress=lambda: told.append(len(tally.done)),
    )
    assert told == [PAGE, PAGE + 1]


# --- what this version cannot read


class Later(MemoryDeadLetterStore):
    """A store with one letter, the newest, that a later version wrote."""

    odd = Unreadable("f" * 24, "'too_late' is not a valid Reason (ValueError)")

    async def get(self, letter_id: str) -> ReadLetter | None:
        return self.odd if letter_id == self.odd.id else await super().get(letter_id)

    async def find(self, **filters: Any) -> Sequence[ReadLetter]:
        found = await super().find(**filters)
        return found if filters["before"] else [self.odd, *found]


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("what", ["replay", "discard", "dry run"])
async def test_one_that_cannot_be_read_is_refused_with_what_to_do_and_the_others_are_not(
    world: World, what: str, *, by_id: bool
) -> None:
    world.store = Later()
    [letter] = await world.put()
    choices = {True: Choice(ids=[Later.odd.id, letter.id]), False: Choice(status=NEW)}
    acts: dict[str, Attempt[DeadLetter]] = {
        "replay": world.replay(),
        "discard": Discard(world.store),
        "dry run": Discard(world.store).refusal,
    }
    tally = await world.act(acts[what], choices[by_id])
    assert tally.done == [letter.id]
    assert list(tally.refused) == [Later.odd.id]
    assert "use the botdel of that version" in tally.refused[Later.odd.id]
