"""Readiness to publish: recent publishes decide, and a probe only when there are none."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core import exceptions as gcp

from deletion.adapters.pubsub.publisher import GroupingPublisher, Outcome
from deletion.adapters.pubsub.readiness import RECENT_SECONDS, Publishing, TopicProbe
from deletion.bus import Message
from deletion.errors import BotDeletionError, BusUnavailable, TopologyMissing

TOPIC = "projects/p/topics/t-1"
DOWN, MISSING = BusUnavailable("down"), TopologyMissing("not granted")


class Probed:
    """A probe that counts how often it was asked."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def publishing(last: Outcome | None, probe: Probed, now: float = 100.0) -> Publishing:
    publisher: Any = SimpleNamespace(last=last)
    return Publishing(publisher, probe, lambda: now)


def outcome(error: BotDeletionError | None, seconds_ago: float = 1.0) -> Outcome:
    return Outcome(100.0 - seconds_ago, error)


@pytest.mark.proves("ready-to-publish")
@pytest.mark.parametrize("answer", [False, DOWN, MISSING])
async def test_while_publishing_works_nobody_is_asked(answer: bool | Exception) -> None:
    probe = Probed(answer)
    await publishing(outcome(None), probe)()
    assert probe.asked == 0


@pytest.mark.parametrize("last", [None, outcome(None, RECENT_SECONDS), outcome(DOWN, 31)])
async def test_without_a_recent_publish_pubsub_is_asked(last: Outcome | None) -> None:
    probe = Probed(answer=True)
    await publishing(last, probe)()
    assert probe.asked == 1
    for error in (DOWN, MISSING):
        probe.answer = error
        with pytest.raises(type(error)):
            await publishing(last, probe)()


async def test_without_a_recent_publish_one_that_may_not_be_told_is_ready() -> None:
    await publishing(None, Probed(answer=False))()


@pytest.mark.parametrize("answer", [False, DOWN, MISSING])
async def test_after_a_publish_that_failed_it_is_not_ready(answer: bool | Exception) -> None:
    with pytest.raises(BotDeletionError):
        await publishing(outcome(DOWN), Probed(answer))()


async def test_after_a_publish_that_failed_a_topic_that_is_found_makes_it_ready() -> None:
    await publishing(outcome(DOWN), Probed(answer=True))()


async def test_a_topic_that_is_seen_but_may_not_be_published_to_is_not_ready() -> None:
    with pytest.raises(TopologyMissing, match="not granted"):
        await publishing(outcome(MISSING), Probed(answer=True))()


async def test_a_publisher_remembers_how_its_last_publish_ended() -> None:
    called = asyncio.Event()

    async def stub(*_: object, **__: object) -> None:
        await called.wait()

    client: Any = SimpleNamespace(transport=SimpleNamespace(publish=stub))
    bus = GroupingPublisher(client, TOPIC, confirm_seconds=0.01, monotonic=lambda: 7.0)
    assert bus.last is None
    with pytest.raises(BusUnavailable):
        await bus.publish(Message(b"", {}))
    assert bus.last is not None
    assert isinstance(bus.last.error, BusUnavailable)
    called.set()
    await bus.publish(Message(b"", {}))
    assert bus.last == Outcome(7.0, None)


class Client:
    """Raises `error` when the topic is looked up; knows no other call."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def get_topic(self, **call: Any) -> None:
        assert call["topic"] == TOPIC
        if self.error:
            raise self.error


def probe(error: Exception | None, *, emulated: bool = False) -> TopicProbe:
    client: Any = Client(error)
    return TopicProbe(client, TOPIC, emulated=emulated)


@pytest.mark.proves("ready-to-publish")
@pytest.mark.parametrize(
    ("error", "says"),
    [(None, True), (gcp.PermissionDenied(""), False), (gcp.ResourceExhausted(""), False)],  # type: ignore[no-untyped-call]
)
async def test_a_missing_role_and_a_spent_quota_say_nothing(
    error: Exception | None, says: bool
) -> None:
    assert await probe(error)() is says


async def test_a_topic_that_is_missing_is_named_and_on_an_emulator_put_back_later() -> None:
    missing = gcp.NotFound("")  # type: ignore[no-untyped-call]
    with pytest.raises(TopologyMissing, match=TOPIC):
        await probe(missing)()
    assert await probe(missing, emulated=True)()


async def test_a_pubsub_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(BusUnavailable):
        await probe(gcp.InternalServerError(""))()  # type: ignore[no-untyped-call]
