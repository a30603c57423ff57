"""What is asked at the same time is answered together; nobody waits for ever."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from deletion.grouping import Grouping
from tests.support.clock import settle

pytestmark = pytest.mark.virtual_time


class Answers:
    """Doubles numbers; keeps the groups it was asked for. `gate` holds it up while it is clear."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.under_way = self.peak = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.groups.append([*items])
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        if 99 in items:
            raise ValueError("unlucky")
        return [KeyError(item) if item < 0 else item * 2 for item in items]


async def ask(grouping: Grouping[int, int], *items: int) -> list[int | BaseException]:
    return await asyncio.gather(*map(grouping.ask, items), return_exceptions=True)


async def test_each_gets_its_own_result() -> None:
    answers = Answers()
    grouping = Grouping[int, int](answers, limit=100, senders=1)
    assert await ask(grouping, 1, 2, 3) == [2, 4, 6]
    assert answers.groups == [[1, 2, 3]]


async def test_an_error_is_the_outcome_of_its_own_item_only() -> None:
    grouping = Grouping[int, int](Answers(), limit=100, senders=1)
    first, second, third = await ask(grouping, 1, -7, 3)
    assert (first, third) == (2, 6)
    assert isinstance(second, KeyError)


async def test_what_the_answer_raises_is_the_outcome_of_all_of_its_group_and_no_other() -> None:
    grouping = Grouping[int, int](Answers(), limit=2, senders=1)
    outcomes = await ask(grouping, 1, 99, 3, 4)
    assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError, int, int]


async def test_groups_and_senders_are_bounded_and_what_waits_grows_a_group() -> None:
    answers = Answers()
    answers.gate.clear()
    grouping = Grouping[int, int](answers, limit=4, senders=2)
    asked = [asyncio.create_task(grouping.ask(0))]
    await settle()
    asked += [asyncio.create_task(grouping.ask(n)) for n in range(1, 20)]
    await settle()
    answers.gate.set()
    assert await asyncio.gather(*asked) == [n * 2 for n in range(20)]
    assert answers.peak == 2
    assert [len(group) for group in answers.groups] == [1, 4, 4, 4, 4, 3]


@pytest.mark.parametrize("senders", [1, 2])
async def test_who_asks_again_as_soon_as_it_is_answered_is_answered_again(senders: int) -> None:
    """Its sender has looked for the last time by then, and has not ended yet."""
    grouping = Grouping[int, int](Answers(), limit=100, senders=senders)

    async def three_times(item: int) -> int:
        for _ in range(3):
            item = await grouping.ask(item)
        return item

    asked = (three_times(n) for n in range(1, senders + 1))
    assert await asyncio.gather(*asked) == [8 * n for n in range(1, senders + 1)]


async def test_a_caller_that_is_cancelled_does_not_take_its_item_back() -> None:
    answers = Answers()
    answers.gate.clear()
    grouping = Grouping[int, int](answers, limit=100, senders=1)
    first, second = (asyncio.create_task(grouping.ask(n)) for n in (1, 2))
    await settle()
    first.cancel()
    answers.gate.set()
    assert await second == 4
    assert answers.groups == [[1, 2]]
    assert first.cancelled()


async def test_a_group_is_answered_in_the_context_of_whoever_asked_first() -> None:
    asking: ContextVar[int] = ContextVar("asking")
    seen: list[int] = []

    async def answer(items: Sequence[int]) -> list[int | Exception]:
        seen.append(asking.get())
        await asyncio.sleep(0)
        return list(items)

    async def asked(number: int) -> int:
        asking.set(number)
        return await grouping.ask(number)

    grouping = Grouping[int, int](answer, limit=2, senders=1)
    assert await asyncio.gather(*map(asked, range(1, 6))) == [1, 2, 3, 4, 5]
    assert seen == [1, 3, 5]
