"""Whether a subscription still belongs to its topic: otherwise it looks healthy but gets
nothing."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from google.api_core.exceptions import GoogleAPICallError
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import Subscription

from deletion.adapters.pubsub.connection import CALL_SECONDS
from deletion.errors import TopologyMissing
from deletion.kept import Kept

KEEP_SECONDS: Final = 60.0
"""How long an answer is kept, however many probes come."""

log = structlog.get_logger(__name__)


def detached(found: Subscription, topic: str) -> TopologyMissing | None:
    """The error when `found` belongs to another topic; else None.

    A topic that was deleted and created again is a different one: its old subscriptions stay on
    `_deleted-topic_`.
    """
    if found.topic == topic:
        return None
    _, project, _, name = found.name.split("/")
    return TopologyMissing(
        f"{found.name} belongs to {found.topic} and not to {topic}, so it gets nothing",
        f"run `gcloud pubsub subscriptions delete {name} --project={project}`, "
        "then `botdel topology apply` with its plan",
    )


class AttachmentCheck:
    """A check for `/readyz`. It changes nothing, and is bounded in time.

    It reports only a wrong topic. The pulls show whether Pub/Sub answers and lets this identity
    work.
    """

    def __init__(
        self,
        client: SubscriberAsyncClient,
        path: str,
        topic: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._path = path
        self._topic = topic
        self._problem: TopologyMissing | None = None
        self._kept = Kept(self._look, KEEP_SECONDS, monotonic)

    async def __call__(self) -> str | None:
        """The message of `detached`, at most `KEEP_SECONDS` old, or older if a call fails."""
        problem = await self._kept.get()
        return str(problem) if problem else None

    async def _look(self) -> TopologyMissing | None:
        """The error when the topic is wrong; the last one seen if the call fails."""
        try:
            found = await self._client.get_subscription(
                subscription=self._path, retry=None, timeout=CALL_SECONDS
            )
        except GoogleAPICallError as error:
            log.debug("topic not checked", subscription=self._path, reason=str(error))
        else:
            self._problem = detached(found, self._topic)
        return self._problem
