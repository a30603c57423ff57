"""Random histories of a topic and two subscriptions, with kills: memory, disk and a model agree."""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from botdel.local.broker.subscription import ENTRY_BYTES, Subscription
from tests.unit.botdel.local.broker.world import CHAT, DEAD, DEAD_CHAT, World, data

PLAIN = "projects/p/subscriptions/plain"
NAMES = st.sampled_from([CHAT, PLAIN])
MAX_ATTEMPTS = 5


class Histories(RuleBasedStateMachine):
    """`unacked` is what each subscription still has, `failed` how often each has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        self.unacked: dict[str, set[bytes]] = {CHAT: set(), PLAIN: set(), DEAD_CHAT: set()}
        self.failed: dict[bytes, int] = {}
        self.held: dict[str, dict[bytes, tuple[str, float]]] = {CHAT: {}, PLAIN: {}}
        """The ack id and the deadline of what is held."""
        self.published = 0

    @initialize()
    def create(self) -> None:
        self.world.create_topic()
        self.world.create_topic(DEAD)
        self.world.subscribe(DEAD_CHAT, DEAD)
        self.world.subscribe(
            dead_letter_policy={"dead_letter_topic": DEAD, "max_delivery_attempts": MAX_ATTEMPTS}
        )
        self.world.subscribe(PLAIN, retry_policy={"minimum_backoff": timedelta(seconds=3)})

    def teardown(self) -> None:
        self.world.journal.close()
        shutil.rmtree(self.folder)

    @rule(number=st.integers(1, 5))
    def publish(self, number: int) -> None:
        some = [b"%d" % (self.published + n) for n in range(number)]
        self.published += number
        self.world.publish(*some)
        for name in (CHAT, PLAIN):
            self.unacked[name].update(some)

    @rule(name=NAMES, most=st.integers(1, 10))
    def take(self, name: str, most: int) -> None:
        taken = self.world.take(name, most)
        subscription = self.world.broker.subscriptions[name]
        for entry, each in zip(taken, data(taken), strict=True):
            assert each in self.unacked[name], "it was acknowledged"
            assert each not in self.held[name], "somebody holds it"
            self.held[name][each] = (subscription.ack_id(entry), self.world.time + 10)

    @rule(name=NAMES, random=st.randoms(use_true_random=False))
    def acknowledge(self, name: str, random: Random) -> None:
        some = [each for each in sorted(self.held[name]) if random.random() < 0.5]
        ids = [self.held[name].pop(each)[0] for each in some]
        self.world.broker.acknowledge(self.world.broker.subscriptions[name], ids)
        self.unacked[name].difference_update(some)

    @rule(name=NAMES, random=st.randoms(use_true_random=False))
    def nack(self, name: str, random: Random) -> None:
        some = [each for each in sorted(self.held[name]) if random.random() < 0.5]
        ids = [self.held[name][each][0] for each in some]
        self.world.broker.modify(self.world.broker.subscriptions[name], ids, 0)
        for each in some:
            self._fail(name, each)

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.world.time += seconds
        self.world.broker.expire_leases()
        for name, held in self.held.items():
            for each in [each for each, (_, until) in held.items() if until <= self.world.time]:
                self._fail(name, each)

    @rule()
    def kill(self) -> None:
        self.world.restart()
        for held in self.held.values():
            held.clear()

    @rule()
    def collect(self) -> None:
        self.world.collect()

    @rule(name=NAMES)
    def seek_to_the_end(self, name: str) -> None:
        self.world.seek(self.world.time + 1, name)
        self.unacked[name].clear()
        self.held[name].clear()

    def _fail(self, name: str, each: bytes) -> None:
        del self.held[name][each]
        if name == CHAT:
            self.failed[each] = self.failed.get(each, 0) + 1
            if self.failed[each] == MAX_ATTEMPTS:
                self.unacked[CHAT].remove(each)
                self.unacked[DEAD_CHAT].add(each)

    @invariant()
    def memory_and_disk_have_what_the_model_has(self) -> None:
        for subscription in self.world.broker.subscriptions.values():
            unacked = self.unacked[subscription.name]
            assert set(data(list(subscription.entries.values()))) == unacked
            assert self._on_disk(subscription) == {
                number: entry.attempts for number, entry in subscription.entries.items()
            }
            assert subscription.bytes == sum(
                len(entry.message.body) + ENTRY_BYTES for entry in subscription.entries.values()
            )

    def _on_disk(self, subscription: Subscription) -> dict[int, int]:
        """Messages, and how often each has failed."""
        unacked = self.world.journal.unacked()
        mine = (each for each in unacked if each.subscription == subscription.id)
        return {each.message.id: each.attempts for each in mine}


@pytest.mark.proves("broker-keeps")
def test_memory_and_disk_have_what_the_model_has_after_any_history() -> None:
    examples = settings(max_examples=60, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Histories, settings=examples)
