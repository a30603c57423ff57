"""The step over a bucket in memory that misbehaves as no test server does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from structlog.testing import capture_logs

from deletion.adapters.objects.bucket import (
    PER_REQUEST,
    Item,
    Lister,
    ListerEnds,
    Mark,
    Page,
    Refusal,
    all_at_once,
)
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.pace_spec import PaceSpec
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.job import Job, Status, StepProgress
from deletion.plan import Batch, Plan, default_pace
from deletion.retry import Retry
from deletion.runner import RETRY_SECONDS, Runner
from deletion.turns import Pacers, Wait
from tests.support.clock import VirtualClock
from tests.support.factories import POLICY, SERVICE, a_job
from tests.support.memory_stores import MemoryJobStore

pytestmark = pytest.mark.virtual_time

BOT = str(ObjectId())
MINE = f"bots/{BOT}"
UNTIL = datetime(2026, 12, 5, tzinfo=UTC)


@dataclass
class WaywardLister:
    """A lister over `keys`; `stripped` are listed as well, under a name that is not theirs."""

    keys: list[str]
    stripped: Sequence[str] = ()
    forgets: bool = False
    ends: bool = False
    bound: int | None = None
    locked: Sequence[str] = ()
    name: str = "wayward"
    reads_back: bool = True
    asked: list[Mark | None] = field(default_factory=list)

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        if self.ends:
            raise ListerEnds
        self.asked.append(behind)
        after = behind[0] if behind else ""
        found = [key for key in sorted(self.keys) if key.startswith(prefix) and key > after]
        listed = [*self.stripped, *found][: self.bound or limit]
        return Page([Item(key) for key in listed], is_last=len(found) < limit)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        refusals = [Refusal(item, "Locked", False) for item in items if item.key in self.locked]
        if not self.forgets:
            for item in items:
                if item.key not in self.locked:
                    self.keys.remove(item.key)
        return refusals


@dataclass
class Bucket:
    """A bucket in memory."""

    listers_of_it: list[Lister]
    kept: datetime | None = None
    url: str = "mem://media"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Bucket"]:
        yield self

    async def listers(self) -> Sequence[Lister]:
        return self.listers_of_it

    async def retained_until(self, prefix: str) -> datetime | None:
        return self.kept

    async def faults(self, *, accepted: bool) -> Sequence[str]:
        return []


def step_of(*listers: Lister, kept: datetime | None = None, accepted: bool = False) -> ObjectsStep:
    bucket = Bucket([*listers], kept)
    return ObjectsStep("media", bucket, "bots/{bot_id}/", accepted, batch_size=3)


async def batches(step: ObjectsStep, cursor: str | None = None) -> list[Batch]:
    return [batch async for batch in step.delete(BOT, cursor)]


@pytest.mark.proves("whole-prefix")
async def test_a_key_outside_of_the_prefix_is_never_deleted() -> None:
    lister = WaywardLister([MINE, f"{MINE}/a", "bots/other"], stripped=[MINE, "bots/other"])
    assert [batch.deleted for batch in await batches(step_of(lister))] == [1]
    assert lister.keys == [MINE, "bots/other"]


@pytest.mark.proves("objects-resumed")
async def test_a_server_that_lists_what_it_has_deleted_is_no_endless_loop() -> None:
    lister = WaywardLister([f"{MINE}/{n}" for n in range(9)], forgets=True)
    with pytest.raises(ObjectsUnavailable, match=r"still lists .*/0' after it was deleted"):
        await batches(step_of(lister))


async def test_a_server_that_lists_more_than_it_was_asked_for_makes_no_larger_batch() -> None:
    lister = WaywardLister([f"{MINE}/{n}" for n in range(10)], bound=10)
    assert max(batch.deleted for batch in await batches(step_of(lister))) <= 3
    assert lister.keys == []


async def test_an_empty_page_need_not_be_the_last() -> None:
    class Sparse(WaywardLister):
        async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
            if behind is None:
                return Page((), ("further", None), is_last=False)
            return await super().page(prefix, None, limit)

    lister = Sparse([f"{MINE}/{n}" for n in range(2)])
    step = step_of(lister)
    assert not await step.is_empty(BOT)
    assert await step.count(BOT) == 2
    assert [batch.deleted for batch in await batches(step)] == [0, 2]
    assert await step.is_empty(BOT)


async def test_a_lister_that_ends_ends_its_count() -> None:
    """As obstore does for Azure, when only markers without their slash are left."""

    class Ending(WaywardLister):
        async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
            if behind:
                raise ListerEnds
            return Page([Item(f"{MINE}/a")], (f"{MINE}/a", None), is_last=False)

    assert await step_of(Ending([])).count(BOT) == 1


async def test_a_lister_that_ends_leaves_the_rest_to_the_next() -> None:
    keys = [f"{MINE}/{n}" for n in range(4)]
    fast, exact = WaywardLister(keys, ends=True, name="fast", reads_back=False), WaywardLister(keys)
    step = step_of(fast, exact)
    assert sum(batch.deleted for batch in await batches(step)) == 4
    assert (await step.is_empty(BOT), fast.asked) == (True, [])


@pytest.mark.proves("kept-by-provider")
async def test_what_the_provider_keeps_stands_in_the_record_or_fails_the_step() -> None:
    strict = step_of(WaywardLister([]), kept=UNTIL)
    with pytest.raises(ObjectsRefused, match=r"until 2026-12-05.*`retained: accept`"):
        await strict.is_empty(BOT)
    accepting = step_of(WaywardLister([]), kept=UNTIL, accepted=True)
    assert await accepting.is_empty(BOT)
    assert accepting.read_back == "retained until 2026-12-05"


async def test_connecting_ends_in_time_too() -> None:
    class Silent(Bucket):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator["Bucket"]:
            await asyncio.Event().wait()
            yield self

    step = ObjectsStep("media", Silent([]), "bots/{bot_id}/")
    for call in (step.is_empty(BOT), anext(step.delete(BOT, None)), step.count(BOT)):
        with pytest.raises(ObjectsUnavailable, match="did not answer within"):
            await call


async def test_the_size_of_a_batch_may_change_between_two() -> None:
    lister = WaywardLister([f"{MINE}/{n}" for n in range(9)])
    step, deleted = step_of(lister), []
    async for batch in step.delete(BOT, None):
        deleted.append(batch.deleted)
        step.batch_size = 5
    assert deleted == [3, 5, 1]


async def failing(step: ObjectsStep, cursor: str | None = None) -> tuple[list[Batch], str]:
    """What was deleted before the refusal, and its text."""
    done: list[Batch] = []
    with pytest.raises(ObjectsRefused) as refused:
        await collect(step, cursor, done)
    return done, str(refused.value)


async def collect(step: ObjectsStep, cursor: str | None, done: list[Batch]) -> None:
    async for batch in step.delete(BOT, cursor):
        done.append(batch)


@pytest.mark.proves("refused-object")
async def test_what_is_refused_holds_up_nothing_else_and_is_named_at_the_end() -> None:
    locked = [f"{MINE}/{n:02}" for n in (0, 4, 5, 6, 7, 19)]
    lister, uploads = (
        WaywardLister([f"{MINE}/{n:02}" for n in range(20)], locked=locked),
        WaywardLister([f"{MINE}/upload"], name="uploads"),
    )
    done, said = await failing(step_of(lister, uploads))
    assert (lister.keys, uploads.keys) == (locked, []), "everything else is gone, in one attempt"
    assert sum(batch.deleted for batch in done) == 15
    assert max(batch.deleted for batch in done) <= 3
    assert "6 objects were not deleted" in said
    assert "/19'" not in said, "the list is bounded"
    assert f"{locked[0]!r} (Locked), {locked[1]!r} (Locked)" in said
    assert said.endswith(", and 1 more; remove the cause, then retry the job")
    assert done[-1] == Batch(0, None), "the next attempt begins with what is left"


async def test_a_bucket_that_is_locked_as_a_whole_is_gone_through_once() -> None:
    keys = [f"{MINE}/{n:02}" for n in range(20)]
    lister = WaywardLister([*keys], locked=keys)
    done, said = await failing(step_of(lister))
    assert (len(done), len(lister.asked)) == (8, 7)
    assert "20 objects were" in said


@pytest.mark.proves("refused-object")
async def test_a_run_that_is_resumed_still_names_what_was_refused_before() -> None:
    keys = [f"{MINE}/{n}" for n in range(9)]
    reference, _ = await failing(step_of(WaywardLister([*keys], locked=keys[1:2])))
    for number in range(len(reference) - 1):
        lister = WaywardLister([*keys], locked=keys[1:2])
        walk = step_of(lister).delete(BOT, None)
        cursors = [(await anext(walk)).cursor for _ in range(number + 1)]
        await walk.aclose()
        _, said = await failing(step_of(lister), cursors[-1])
        assert (lister.keys, said.count("Locked")) == (keys[1:2], 1)


@pytest.mark.proves("refused-object")
async def test_what_may_pass_is_tried_again_before_what_will_not_is_raised() -> None:
    class Busy(WaywardLister):
        async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
            if len(self.asked) == 2:
                return [Refusal(items[0], "AccessDenied", False), Refusal(items[1], "Slow", True)]
            return await super().remove(items)

    keys = [f"{MINE}/{n}" for n in range(9)]
    lister, done = Busy([*keys], locked=[keys[1], keys[3]]), list[Batch]()
    with pytest.raises(ObjectsUnavailable, match=r"may later: .*/4' \(Slow"):
        await collect(step_of(lister), None, done)
    assert [batch.deleted for batch in done] == [2, 1], "what went beside them is counted"
    _, said = await failing(step_of(lister), done[-1].cursor)
    assert lister.keys == [keys[1], keys[3]]
    assert "2 objects were" in said, "each is counted once"


FOREIGN = (
    '{"$oid": "65f0a1b2c3d4e5f607180000"}',
    '{"key": "0123456789abcdef", "location": "verify"}',
    "page 3",
    "17",
    "null",
    '["wayward", "z"]',
    '{"bucket": "mem://media", "way": "wayward", "behind": "z"}',
    '{"bucket": "mem://media", "way": "wayward", "behind": [1, null]}',
    '{"bucket": "mem://media", "way": ["wayward"], "behind": ["z", null]}',
    '{"bucket": "mem://media", "way": "wayward", "behind": ["z", null], "refused": "1"}',
    '{"bucket": "mem://media", "way": "wayward", "behind": ["z", null], "named": 5}',
    '{"bucket": "mem://another", "way": "wayward", "behind": ["z", null]}',
)


@pytest.mark.proves("unreadable-cursor")
@pytest.mark.parametrize("cursor", FOREIGN)
async def test_a_cursor_of_another_step_or_bucket_begins_again_and_says_so(cursor: str) -> None:
    """The plan has changed under the job: a step of this name was of another kind before."""
    lister = WaywardLister([f"{MINE}/{n}" for n in range(4)])
    with capture_logs() as logs:
        assert sum(batch.deleted for batch in await batches(step_of(lister), cursor)) == 4
    assert [(log["log_level"], log["step"]) for log in logs] == [("warning", "media")]
    assert "unreadable cursor" in logs[0]["event"]


async def test_a_cursor_of_its_own_is_gone_on_from_without_a_word() -> None:
    lister = WaywardLister([f"{MINE}/{n}" for n in range(6)], locked=[f"{MINE}/0"])
    walk = step_of(lister).delete(BOT, None)
    cursor = (await anext(walk)).cursor
    await walk.aclose()
    lister.asked.clear()
    with capture_logs() as logs:
        await failing(step_of(lister), cursor)
    assert (logs, lister.asked[0]) == ([], (f"{MINE}/0", None))


async def deleted_at_its_pace(step: ObjectsStep, plan: Plan, number: int) -> tuple[int, float]:
    """Batches and seconds that `number` objects take where a request takes about 100 ms."""
    clock, left, turns = VirtualClock(), number, 0
    pacers = Pacers(plan, clock, asyncio.Event())
    while left > 0:
        async with pacers.of(step).turn(_nothing) as turn:
            await clock.sleep(0.15 + turn.size * 0.0002)
            turn.deleted = min(turn.size, left)
        left, turns = left - turn.deleted, turns + 1
    return turns, clock.monotonic()


@pytest.mark.parametrize("pace", [{}, {"busy_share": 0.5}], ids=["none", "a share alone"])
async def test_the_default_pace_is_gentle_and_not_many_times_slower(pace: dict[str, float]) -> None:
    step = ObjectsStep("media", Bucket([]), "bots/{bot_id}/")
    given = PaceSpec.model_validate(pace).build(
        default_pace(step), lambda _: pytest.fail("no server"), None
    )
    plan = Plan("media", (step,), paces={"media": given} if pace else {})
    turns, took = await deleted_at_its_pace(step, plan, 20_000)
    assert turns <= 20 + 5, "whole batches, but for the first few"
    at_best = 20 * (0.15 + 1000 * 0.0002)
    assert took <= 2.5 * at_best, "half of the time is pause"
    assert plan.pace(step).busy_share == 0.5
    slow = step.batch_size
    async with Pacers(plan, clock := VirtualClock(), asyncio.Event()).of(step).turn(_nothing):
        await clock.sleep(4)
    assert step.batch_size < slow, "a batch that takes long makes the next one smaller"


async def _nothing(_wait: Wait) -> None:
    pass


# --- under the runner, in virtual time


@dataclass
class Slow(WaywardLister):
    """Each call takes `seconds`; a key that is `busy` may be deleted later."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    seconds: float = 0.05
    busy: str = ""
    removed: int = 0

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        await self.clock.sleep(self.seconds)
        return await super().page(prefix, behind, limit)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        await self.clock.sleep(self.seconds)
        self.removed += 1
        refusals = [Refusal(item, "SlowDown", True) for item in items if item.key == self.busy]
        self.locked = [refusal.item.key for refusal in refusals]
        await super().remove(items)
        return refusals


