"""A Pub/Sub that allows an account only what its roles permit.

The permissions are those that Google documents for calls and roles:
https://cloud.google.com/pubsub/docs/access-control
"""

from collections.abc import Collection
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from google.api_core.exceptions import Forbidden
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]
from google.pubsub_v1.types import PublishResponse, PullResponse, Subscription, Topic

from botdel.doctor.grants import PUBLISHER, SUBSCRIBER
from deletion.adapters.pubsub.wanted import wanted_topics
from tests.architecture.terraform_site import NAMES, wanted_subscriptions

VIEWER, EDITOR = "roles/pubsub.viewer", "roles/pubsub.editor"
ROLES: Final = {
    PUBLISHER: {"pubsub.topics.publish"},
    SUBSCRIBER: {"pubsub.subscriptions.consume"},
    VIEWER: {"pubsub.topics.get", "pubsub.subscriptions.get"},
    EDITOR: {
        "pubsub.topics.publish",
        "pubsub.topics.get",
        "pubsub.subscriptions.consume",
        "pubsub.subscriptions.get",
        "pubsub.subscriptions.update",
    },
}
"""The permissions of each role that the processes may need."""


@dataclass(frozen=True)
class Grant:
    """A role on a topic or subscription, by its path."""

    who: str
    role: str
    on: str


def refused(what: str) -> Forbidden:
    """The error of Pub/Sub."""
    return Forbidden(what)  # type: ignore[no-untyped-call]


class MayOnly:
    """Pub/Sub, as both clients, for an account with the grants `held`. Everything exists."""

    def __init__(self, held: Collection[Grant]) -> None:
        self.held = held
        self.transport = SimpleNamespace(publish=self.publish)
        self.topics = {each.name: each for each in wanted_topics(NAMES)}
        self.subscriptions = {each.name: each for each in wanted_subscriptions()}

    def may(self, permission: str, path: str) -> bool:
        return any(permission in ROLES[each.role] for each in self.held if each.on == path)

    def _need(self, permission: str, path: str) -> None:
        if not self.may(permission, path):
            raise refused(f"{permission} on {path}")

    async def publish(self, request: Any, **_: object) -> PublishResponse:
        self._need("pubsub.topics.publish", request.topic)
        return PublishResponse(message_ids=["1"] * len(request.messages))

    async def get_topic(self, *, topic: str, **_: object) -> Topic:
        self._need("pubsub.topics.get", topic)
        return self.topics[topic]

    async def list_topic_subscriptions(self, *, topic: str, **_: object) -> Any:
        self._need("pubsub.topics.get", topic)

        async def listed() -> Any:
            for each in self.subscriptions:
                yield each

        return listed()

    async def get_subscription(self, *, subscription: str, **_: object) -> Subscription:
        self._need("pubsub.subscriptions.get", subscription)
        return Subscription(self.subscriptions[subscription])

    async def pull(self, request: Any, **_: object) -> PullResponse:
        self._need("pubsub.subscriptions.consume", request.subscription)
        return PullResponse()

    async def acknowledge(self, request: Any, **_: object) -> None:
        self._need("pubsub.subscriptions.consume", request.subscription)

    async def seek(self, request: Any, **_: object) -> None:
        self._need("pubsub.subscriptions.consume", request.subscription)

    async def update_subscription(self, request: Any, **_: object) -> None:
        self._need("pubsub.subscriptions.update", request.subscription.name)
        self.subscriptions[request.subscription.name].labels = request.subscription.labels

    async def test_iam_permissions(self, request: Any, **_: object) -> Any:
        held = [each for each in request["permissions"] if self.may(each, request["resource"])]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    async def create_topic(self, topic: Topic, **_: object) -> None:
        raise refused(f"pubsub.topics.create for {topic.name}")

    async def create_subscription(self, subscription: Subscription, **_: object) -> None:
        raise refused(f"pubsub.subscriptions.create for {subscription.name}")
