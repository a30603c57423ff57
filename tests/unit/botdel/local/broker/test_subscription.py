"""Leases, deadlines, back-off and order of one subscription, in moved time."""

from datetime import timedelta
from typing import Any

import pytest

from botdel.local.broker import subscription as module
from botdel.local.broker.entry import Entry
from botdel.local.broker.refusals import Refused
from botdel.local.broker.subscription import Subscription
from tests.unit.botdel.local.broker.subscriptions import ALL, message, subscription


def subscribed(number: int, key: str = "", **settings: Any) -> Subscription:
    found = subscription(**settings)
    found.add((message(n, key), 0) for n in range(1, number + 1))
    return found


def take(of: Subscription, now: float, most: int = 100) -> list[int]:
    return [entry.message.id for entry in of.take(now, most, ALL)]


def expire(of: Subscription, now: float) -> int:
    expired = of.overdue(now)
    of.give_back(expired, now, failed=True)
    return len(expired)


def test_what_is_taken_is_held_until_its_deadline() -> None:
    chat = subscribed(2)
    assert take(chat, 0) == [1, 2]
    assert take(chat, 9.9) == []
    assert expire(chat, 9.9) == 0
    assert expire(chat, 10) == 2
    assert take(chat, 10) == [1, 2]


def test_a_deadline_that_was_moved_counts_and_the_old_one_does_not() -> None:
    chat = subscribed(1)
    entries = chat.take(0, 1, ALL)
    chat.extend(entries, 30)
    assert expire(chat, 29) == 0
    chat.extend(entries, 30.5)
    assert expire(chat, 30.5) == 1


def test_a_take_is_bounded_by_messages_and_by_bytes_but_takes_one_of_any_size() -> None:
    chat, size = subscribed(5), len(message(1).body)
    assert take(chat, 0, most=2) == [1, 2]
    assert [entry.message.id for entry in chat.take(0, 10, size * 2)] == [3, 4]
    assert [entry.message.id for entry in chat.take(0, 10, 1)] == [5]


def test_an_ack_counts_late_and_twice_but_not_across_a_seek_or_for_another() -> None:
    chat = subscribed(2)
    first, second = chat.take(0, 2, ALL)
    ids = [chat.ack_id(first), chat.ack_id(second)]
    expire(chat, 10)
    assert chat.unacked([ids[0], ids[0]]) == [first]
    chat.remove([first])
    assert chat.unacked([ids[0]]) == []
    assert take(chat, 10) == [2]
    with chat.sought(epoch=1):
        chat.add_now([(second.message, 0)])
    assert chat.unacked([ids[1]]) == []
    other = subscribed(2)
    other.id = 8
    assert other.unacked(ids) == []


@pytest.mark.parametrize("ack_id", ["", "x", "1:2:3", "1:2:3:x", "1:2:3:4:5"])
def test_an_ack_id_that_is_none_is_refused(ack_id: str) -> None:
    with pytest.raises(Refused, match="invalid ack ID"):
        subscribed(1).unacked([ack_id])


def test_a_late_call_does_not_touch_the_lease_after_it() -> None:
    chat = subscribed(1)
    [entry] = chat.take(0, 1, ALL)
    late = chat.ack_id(entry)
    expire(chat, 10)
    [entry] = chat.take(10, 1, ALL)
    assert chat.held([late]) == []
    assert chat.held([chat.ack_id(entry)]) == [entry]


def test_the_back_off_doubles_between_its_bounds() -> None:
    policy = {"minimum_backoff": timedelta(seconds=2), "maximum_backoff": timedelta(seconds=6)}
    chat, now = subscribed(1, retry_policy=policy), 0.0
    for wait in (2, 4, 6, 6):
        [entry] = chat.take(now, 1, ALL)
        chat.give_back([entry], now, failed=True)
        assert take(chat, now + wait - 0.1) == []
        now += wait
    assert take(chat, now) == [1]


def test_what_is_given_back_without_a_failure_comes_at_once_and_is_not_counted() -> None:
    policy = {"minimum_backoff": timedelta(seconds=2), "maximum_backoff": timedelta(seconds=6)}
    chat = subscribed(1, retry_policy=policy)
    [entry] = chat.take(0, 1, ALL)
    chat.give_back([entry], 0, failed=False)
    assert take(chat, 0) == [1]
    assert entry.attempts == 0