async def run(step: ObjectsStep, clock: VirtualClock) -> Job:
    """One run of the bot's job, as it ends within a day."""
    store, retry = MemoryJobStore(clock.now), Retry(clock)
    job = a_job(bot_id=BOT, id=store.new_id(), steps=(StepProgress("media"),))
    store.jobs[job.id] = job
    plan, stopping = Plan(SERVICE, (step,)), asyncio.Event()
    ended = await Runner(plan, store, clock, POLICY, stopping=stopping, retry=retry).run(job)
    assert ended, "its lease was lost"
    assert clock.monotonic() < 24 * 3600
    return ended


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("wrong", [{"busy": f"{MINE}/3"}, {"forgets": True}])
async def test_what_cannot_be_deleted_fails_its_job_in_time(wrong: dict[str, Any]) -> None:
    """However often the others of its page are deleted, or seem to be, that is no progress."""
    lister = Slow([f"{MINE}/{n}" for n in range(9)], **wrong)
    job = await run(step_of(lister), lister.clock)
    assert job.failure
    assert (job.status, job.failure.type) == (Status.FAILED, "ObjectsUnavailable")
    assert job.progress("media").deleted <= 9
    assert lister.removed < 200, "less and less often"
    assert lister.clock.monotonic() < 2 * RETRY_SECONDS


