"""Readiness: asked of Pub/Sub, in bounded time, and never more than once a moment."""

import asyncio

from deletion.errors import BusUnavailable, TopologyMissing
from gateway.readiness import Readiness


class PubSub:
    """Answers, refuses or hangs; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.refusal: Exception | None = None
        self.hangs = False

    async def ask(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal:
            raise self.refusal


class Clock:
    """Stands still until told otherwise; in seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_nothing_is_missing_while_it_answers() -> None:
    assert await Readiness(PubSub().ask)() is None


async def test_what_is_missing_is_said() -> None:
    pubsub = PubSub()
    for refusal in (BusUnavailable("it is down"), TopologyMissing("no topic")):
        pubsub.refusal = refusal
        assert await Readiness(pubsub.ask)() == str(refusal)


async def test_it_is_not_waited_for() -> None:
    pubsub = PubSub()
    pubsub.hangs = True
    assert await Readiness(pubsub.ask, answer_seconds=0.01)() == (
        "Pub/Sub does not answer within 0.01 s"
    )


async def test_an_answer_holds_for_a_moment_whatever_it_is() -> None:
    pubsub, clock = PubSub(), Clock()
    ready = Readiness(pubsub.ask, keep_seconds=1, monotonic=clock)
    assert await ready() is None
    pubsub.refusal = BusUnavailable("down")
    clock.now += 0.9
    assert await ready() is None
    clock.now += 0.2
    assert await ready() == "down"
    pubsub.refusal = None
    assert await ready() == "down"
    clock.now += 1
    assert await ready() is None
    assert pubsub.asked == 3


async def test_those_who_ask_together_share_one_answer() -> None:
    pubsub = PubSub()
    ready = Readiness(pubsub.ask, monotonic=Clock())
    assert await asyncio.gather(*(ready() for _ in range(100))) == [None] * 100
    assert pubsub.asked == 1


async def test_a_probe_that_gives_up_does_not_stop_the_others() -> None:
    pubsub = PubSub()
    pubsub.hangs = True
    ready = Readiness(pubsub.ask, answer_seconds=0.05)
    impatient, patient = asyncio.create_task(ready()), asyncio.create_task(ready())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient is not None
