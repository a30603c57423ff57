"""Seeking: moving a subscription to a time. Messages published after it count as not acked."""

from collections.abc import Mapping
from datetime import UTC, datetime

from google.api_core.exceptions import InvalidArgument
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import SeekRequest, Subscription, UpdateSubscriptionRequest

from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.adapters.pubsub.wanted import RETENTION, SEEK_LABEL

SEEK_SECONDS = 60.0
"""Seconds for one seek: the embedded broker looks at every message that it keeps."""


async def seek(client: SubscriberAsyncClient, path: str, time: datetime) -> None:
    """Seek to `time`. Raises `BusUnavailable` or `TopologyMissing`."""
    with translated(path):
        await client.seek(
            SeekRequest(subscription=path, time=time), retry=BOUNDED_RETRY, timeout=SEEK_SECONDS
        )


async def seek_back(
    client: SubscriberAsyncClient, subscription: Subscription, *, emulated: bool
) -> bool:
    """Seek to the first message that the topic keeps, then remove the label that asks for it.

    In this order a process that dies in between leaves the label, and the next `apply` seeks again:
    the duplicates are harmless (docs/decisions/0023).

    Returns False, without seeking, on Google's emulator: it cannot remove the label, so every
    `apply` would seek again. A new subscription there gets what the topic keeps anyway.
    """
    path = subscription.name
    if emulated and not await _can_change_labels(client, subscription):
        return False
    await seek(client, path, datetime.now(UTC) - RETENTION)
    labels = await _labels(client, path)
    labels.pop(SEEK_LABEL, None)
    await _set_labels(client, path, labels)
    return True


async def _can_change_labels(client: SubscriberAsyncClient, subscription: Subscription) -> bool:
    """Whether the server lets labels be updated, tried with the labels as they are."""
    try:
        await _set_labels(client, subscription.name, subscription.labels)
    except InvalidArgument:
        return False
    return True


async def _labels(client: SubscriberAsyncClient, path: str) -> dict[str, str]:
    with translated(path):
        found = await client.get_subscription(
            subscription=path, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
        )
    return dict(found.labels)


async def _set_labels(client: SubscriberAsyncClient, path: str, labels: Mapping[str, str]) -> None:
    with translated(path):
        await client.update_subscription(
            UpdateSubscriptionRequest(
                subscription=Subscription(name=path, labels=labels),
                update_mask=FieldMask(paths=["labels"]),
            ),
            retry=BOUNDED_RETRY,
            timeout=CALL_SECONDS,
        )
