"""What the gateway is measured against: it validates nothing and confirms one at a time."""

import os
import uuid

import uvloop
from fastapi import FastAPI
from google.pubsub_v1.types import PubsubMessage

from deletion.adapters.pubsub.connection import PubSub
from deletion.process.serving import serving
from deletion.process.signals import stop_on_signals


async def main() -> None:
    pubsub = PubSub(os.environ["PUBSUB_EMULATOR_HOST"])
    client = pubsub.publisher()
    topic = f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/topics/{os.environ['BOTDEL_TOPIC']}"
    await client.create_topic(name=topic)
    app = FastAPI()

    @app.delete("/v1/bots/{bot_id}", status_code=202)
    async def delete_bot(bot_id: str) -> dict[str, str]:
        event_id = str(uuid.uuid4())
        message = PubsubMessage(data=bot_id.encode(), attributes={"event_id": event_id})
        await client.publish(topic=topic, messages=[message])
        return {"event_id": event_id, "bot_id": bot_id}

    port = int(os.environ["BOTDEL_GATEWAY_PORT"])
    with stop_on_signals() as stopping:
        async with serving(app, "127.0.0.1", port, name="bare", grace=1):
            await stopping.wait()
    await pubsub.close()


if __name__ == "__main__":
    uvloop.run(main())
