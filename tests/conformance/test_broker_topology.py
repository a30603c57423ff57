"""`botdel topology apply` over both brokers: a subscription that is made later gets what its topic
keeps, wherever the command that made it died, and gets it once.
"""

from typing import Any, cast

import pytest
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import Subscription

from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import Applied, Topology
from tests.conformance.brokers import Calls, data

CHANGES = ("create_subscription", "update_subscription", "seek")
SERVICE = "late"


class Died(Exception):
    """Whoever called did not live to see the answer."""


class Mortal:
    """A client that dies at the first call of `at`: before it is carried out, or after it."""

    def __init__(self, client: SubscriberAsyncClient, at: str, *, after: bool) -> None:
        self._client = client
        self._at = at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name != self._at:
            return call

        async def dying(*args: Any, **options: Any) -> None:
            if self._after:
                await call(*args, **options)
            raise Died

        return dying


@pytest.mark.proves("sought-back")
@pytest.mark.parametrize("at", CHANGES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_apply_that_dies_is_completed_by_the_next_and_then_nothing_is_left_to_do(
    on_broker: Calls, at: str, after: bool, is_google: bool
) -> None:
    topology = _topology(on_broker.publisher, on_broker.subscriber, on_broker)
    await topology.apply()
    names = topology.names
    await on_broker.publish(b"before", topic=names.topic)
    client = Mortal(on_broker.subscriber, at, after=after)
    mortal = _topology(on_broker.publisher, cast("SubscriberAsyncClient", client), on_broker)
    if is_google and (at == "seek" or (at, after) == ("update_subscription", True)):
        await mortal.apply([SERVICE])  # it refuses the update, and nothing is sought
    else:
        with pytest.raises(Died):
            await mortal.apply([SERVICE])
    await topology.apply([SERVICE])
    name = names.subscription(SERVICE).rpartition("/")[2]
    [received] = await on_broker.receive(1, name)
    assert data([received]) == [b"before"]
    await on_broker.ack(received, name=name)
    assert await topology.apply([SERVICE]) == Applied()
    await on_broker.nothing_comes(1, name)


class Overtaken:
    """A client: a gateway publishes on the topic just before the service's subscription is made."""

    def __init__(self, calls: Calls, names: Names) -> None:
        self._calls = calls
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._calls.subscriber, name)

    async def create_subscription(self, wanted: Subscription, **options: Any) -> None:
        if wanted.name == self._names.subscription(SERVICE):
            await self._calls.publish(b"accepted", topic=self._names.topic)
        await self._calls.subscriber.create_subscription(wanted, **options)


@pytest.mark.proves("sought-back")
async def test_what_is_published_while_apply_is_at_work_on_a_new_topic_is_delivered(
    on_broker: Calls,
) -> None:
    names = Names(on_broker.project, "bot-deletion")
    client = cast("SubscriberAsyncClient", Overtaken(on_broker, names))
    await _topology(on_broker.publisher, client, on_broker).apply([SERVICE])
    name = names.subscription(SERVICE).rpartition("/")[2]
    assert data(await on_broker.receive(1, name)) == [b"accepted"]


def _topology(
    publisher: PublisherAsyncClient, subscriber: SubscriberAsyncClient, calls: Calls
) -> Topology:
    return Topology(publisher, subscriber, Names(calls.project, "bot-deletion"), emulated=True)
