"""What ends without a call: subscriptions that nobody uses, and the broker whose file is gone."""

import asyncio
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from botdel.local.broker.journal import Journal, JournalGone
from botdel.local.broker.refusals import Refused
from botdel.local.broker.service import Service
from tests.unit.botdel.local.broker.world import CHAT, DAY, MINUTE, World, data

CONTEXT: Any = None


class Served(World):
    """A world with the service over it, and a topic."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.create_topic()

    def _start(self) -> None:
        super()._start()
        self.service = Service(self.broker)

    def exists_after(self, seconds: float) -> bool:
        self.time += seconds
        self.service.expire_subscriptions()
        return CHAT in self.broker.subscriptions

    def pull(self, **fields: Any) -> Any:
        request = types.PullRequest({"subscription": CHAT, "max_messages": 1, **fields})
        return self.service.pull(types.PullRequest.pb(request), CONTEXT)


# --- expiry


def test_a_subscription_that_nobody_uses_expires() -> None:
    """https://cloud.google.com/pubsub/docs/subscription-properties#expiration_period"""
    served = Served()
    served.subscribe(expiration_policy={"ttl": timedelta(days=1)})
    assert served.exists_after(DAY - MINUTE)
    assert not served.exists_after(2 * MINUTE)


def test_a_subscription_expires_after_31_days_unless_it_says_otherwise() -> None:
    served = Served()
    served.subscribe()
    assert served.exists_after(31 * DAY - MINUTE)
    assert not served.exists_after(2 * MINUTE)


def test_a_subscription_whose_policy_has_no_time_never_expires() -> None:
    served = Served()
    served.subscribe(expiration_policy={})
    assert served.exists_after(1000 * DAY)


async def test_a_pull_and_an_update_keep_a_subscription() -> None:
    served = Served()
    served.subscribe(expiration_policy={"ttl": timedelta(days=1)})
    served.time += DAY - MINUTE
    await served.pull(return_immediately=True)
    assert served.exists_after(DAY - MINUTE)
    changed = types.UpdateSubscriptionRequest(
        subscription=types.Subscription(name=CHAT, ack_deadline_seconds=20),
        update_mask=FieldMask(paths=["ack_deadline_seconds"]),
    )
    served.subscriptions.update(types.UpdateSubscriptionRequest.pb(changed))
    assert served.exists_after(DAY - MINUTE)
    assert not served.exists_after(DAY)


async def test_who_waits_for_messages_keeps_a_subscription_and_whoever_left_does_not() -> None:
    served = Served()
    served.subscribe(expiration_policy={"ttl": timedelta(days=1)})

    class Patient:
        def time_remaining(self) -> float:
            return 60.0

    request = types.PullRequest.pb(types.PullRequest(subscription=CHAT, max_messages=1))
    waiting = asyncio.create_task(served.service.pull(request, Patient()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert served.exists_after(2 * DAY)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert served.exists_after(DAY - MINUTE)
    assert not served.exists_after(2 * MINUTE)


def test_a_restart_begins_the_time_without_use_anew(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.subscribe(expiration_policy={"ttl": timedelta(days=1)})
    served.time += DAY - MINUTE
    served.restart()
    assert served.exists_after(DAY - MINUTE)
    assert not served.exists_after(2 * MINUTE)


# --- a seek that breaks off


async def test_an_unexpected_error_in_a_seek_ends_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory then lacks what the disk has, until the next start."""
    served = Served()
    served.subscribe()
    served.publish(b"x")
    request = types.SeekRequest(subscription=CHAT, time=datetime.fromtimestamp(0, UTC))
    monkeypatch.setattr(served.journal, "_last_within", broken)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        await served.service.seek(types.SeekRequest.pb(request), CONTEXT)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        served.broker.expire_leases()


def broken(*_: Any) -> Any:
    raise sqlite3.OperationalError("disk I/O error")


# --- a file that is gone


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
def test_a_file_that_is_gone_is_noticed_and_nothing_more_is_kept(
    tmp_path: Path, again: bool
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    world = World(folder)
    world.create_topic()
    world.subscribe()
    world.journal.check_place()
    shutil.rmtree(folder)
    if again:
        folder.mkdir()
        Journal(folder).close()
    with pytest.raises(JournalGone, match=r"pubsub\.sqlite was removed or replaced"):
        world.journal.check_place()
    with pytest.raises(Refused, match="could not be kept"):
        world.publish(b"x")


def test_a_log_that_is_removed_is_noticed_and_its_changes_are_not_lost(tmp_path: Path) -> None:
    """Until a checkpoint, what was confirmed is in SQLite's log alone."""
    world = World(tmp_path)
    world.create_topic()
    world.subscribe()
    world.publish(b"x")
    world.journal.check_place()
    (tmp_path / "pubsub.sqlite-wal").unlink()
    with pytest.raises(JournalGone, match=r"pubsub\.sqlite-wal was removed or replaced") as gone:
        world.journal.check_place()
    assert gone.value.remedy.startswith("start the broker anew")
    with pytest.raises(Refused, match="could not be kept"):
        world.publish(b"y")
    world.restart()
    assert data(world.take()) == [b"x"]


def test_a_journal_in_memory_has_no_place() -> None:
    Journal().check_place()
