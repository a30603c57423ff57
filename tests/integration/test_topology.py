"""The topology on the real broker: made where it may be, named where it must be there already."""

import pytest

from deletion.adapters.pubsub import PubSub
from deletion.adapters.pubsub_topology import Names, Topology
from deletion.errors import TopologyMissing
from local.emulator import PubSubEmulator


async def test_an_emulator_gets_what_it_lacks_and_real_pubsub_is_told_what_to_apply(
    emulator: PubSubEmulator, project: str
) -> None:
    pubsub, names = PubSub(emulator.host), Names(project, "bot-deletion")
    try:
        clients = pubsub.publisher(), pubsub.subscriber()
        real = Topology(*clients, names, emulated=False)
        with pytest.raises(TopologyMissing, match=r"topics/bot-deletion .*botdel topology apply"):
            await real.ready_for(["conversations"])
        await Topology(*clients, names, emulated=True).ready_for(["conversations"])
        await real.ready_for(["conversations"])
        with pytest.raises(TopologyMissing, match=r"subscriptions/bot-deletion.analytics"):
            await real.ready_for(["conversations", "analytics"])
        assert real.recreating() is None
    finally:
        await pubsub.close()


async def test_what_exists_is_not_changed_and_each_difference_is_a_line(
    emulator: PubSubEmulator, project: str
) -> None:
    pubsub = PubSub(emulator.host)
    try:
        clients = pubsub.publisher(), pubsub.subscriber()
        one = Topology(*clients, Names(project, "one"), emulated=True)
        assert await one.apply(["conversations"]) == []
        assert await one.apply(["conversations"]) == [], "applying twice is harmless"
        path = one.names.subscription("conversations")
        await clients[1].delete_subscription(subscription=path)
        await clients[1].create_subscription(name=path, topic=one.names.topic)
        differences = await one.apply(["conversations"])
        settings = {line.removeprefix(f"{path}: ").split(" is ")[0] for line in differences}
        assert {"filter", "dead_letter_policy.max_delivery_attempts"} <= settings
        found = await clients[1].get_subscription(subscription=path)
        assert found.filter == ""
    finally:
        await pubsub.close()
