"""Random histories of one subscription that keeps order: a batch is what comes next of its key."""

from collections import defaultdict
from datetime import timedelta
from random import Random

import pytest

from botdel.local.broker.entry import Entry
from botdel.local.broker.subscription import Subscription
from tests.unit.botdel.local.broker.subscriptions import ALL, message, subscription

KEYS = ("a", "b", "")
POLICY = {"minimum_backoff": timedelta(seconds=1), "maximum_backoff": timedelta(seconds=4)}


class History:
    """`unacked` are the numbers of each key that were not acknowledged, in order."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)  # noqa: S311
        policy = {"retry_policy": POLICY} if seed % 2 else {}
        self.chat: Subscription = subscription(enable_message_ordering=True, **policy)
        self.unacked: dict[str, list[int]] = defaultdict(list)
        self.held: dict[str, list[Entry]] = defaultdict(list)
        self.now = 0.0
        self.last = 0

    def publish(self) -> None:
        some = []
        for _ in range(self.rng.randint(1, 4)):
            self.last += 1
            key = self.rng.choice(KEYS)
            self.unacked[key].append(self.last)
            some.append((message(self.last, key), 0))
        self.chat.add(some)

    def take(self) -> None:
        taken = defaultdict(list)
        for entry in self.chat.take(self.now, self.rng.randint(1, 6), ALL):
            taken[entry.lane.key if entry.lane else ""].append(entry)
        for key, entries in taken.items():
            numbers = [entry.message.id for entry in entries]
            if key:
                assert not self.held[key], "nothing more of a key comes while some of it is held"
                assert numbers == self.unacked[key][: len(numbers)]
            assert set(numbers) <= set(self.unacked[key])
            self.held[key] += entries

    def acknowledge(self) -> None:
        for key in KEYS:
            some = [entry for entry in self.held[key] if self.rng.random() < 0.5]
            self.chat.remove(some)
            self.held[key] = [entry for entry in self.held[key] if entry not in some]
            for entry in some:
                self.unacked[key].remove(entry.message.id)

    def fail(self) -> None:
        key = self.rng.choice(KEYS)
        if self.held[key]:
            failed = self.rng.choice(self.held[key])
            self.chat.give_back([failed], self.now, failed=self.rng.random() < 0.5)
            self._lost(key, failed)

    def wait(self) -> None:
        self.now += self.rng.randint(1, 6)
        expired = self.chat.overdue(self.now)
        self.chat.give_back(expired, self.now, failed=True)
        for key in KEYS:
            for entry in expired:
                if entry in self.held[key]:
                    self._lost(key, entry)

    def _lost(self, key: str, failed: Entry) -> None:
        """With a key, what is behind it is given back as well."""
        self.held[key] = [
            entry
            for entry in self.held[key]
            if entry is not failed and not (key and entry.message.id > failed.message.id)
        ]

    def finish(self) -> None:
        """Everything is delivered in the end, once nobody fails any more."""
        for _ in range(1_000):
            self.take()
            for key in KEYS:
                self.chat.remove(self.held[key])
                for entry in self.held.pop(key, []):
                    self.unacked[key].remove(entry.message.id)
            self.now += 1
        assert not any(self.unacked.values())
        assert not self.chat.entries


@pytest.mark.parametrize("seed", range(60))
def test_messages_of_a_key_come_in_order_whatever_fails(seed: int) -> None:
    history = History(seed)
    moves = (history.publish, history.take, history.take, history.acknowledge, history.fail)
    for _ in range(200):
        history.rng.choice((*moves, history.wait))()
    history.finish()
