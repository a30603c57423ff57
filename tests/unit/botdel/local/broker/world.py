"""Topics and subscriptions over a journal in memory or on disk, in moved time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.pubsub_v1 import types

from botdel.local.broker.broker import Broker
from botdel.local.broker.catalogue import Subscriptions, Topics
from botdel.local.broker.entry import Entry
from botdel.local.broker.journal import Journal
from botdel.local.broker.seeking import Seek
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import PubsubMessage

TOPIC, CHAT = "projects/p/topics/events", "projects/p/subscriptions/chat"
DEAD, DEAD_CHAT = "projects/p/topics/dead", "projects/p/subscriptions/dead"
MINUTE, HOUR, DAY = 60, 3600, 86400
ALL = 10**9


class World:
    """A broker whose clock is moved, and which can be killed and started again."""

    def __init__(self, folder: Path | None = None) -> None:
        self.time = 1_000_000.0
        self.folder = folder
        self._start()

    def _start(self) -> None:
        self.journal = Journal(self.folder)
        self.broker = Broker(self.journal, lambda: self.time)
        self.broker.load()
        self.topics, self.subscriptions = Topics(self.broker), Subscriptions(self.broker)

    def restart(self) -> None:
        self.journal.close()
        self._start()

    @property
    def chat(self) -> Subscription:
        return self.broker.subscriptions[CHAT]

    def create_topic(self, name: str = TOPIC, **settings: Any) -> None:
        self.topics.create(types.Topic.pb(types.Topic({"name": name, **settings})))

    def subscribe(self, name: str = CHAT, topic: str = TOPIC, **settings: Any) -> None:
        wanted = types.Subscription({"name": name, "topic": topic, **settings})
        self.subscriptions.create(types.Subscription.pb(wanted))

    def publish(self, *data: bytes, topic: str = TOPIC, key: str = "", **attributes: str) -> None:
        fields = {"attributes": attributes, "ordering_key": key}
        messages = [{"data": each, **fields} for each in data]
        request = types.PublishRequest({"topic": topic, "messages": messages})
        self.broker.publish(types.PublishRequest.pb(request))

    def take(self, name: str = CHAT, most: int = 100) -> list[Entry]:
        return self.broker.subscriptions[name].take(self.time, most, ALL)

    def ack(self, entries: Sequence[Entry], name: str = CHAT) -> None:
        subscription = self.broker.subscriptions[name]
        self.broker.acknowledge(subscription, [subscription.ack_id(each) for each in entries])

    def nack(self, entries: Sequence[Entry], name: str = CHAT) -> None:
        subscription = self.broker.subscriptions[name]
        self.broker.modify(subscription, [subscription.ack_id(each) for each in entries], 0)

    def seek(self, to: float, name: str = CHAT) -> None:
        for _ in Seek(self.broker, self.broker.subscriptions[name], to).steps():
            pass

    def on_disk(self) -> int:
        self.collect()
        [count] = self.journal._db.execute("SELECT count(*) FROM messages").fetchone()
        return int(count)

    def collect(self) -> None:
        while self.broker.collect():
            pass


def data(entries: Sequence[Entry]) -> list[bytes]:
    return [PubsubMessage.FromString(entry.message.body).data for entry in entries]
