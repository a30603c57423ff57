"""What the console publishes replays through, with credentials and without."""

import pytest

from console.publishing import NoBus, replaying
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.bus import Message
from deletion.errors import BusUnavailable, ConfigurationError
from deletion.process.settings import PubSubSettings, load

PROJECT = {"GOOGLE_CLOUD_PROJECT": "a-project"}


async def test_without_credentials_each_replay_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise ConfigurationError("there are no credentials for Pub/Sub")

    monkeypatch.setattr("console.publishing.connected_bus", fails)
    async with replaying(load(PubSubSettings, **PROJECT)) as pubsub:
        assert isinstance(pubsub.publisher, NoBus)
        with pytest.raises(BusUnavailable, match="no credentials"):
            await pubsub.publisher.publish(Message(b"", {}))
        with pytest.raises(BusUnavailable, match="no credentials"):
            await pubsub.check_attached("media")


async def test_with_an_emulator_it_publishes_in_groups() -> None:
    settings = load(PubSubSettings, **PROJECT, PUBSUB_EMULATOR_HOST="127.0.0.1:9")
    async with replaying(settings) as pubsub:
        assert isinstance(pubsub.publisher, GroupingPublisher)
