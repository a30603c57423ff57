"""A consumer whose topic was deleted and made again: it runs, and says that it gets nothing."""

import pytest

from deletion.adapters.unproxied import unproxied
from tests.support.pipeline import WITHIN, Pipeline, listening, pubsub, until


@pytest.mark.proves("lost-topic")
async def test_a_consumer_whose_subscription_lost_its_topic_is_not_ready_and_says_what_to_do(
    pipeline: Pipeline,
) -> None:
    async with pipeline.consumer() as consumer, unproxied(timeout=WITHIN) as http:
        url = await listening(consumer)
        async with pubsub(pipeline) as (publisher, _):
            await publisher.delete_topic(topic=pipeline.names.topic)
            await publisher.create_topic(name=pipeline.names.topic)

        async def told() -> bool:
            answer = await http.get(f"{url}/readyz")
            return answer.status_code == 503 and "botdel topology apply" in answer.text

        await until(told)
    async with pipeline.consumer() as another, unproxied(timeout=WITHIN) as http:
        url = await listening(another)  # on an emulator its start replaces the subscription

        async def ready() -> bool:
            return (await http.get(f"{url}/readyz")).status_code == 200

        await until(ready)
