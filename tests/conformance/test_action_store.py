"""One suite over every `ActionStore` and `PreviewStore`, and what only those on MongoDB show."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from botdel.local.processes import free_port
from deletion.adapters.mongo.connection import Client, Document, connect
from deletion.adapters.mongo.operator_actions import (
    COLLECTION,
    PREVIEWS,
    MongoActionStore,
    MongoPreviewStore,
)
from deletion.errors import LeaseLost, StoreUnavailable
from deletion.operating.ports import ActionStore, PreviewStore
from deletion.operating.record import (
    KEPT_FOR,
    MOST,
    ActionKind,
    ActionStatus,
    Entries,
    Looks,
    OperatorAction,
    Order,
    Outcome,
    Preview,
    Run,
    Target,
    WholeAction,
)
from deletion.ports import Unreadable
from tests.support.indexed import indexed
from tests.support.memory_actions import MemoryActionStore, MemoryPreviewStore

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
LATER = NOW + timedelta(seconds=1)
ORDER = Order(
    ActionKind.RETRY,
    "ada@desk",
    "the billing API is back",
    choice={"service": "billing", "status": "exhausted"},
    options={"force": "yes"},
)
LOOKS: Looks = {"status": "exhausted", "attempt": 5, "lastModifiedAt": NOW}


@pytest.fixture(params=["memory", "mongo"])
async def store(request: pytest.FixtureRequest, client: Client, database_name: str) -> ActionStore:
    if request.param == "memory":
        return MemoryActionStore()
    return await indexed(MongoActionStore, client, database_name)


@pytest.fixture(params=["memory", "mongo"])
async def previews(
    request: pytest.FixtureRequest, client: Client, database_name: str
) -> PreviewStore:
    if request.param == "memory":
        return MemoryPreviewStore()
    return await indexed(MongoPreviewStore, client, database_name)


def a_target(number: int) -> Target:
    return Target(f"{number:024x}", LOOKS)


def new(store: ActionStore, order: Order = ORDER, **values: Any) -> OperatorAction:
    run = Run(order.by, NOW, claim=store.new_id())
    return OperatorAction.started(store.new_id(), order, run, **values)


async def stored(store: ActionStore, action: OperatorAction) -> WholeAction:
    whole = await store.get(action.id)
    assert isinstance(whole, WholeAction)
    return whole


async def put(store: ActionStore, count: int, **changes: Any) -> list[str]:
    actions = [new(store, replace(ORDER, **changes)) for _ in range(count)]
    for action in actions:
        assert await store.insert(action)
    return [action.id for action in actions]


# --- actions


async def test_ids_are_24_hex_digits_and_differ(store: ActionStore) -> None:
    ids = {store.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(each) == 24 and int(each, 16) >= 0 for each in ids)


async def test_an_action_reads_back_as_it_was_inserted_with_its_targets(
    store: ActionStore,
) -> None:
    targets = [a_target(number) for number in range(3)]
    action = new(store, frozen=3)
    assert await store.get(action.id) is None
    assert await store.insert(action, targets)
    assert await stored(store, action) == WholeAction(action, tuple(targets), ())


async def test_one_that_continues_another_reads_back_too(store: ActionStore) -> None:
    action = new(store, continues=store.new_id())
    await store.insert(action)
    assert (await stored(store, action)).action == action


async def test_of_two_runs_that_insert_the_same_action_one_has_begun_it(
    store: ActionStore,
) -> None:
    mine, other = new(store), new(store)
    other = replace(other, id=mine.id)
    begun = await asyncio.gather(*(store.insert(each) for each in (mine, other)))
    assert sorted(begun) == [False, True]
    winner = mine if begun[0] else other
    assert (await stored(store, mine)).action == winner
    assert await store.insert(winner), "its answer was lost, and it is sent again"


async def test_a_write_adds_its_entries_behind_those_before(store: ActionStore) -> None:
    action = new(store)
    await store.insert(action)
    first = Entries([a_target(1), a_target(2)])
    begun = action.added(first, NOW, begun=2)
    await store.save(action, begun, first)
    second = Entries([a_target(3)], [Outcome(a_target(1).id), Outcome(a_target(2).id, "why")])
    further = begun.added(second, LATER, begun=3)
    await store.save(begun, further, second)
    ended = further.added(Entries(), LATER, begun=3).ended(LATER, "the database is away")
    await store.save(further, ended)
    assert await stored(store, action) == WholeAction(
        ended, (*first.targets, *second.targets), tuple(second.outcomes)
    )
    assert (ended.total, ended.begun, ended.done, ended.refused) == (3, 3, 1, 1)
    assert ended.status is ActionStatus.FAILED


async def test_repeating_a_write_whose_answer_was_lost_adds_nothing_twice(
    store: ActionStore,
) -> None:
    action = new(store, frozen=1)
    await store.insert(action, [a_target(1)])
    entries = Entries(outcomes=[Outcome(a_target(1).id)])
    after = action.added(entries, LATER, begun=1)
    for _ in range(3):
        await store.save(action, after, entries)
    assert await stored(store, action) == WholeAction(
        after, (a_target(1),), (Outcome(a_target(1).id),)
    )


async def test_another_write_of_the_same_run_is_no_repeat(store: ActionStore) -> None:
    """Else its caller would believe that an end is on record which is not."""
    action = new(store)
    await store.insert(action)
    begun = action.added(Entries(), LATER, begun=1)
    await store.save(action, begun)
    later = LATER + timedelta(seconds=1)
    for other in (begun.ended(LATER, "away"), action.added(Entries(), later, begun=1)):
        with pytest.raises(LeaseLost):
            await store.save(action, other)
    assert await stored(store, action) == WholeAction(begun, (), ())


@pytest.mark.proves("action-once")
async def test_a_run_that_was_taken_over_writes_nothing_any_more(store: ActionStore) -> None:
    action = new(store, frozen=1)
    await store.insert(action, [a_target(1)])
    taken = action.taken_over(Run("bob@desk", LATER, claim=store.new_id()))
    await store.save(action, taken)
    entries = Entries(outcomes=[Outcome(a_target(1).id)])
    for late in (action.added(entries, LATER, begun=1), action.taken_over(action.runs[0])):
        with pytest.raises(LeaseLost):
            await store.save(action, late, entries)
    assert await stored(store, action) == WholeAction(taken, (a_target(1),), ())


@pytest.mark.proves("action-once")
async def test_of_many_that_take_an_action_over_one_does(store: ActionStore) -> None:
    action = new(store, frozen=0)
    await store.insert(action)

    async def take(number: int) -> bool:
        taken = action.taken_over(Run(f"replica {number}", LATER, claim=store.new_id()))
        try:
            await store.save(action, taken)
        except LeaseLost:
            return False
        return True

    assert sum(await asyncio.gather(*map(take, range(20)))) == 1
    assert len((await stored(store, action)).action.runs) == 2


async def test_an_action_that_was_never_inserted_cannot_be_written(store: ActionStore) -> None:
    action = new(store)
    with pytest.raises(LeaseLost):
        await store.save(action, action.added(Entries(), LATER, begun=0))
    assert await store.get(action.id) is None


async def test_the_newest_are_found_first_and_page_by_page(store: ActionStore) -> None:
    ids = await put(store, 5)
    pages: list[list[str]] = []
    before = None
    while page := await store.find(before=before, limit=2):
        pages.append([each.id for each in page])
        before = page[-1].id
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


async def test_filters_find_what_somebody_did_and_what_is_of_a_kind(store: ActionStore) -> None:
    mine = await put(store, 2)
    replays = await put(store, 2, kind=ActionKind.REPLAY)
    others = await put(store, 1, by="bob@desk", kind=ActionKind.REPLAY)

    async def found(**filters: Any) -> list[str]:
        return [each.id for each in await store.find(**filters, limit=10)]

    assert await found(by="bob@desk") == others
    assert await found(kind=ActionKind.RETRY) == mine[::-1]
    assert await found(kind=ActionKind.REPLAY) == [*others, *replays[::-1]]
    assert await found(kind=ActionKind.REPLAY, by="ada@desk") == replays[::-1]
    assert await found(kind=ActionKind.REPLAY, before=replays[1]) == replays[:1]
    assert await found(by="nobody") == []


async def test_the_largest_action_is_stored_and_read_whole(store: ActionStore) -> None:
    targets = [a_target(number) for number in range(MOST)]
    action = new(store, frozen=MOST)
    await store.insert(action, targets)
    entries = Entries(outcomes=[Outcome(each.id, "x" * 500) for each in targets])
    after = action.added(entries, LATER, begun=MOST)
    await store.save(action, after, entries)
    assert await stored(store, action) == WholeAction(
        after, tuple(targets), tuple(entries.outcomes)
    )


# --- previews


def a_preview(previews: PreviewStore, at: datetime = NOW, count: int = 2) -> Preview:
    targets: Sequence[Target] = [a_target(number) for number in range(count)]
    why_not = Counter({"it is $complete. It's done": 7, "it is pending": 1})
    return Preview(previews.new_id(), ORDER, at, tuple(targets), why_not, is_cut_off=True)


async def test_a_preview_reads_back_as_it_was_kept(previews: PreviewStore) -> None:
    preview = a_preview(previews, count=MOST)
    assert await previews.get(preview.id) is None
    await previews.keep(preview)
    await previews.keep(preview)
    assert await previews.get(preview.id) == preview


async def test_keeping_one_deletes_those_that_are_too_old_by_then(
    previews: PreviewStore,
) -> None:
    old, recent = a_preview(previews), a_preview(previews, LATER)
    await previews.keep(old)
    await previews.keep(recent)
    latest = a_preview(previews, LATER + KEPT_FOR)
    await previews.keep(latest)
    assert await previews.get(old.id) is None
    assert await previews.get(recent.id) == recent
    assert await previews.get(latest.id) == latest


# --- on MongoDB


async def test_the_documents_carry_the_names_others_read(
    client: Client, database_name: str
) -> None:
    store = MongoActionStore(client, database_name)
    action = new(store, frozen=1)
    await store.insert(action, [a_target(1)])
    entries = Entries(outcomes=[Outcome(a_target(1).id, "it has changed")])
    await store.save(action, action.added(entries, LATER, begun=1).ended(LATER), entries)
    (document,) = await client[database_name][COLLECTION].find({}).to_list(None)
    assert str(document.pop("_id")) == action.id
    assert document == {
        "kind": "retry",
        "by": "ada@desk",
        "reason": "the billing API is back",
        "choice": {"service": "billing", "status": "exhausted"},
        "options": {"force": "yes"},
        "startedAt": NOW,
        "lastModifiedAt": LATER,
        "finishedAt": LATER,
        "frozen": True,
        "continues": None,
        "status": "complete",
        "failure": None,
        "runs": [{"by": "ada@desk", "at": NOW, "claim": action.runs[0].claim}],
        "total": 1,
        "begun": 1,
        "done": 0,
        "refused": 1,
        "revision": 1,
        "targets": [{"id": a_target(1).id, "looks": LOOKS}],
        "outcomes": [{"id": a_target(1).id, "refusal": "it has changed"}],
    }


DAMAGE: dict[str, Document] = {
    "a kind of a later version": {"$set": {"kind": "reverse"}},
    "a time that is none": {"$set": {"startedAt": "just now"}},
    "a missing field": {"$unset": {"runs": ""}},
    "a count of another type": {"$set": {"done": "many"}},
}


@pytest.mark.proves("unreadable-reported")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_one_that_cannot_be_read_is_returned_as_such_and_hides_no_other(
    client: Client, database_name: str, damage: Document
) -> None:
    store = MongoActionStore(client, database_name)
    damaged, sound = await put(store, 2)
    actions = client[database_name][COLLECTION]
    await actions.update_one({"_id": ObjectId(damaged)}, damage)
    newest, oldest = await store.find(limit=5)
    assert (newest.id, type(newest)) == (sound, OperatorAction)
    assert (oldest.id, type(oldest)) == (damaged, Unreadable)
    assert isinstance(await store.get(damaged), Unreadable)


async def test_a_list_does_not_read_the_entries(client: Client, database_name: str) -> None:
    store = MongoActionStore(client, database_name)
    action = new(store, frozen=1)
    await store.insert(action, [a_target(1)])
    actions = client[database_name][COLLECTION]
    await actions.update_one({}, {"$set": {"targets": "damaged"}})
    assert await store.find(limit=5) == [action]
    assert isinstance(await store.get(action.id), Unreadable)


async def test_a_preview_that_cannot_be_read_is_none(client: Client, database_name: str) -> None:
    previews = MongoPreviewStore(client, database_name)
    preview = a_preview(previews)
    await previews.keep(preview)
    await client[database_name][PREVIEWS].update_one({}, {"$set": {"kind": "reverse"}})
    assert await previews.get(preview.id) is None


async def test_a_database_that_is_away_is_reported_as_such() -> None:
    client = connect(f"mongodb://127.0.0.1:{free_port()}")
    store = MongoActionStore(client, "nowhere", call_seconds=0.5)
    previews = MongoPreviewStore(client, "nowhere", call_seconds=0.5)
    action = new(store)
    calls = (
        store.insert(action),
        store.save(action, action.added(Entries(), LATER, begun=0)),
        store.get(action.id),
        store.find(limit=1),
        previews.keep(a_preview(previews)),
        previews.get(store.new_id()),
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)
    client.close()
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 6