def test_what_is_acknowledged_while_it_waits_is_not_delivered() -> None:
    policy = {"minimum_backoff": timedelta(seconds=2), "maximum_backoff": timedelta(seconds=6)}
    for chat in (subscribed(1), subscribed(1, retry_policy=policy)):
        [entry] = chat.take(0, 1, ALL)
        chat.give_back([entry], 0, failed=True)
        chat.remove([entry])
        chat.remove([entry])
        assert take(chat, 100) == []
        assert chat.bytes == 0


class Held:
    """A stream that counts what it holds."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def released(self, entry: Entry) -> None:
        self.entries.remove(entry)


def test_a_holder_is_told_once_of_each_that_is_held_no_longer() -> None:
    chat, stream = subscribed(3), Held()
    stream.entries = chat.take(0, 3, ALL, stream)
    acked, nacked, _ = list(stream.entries)
    chat.remove([acked])
    chat.give_back([nacked], 0, failed=True)
    assert len(stream.entries) == 1
    assert expire(chat, 10) == 1
    assert stream.entries == []


@pytest.mark.parametrize(("bound", "value"), [("ENDED_LEASES", 10), ("ENDED_BYTES", 20)])
def test_leases_that_ended_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(module, bound, value)
    chat = subscribed(100, ack_deadline_seconds=600)
    *most, last = chat.take(0, 100, ALL)
    chat.remove(most)
    assert len(chat._leases) <= 12
    assert chat.overdue(600) == [last]


def test_what_is_too_old_is_found() -> None:
    assert [entry.message.id for entry in subscribed(5).older_than(3)] == [1, 2]


# --- order


def ordered(number: int) -> Subscription:
    return subscribed(number, key="bot", enable_message_ordering=True)


def test_the_rest_of_a_lane_waits_for_what_is_held_of_it() -> None:
    chat = ordered(5)
    held = chat.take(0, 2, ALL)
    assert [entry.message.id for entry in held] == [1, 2]
    assert take(chat, 0) == []
    chat.remove(held[1:])
    assert take(chat, 0) == []
    chat.remove(held[:1])
    assert take(chat, 0) == [3, 4, 5]


def test_what_is_redelivered_takes_what_is_behind_it_along() -> None:
    chat = ordered(4)
    held = chat.take(0, 3, ALL)
    behind = chat.ack_id(held[2])
    chat.give_back(held[1:2], 0, failed=True)
    assert chat.held([behind]) == []
    assert take(chat, 0) == []  # the first is still held
    chat.remove(held[:1])
    assert take(chat, 0) == [2, 3, 4]


def test_a_lane_does_not_hold_up_another_nor_what_has_no_key() -> None:
    chat = subscription(enable_message_ordering=True)
    keys = ["a", "b", "", "a", "b", ""]
    chat.add((message(n, key), 0) for n, key in enumerate(keys))
    assert set(take(chat, 0)) == {0, 1, 2, 3, 4, 5}
    chat = subscription(enable_message_ordering=True)
    chat.add((message(n, key), 0) for n, key in enumerate(keys))
    [first] = chat.take(0, 1, ALL)
    assert first.message.id == 0
    assert set(take(chat, 0)) == {1, 4, 2, 5}


def test_a_lane_waits_as_a_whole_after_a_failure() -> None:
    policy = {"minimum_backoff": timedelta(seconds=2), "maximum_backoff": timedelta(seconds=6)}
    chat = subscribed(3, key="bot", enable_message_ordering=True, retry_policy=policy)
    held = chat.take(0, 2, ALL)
    chat.give_back(held, 0, failed=True)
    assert take(chat, 1.9) == []
    assert take(chat, 2) == [1, 2, 3]


def test_a_late_ack_of_what_waits_in_a_lane_leaves_the_rest_in_order() -> None:
    chat = ordered(3)
    held = chat.take(0, 3, ALL)
    chat.give_back(held, 0, failed=True)
    chat.remove(held[1:2])
    assert take(chat, 0) == [1, 3]


def test_a_lane_that_was_emptied_starts_anew() -> None:
    chat = ordered(1)
    chat.remove(chat.take(0, 1, ALL))
    chat.add([(message(9, "bot"), 0)])
    assert take(chat, 0) == [9]


@pytest.mark.parametrize("key", ["", "bot-{}"], ids=["unordered", "ordered"])
def test_what_is_gone_fills_no_memory_where_nobody_pulls(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_READY", 10)
    chat = subscription(enable_message_ordering=True)
    for number in range(1, 1001):
        chat.add([(message(number, key.format(number)), 0)])
        chat.remove(chat.older_than(number))  # as what expires
    assert len(chat._ready) <= 15
    assert take(chat, 0) == [1000]
