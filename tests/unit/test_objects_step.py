"""The step over a bucket in memory that misbehaves as no test server does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from bson import ObjectId

from deletion.adapters.objects.bucket import Item, Mark, Page, Refusal, Way, WayEnds, all_at_once
from deletion.adapters.objects.step import ObjectsStep
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.plan import Batch

BOT = str(ObjectId())
MINE = f"bots/{BOT}"
UNTIL = datetime(2026, 12, 5, tzinfo=UTC)


@dataclass
class Wayward:
    """A way over `keys`; `stripped` are listed as well, under a name that is not theirs."""

    keys: list[str]
    stripped: Sequence[str] = ()
    forgets: bool = False
    ends: bool = False
    bound: int | None = None
    name: str = "wayward"
    is_exact: bool = True
    asked: list[Mark | None] = field(default_factory=list)

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        if self.ends:
            raise WayEnds
        self.asked.append(behind)
        found = [key for key in sorted(self.keys) if key.startswith(prefix)]
        listed = [*self.stripped, *found][: self.bound or limit]
        return Page([Item(key) for key in listed], is_last=len(found) < limit)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        if not self.forgets:
            for item in items:
                self.keys.remove(item.key)
        return ()


@dataclass
class Bucket:
    """A bucket in memory."""

    ways_of_it: list[Way]
    kept: datetime | None = None
    url: str = "mem://media"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Bucket"]:
        yield self

    async def ways(self) -> Sequence[Way]:
        return self.ways_of_it

    async def retained_until(self, prefix: str) -> datetime | None:
        return self.kept

    async def faults(self, *, accepted: bool) -> Sequence[str]:
        return []


def step_of(*ways: Way, kept: datetime | None = None, accepted: bool = False) -> ObjectsStep:
    bucket = Bucket([*ways], kept)
    return ObjectsStep("media", bucket, "bots/{bot_id}/", accepted, batch_size=3)


async def batches(step: ObjectsStep, cursor: str | None = None) -> list[Batch]:
    return [batch async for batch in step.delete(BOT, cursor)]


async def test_a_key_outside_of_the_prefix_is_never_deleted() -> None:
    way = Wayward([MINE, f"{MINE}/a", "bots/other"], stripped=[MINE, "bots/other"])
    assert [batch.deleted for batch in await batches(step_of(way))] == [1]
    assert way.keys == [MINE, "bots/other"]


async def test_a_server_that_lists_what_it_has_deleted_is_no_endless_loop() -> None:
    way = Wayward([f"{MINE}/{n}" for n in range(9)], forgets=True)
    with pytest.raises(ObjectsUnavailable, match=r"still lists .*/0' after it was deleted"):
        await batches(step_of(way))


async def test_a_server_that_lists_more_than_it_was_asked_for_makes_no_larger_batch() -> None:
    way = Wayward([f"{MINE}/{n}" for n in range(10)], bound=10)
    assert max(batch.deleted for batch in await batches(step_of(way))) <= 3
    assert way.keys == []


async def test_an_empty_page_need_not_be_the_last() -> None:
    class Sparse(Wayward):
        async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
            if behind is None:
                return Page((), ("further", None), is_last=False)
            return await super().page(prefix, behind, limit)

    way = Sparse([f"{MINE}/{n}" for n in range(2)])
    step = step_of(way)
    assert not await step.is_empty(BOT)
    assert await step.count(BOT) == 2
    assert [batch.deleted for batch in await batches(step)] == [2]
    assert await step.is_empty(BOT)


async def test_a_way_that_ends_leaves_the_rest_to_the_next() -> None:
    keys = [f"{MINE}/{n}" for n in range(4)]
    fast, exact = Wayward(keys, ends=True, name="fast", is_exact=False), Wayward(keys)
    step = step_of(fast, exact)
    assert sum(batch.deleted for batch in await batches(step)) == 4
    assert (await step.is_empty(BOT), fast.asked) == (True, [])


async def test_what_the_provider_keeps_stands_in_the_record_or_fails_the_step() -> None:
    strict = step_of(Wayward([]), kept=UNTIL)
    with pytest.raises(ObjectsRefused, match=r"until 2026-12-05.*`retained: accept`"):
        await strict.is_empty(BOT)
    accepting = step_of(Wayward([]), kept=UNTIL, accepted=True)
    assert await accepting.is_empty(BOT)
    assert accepting.read_back == "retained until 2026-12-05"


async def test_connecting_ends_in_time_too() -> None:
    class Silent(Bucket):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator["Bucket"]:
            await asyncio.Event().wait()
            yield self

    step = ObjectsStep("media", Silent([]), "bots/{bot_id}/", call_seconds=0.01)
    for call in (step.is_empty(BOT), anext(step.delete(BOT, None)), step.count(BOT)):
        with pytest.raises(ObjectsUnavailable, match="did not answer within"):
            await call


async def test_the_size_of_a_batch_may_change_between_two() -> None:
    way = Wayward([f"{MINE}/{n}" for n in range(9)])
    step, deleted = step_of(way), []
    async for batch in step.delete(BOT, None):
        deleted.append(batch.deleted)
        step.batch_size = 5
    assert deleted == [3, 5, 1]


async def test_what_will_not_pass_is_raised_before_what_may() -> None:
    class Locked(Wayward):
        async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
            return replace(await super().page(prefix, behind, limit), resume=(f"{MINE}/2", None))

        async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
            return [Refusal(items[0], "SlowDown", True), Refusal(items[1], "AccessDenied", False)]

    way, done = Locked([f"{MINE}/{n}" for n in range(3)]), []
    walk = step_of(way).delete(BOT, None)
    done.append(await anext(walk))
    with pytest.raises(ObjectsRefused, match="/1' cannot be deleted: AccessDenied"):
        await anext(walk)
    assert done[0].deleted == 1, "what was deleted beside them is counted"
    assert done[0].cursor == '["wayward", null]', "and the next run begins with what is left"


async def test_an_error_of_one_request_waits_for_those_beside_it() -> None:
    ended: list[str] = []

    async def remove(items: Sequence[Item]) -> Sequence[Refusal]:
        if items[0].key == "0":
            raise ObjectsUnavailable("no")
        ended.append(items[0].key)
        return ()

    with pytest.raises(ObjectsUnavailable):
        await all_at_once(remove, [Item(str(n)) for n in range(4)], 4)
    assert ended == ["1", "2", "3"]
