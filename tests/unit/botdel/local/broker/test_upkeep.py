"""What the broker does by itself, in moved time."""

import sqlite3
from typing import Any

import pytest
from structlog.testing import capture_logs

from botdel.local.broker import broker as broker_module
from botdel.local.broker.service import Service
from botdel.local.broker.upkeep import Upkeep
from tests.unit.botdel.local.broker.world import HOUR, World


class Kept(World):
    """Messages that no subscription keeps and no topic retains any more, still on disk."""

    def __init__(self, messages: int) -> None:
        super().__init__()
        self.create_topic()
        self.subscribe()
        self.publish(*(b"%d" % n for n in range(messages)))
        self.ack(self.take())
        self.time += HOUR
        self.upkeep = Upkeep(self.broker, Service(self.broker), 0.0)

    def count(self) -> int:
        [count] = self.journal._db.execute("SELECT count(*) FROM messages").fetchone()
        return int(count)


def test_a_full_disk_is_tried_again_and_logged_only_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Kept(3)

    def full(*_: Any) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(world.journal, "collect", full)
        for tick in range(200):
            world.upkeep.run(tick * 0.05)
    assert [line["event"] for line in logs] == ["not kept"]
    assert world.count() == 3
    world.upkeep.run(11)
    assert world.count() == 0


def test_the_disk_is_cleaned_one_step_a_run_until_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker_module, "COLLECTED", 1)
    world = Kept(3)
    left = []
    for tick in range(4):
        world.upkeep.run(5 + tick * 0.05)
        left.append(world.count())
    assert left == [2, 1, 0, 0]
