"""A preview says what an action would do, freezes that, and changes nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from deletion.dead_letter import DeadLetterStatus
from deletion.errors import ClockSkew, StoreUnavailable
from deletion.job import Job, Status
from deletion.operating import bulk
from deletion.operating.acting import Unknown
from deletion.operating.bulk import OTHER_REASONS, Bulk
from deletion.operating.dead_letters import Choice as LetterChoice
from deletion.operating.dead_letters import discarding
from deletion.operating.jobs import Choice, retrying
from deletion.operating.record import MOST, Looks, Target
from deletion.ports import Read, Unreadable
from tests.support.clock import START, VirtualClock
from tests.support.factories import POLICY, SERVICE, a_job, a_letter
from tests.support.memory_stores import MemoryDeadLetterStore
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

NO_ID = "f" * 24


class World:
    """Jobs of one service."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = ScriptedStore(self.clock)

    def put(self, count: int, status: Status, **values: Any) -> list[Job]:
        first = len(self.store.jobs) + 1
        ids = [f"{number:024x}" for number in range(first, first + count)]
        return [self.store.put(a_job(status, id=each, bot_id=each, **values)) for each in ids]

    def retrying(self, choice: Choice) -> Bulk[Job]:
        return retrying(choice, self.store, self.clock, POLICY)


@pytest.fixture
def world() -> World:
    return World()


def ids(records: Sequence[Job | Target]) -> list[str]:
    return [record.id for record in records]


async def test_what_is_eligible_is_frozen_as_it_looks_and_nothing_is_changed(
    world: World,
) -> None:
    (job,) = world.put(1, Status.EXHAUSTED, attempt=5)
    before = dict(world.store.jobs)
    found = await world.retrying(Choice(status=Status.EXHAUSTED)).preview()
    looks: Looks = {"status": "exhausted", "attempt": 5, "lastModifiedAt": job.last_modified_at}
    assert found.targets == (Target(job.id, looks),)
    assert (found.why_not, found.is_cut_off) == (Counter(), False)
    assert world.store.jobs == before
    assert "apply" not in world.store.calls


async def test_why_others_are_not_eligible_is_counted_by_reason(world: World) -> None:
    eligible = world.put(2, Status.FAILED)
    complete = world.put(3, Status.COMPLETE)
    running = world.put(2, Status.IN_PROGRESS, last_modified_at=START)
    running += world.put(1, Status.IN_PROGRESS, last_modified_at=START - timedelta(seconds=1))
    chosen = [*ids(running), NO_ID, *ids(eligible), *ids(complete)]
    found = await world.retrying(Choice(chosen)).preview()
    assert ids(found.targets) == ids(eligible)
    assert found.why_not == {
        "it is complete: there is nothing to retry": 3,
        "it is in_progress: there is nothing to retry": 3,
        "there is no record with this id": 1,
    }


@pytest.mark.proves("action-bounded")
@pytest.mark.parametrize(("count", "cut_off"), [(MOST, False), (MOST + 1, True)])
async def test_a_thousand_are_frozen_at_most_and_it_says_that_there_are_more(
    world: World, count: int, *, cut_off: bool
) -> None:
    jobs = world.put(count, Status.EXHAUSTED)
    found = await world.retrying(Choice(status=Status.EXHAUSTED)).preview()
    assert ids(found.targets) == ids(jobs[:MOST])
    assert found.is_cut_off is cut_off


async def test_no_more_are_frozen_than_are_asked_for(world: World) -> None:
    world.put(5, Status.EXHAUSTED)
    found = await world.retrying(Choice(status=Status.EXHAUSTED)).preview(2)
    assert (len(found.targets), found.is_cut_off) == (2, True)


async def test_a_preview_does_not_look_at_records_without_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_LOOKED_AT", 200)
    letters = MemoryDeadLetterStore()
    dealt_with = [
        a_letter(id=letters.new_id(), status=DeadLetterStatus.DISCARDED) for _ in range(500)
    ]
    await letters.record(dealt_with)
    found = await discarding(LetterChoice(), letters).preview()
    assert found.why_not == {"it is discarded already": 200}
    assert found.is_cut_off


async def test_jobs_that_no_filter_matches_count_as_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a preview of one service would read a million failed jobs of the others."""
    monkeypatch.setattr(bulk, "MOST_LOOKED_AT", 200)
    world.put(500, Status.FAILED)
    found = await world.retrying(Choice(service="another")).preview()
    assert (found.targets, found.why_not, found.is_cut_off) == ((), Counter(), True)
    assert world.store.calls.count("silent") <= 3


async def test_reasons_without_end_are_counted_together(world: World) -> None:
    jobs = world.put(bulk.MOST_REASONS + 5, Status.FAILED)

    class Odd:
        async def __call__(self, job: Job) -> str | None:
            raise AssertionError("not called by a preview")

        async def refusal(self, job: Job) -> str | None:
            raise ValueError(f"odd: {job.id}")

    async def pages() -> AsyncIterator[Sequence[Read | Unknown]]:
        yield jobs

    action = Odd()
    odd = Bulk(
        pages=pages,
        get=world.store.get,
        looks=lambda job: {},
        act=action,
        why_not=action.refusal,
    )
    found = await odd.preview()
    assert len(found.why_not) == bulk.MOST_REASONS + 1
    assert found.why_not[OTHER_REASONS] == 5
    assert found.why_not[f"odd: {jobs[0].id} (ValueError)"] == 1


async def test_one_that_cannot_be_read_is_no_target_and_the_others_are(world: World) -> None:
    sound, odd = world.put(2, Status.EXHAUSTED)
    world.store.unreadable[odd.id] = Unreadable(odd.id, "damaged")
    found = await world.retrying(Choice(status=Status.EXHAUSTED)).preview()
    assert ids(found.targets) == [sound.id]
    [(why, count)] = found.why_not.items()
    assert (why.startswith("it cannot be read: damaged"), count) == (True, 1)


async def test_a_wrong_clock_previews_nothing(world: World) -> None:
    world.put(1, Status.EXHAUSTED)
    world.store.skew = timedelta(hours=1)
    with pytest.raises(ClockSkew):
        await world.retrying(Choice(service=SERVICE)).preview()


async def test_a_database_that_is_away_is_reported_as_such(world: World) -> None:
    world.store.down = True
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(world.retrying(Choice([NO_ID])).preview(), 3600)