@pytest.mark.usefixtures("logs")
async def test_many_pages_without_anything_to_delete_keep_the_lease() -> None:
    """As of objects without content, which are left to the exact lister."""

    @dataclass
    class Hollow(Slow):
        pages: int = 0

        async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
            if self.pages < 5000:
                await self.clock.sleep(self.seconds)
                self.pages += 1
                return Page((), (f"{MINE}/{self.pages:05}", None), is_last=False)
            return await super().page(prefix, None, limit)

    lister = Hollow([f"{MINE}/a"], seconds=0.5)
    job = await run(step_of(lister), lister.clock)
    assert (job.status, job.progress("media").deleted) == (Status.COMPLETE, 1)


async def test_after_a_page_without_items_a_whole_one_is_asked_for() -> None:
    limits: list[int] = []

    class Hollow(WaywardLister):
        async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
            limits.append(limit)
            if len(limits) == 1:
                return Page((), (f"{MINE}/0", None), is_last=False)
            return await super().page(prefix, behind, limit)

    keys = [f"{MINE}/{n}" for n in range(9)]
    done = await batches(step_of(Hollow(keys)))
    assert limits[:2] == [3, PER_REQUEST]
    assert [batch.deleted for batch in done] == [0, 8]
    lister = WaywardLister([])
    await batches(step_of(lister), done[0].cursor)
    assert lister.asked == [(f"{MINE}/0", None)], "it goes on behind it"


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
