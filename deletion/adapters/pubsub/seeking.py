"""Moving a subscription to another time: what was published after it counts as not acked."""

from datetime import UTC, datetime

from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import SeekRequest, Subscription, UpdateSubscriptionRequest

from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.adapters.pubsub.wanted import RETENTION, SEEK_LABEL


async def seek(client: SubscriberAsyncClient, path: str, time: datetime) -> None:
    """Seek to `time`. Raises `BusUnavailable` or `TopologyMissing`."""
    with translated(path):
        await client.seek(
            SeekRequest(subscription=path, time=time), retry=BOUNDED_RETRY, timeout=CALL_SECONDS
        )


async def seek_back(client: SubscriberAsyncClient, path: str) -> None:
    """Seek to the first message that the topic keeps, then remove the label that asks for it.

    In this order a process that dies in between leaves the label, and the next `apply` seeks
    again: the duplicates are harmless (docs/decisions/0023).
    """
    await seek(client, path, datetime.now(UTC) - RETENTION)
    with translated(path):
        found = await client.get_subscription(
            subscription=path, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
        )
        others = {name: value for name, value in found.labels.items() if name != SEEK_LABEL}
        await client.update_subscription(
            UpdateSubscriptionRequest(
                subscription=Subscription(name=path, labels=others),
                update_mask=FieldMask(paths=["labels"]),
            ),
            retry=BOUNDED_RETRY,
            timeout=CALL_SECONDS,
        )
