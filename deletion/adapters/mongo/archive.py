"""Events that are newer than this code, kept for the release that knows them."""

from deletion.adapters.mongo.connection import Client, translated
from deletion.bus import Delivery

COLLECTION = "unknown_events"


class MongoEventArchive:
    """`deletion.ports.EventArchive`: `_id` is `service/message id`, so a repeat adds nothing."""

    def __init__(self, client: Client, database: str) -> None:
        self._events = client[database][COLLECTION]

    async def keep(self, service: str, delivery: Delivery) -> None:
        """See the port."""
        with translated():
            await self._events.update_one(
                {"_id": f"{service}/{delivery.message_id}"},
                {
                    "$setOnInsert": {
                        "service": service,
                        "messageId": delivery.message_id,
                        "data": delivery.message.data,
                        "attributes": dict(delivery.message.attributes),
                        "publishedAt": delivery.published_at,
                    }
                },
                upsert=True,
            )
