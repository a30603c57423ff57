"""Creating, changing, listing and deleting topics and subscriptions."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Final

from botdel.local.broker import settings
from botdel.local.broker.broker import Broker
from botdel.local.broker.names import DELETED_TOPIC, check_new, check_project, parts
from botdel.local.broker.refusals import already_exists, invalid, not_found
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.topic import Topic, retention_of
from botdel.local.broker.wire import (
    ListSubscriptionsResponse,
    ListTopicsResponse,
    ListTopicSubscriptionsResponse,
    Proto,
    copied,
)

PAGE: Final = 100
MAX_PAGE: Final = 1_000
ACTIVE: Final = 1
"""The state of a topic or a subscription that works, as a number."""


class Topics:
    """The administration of topics."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def create(self, wanted: Proto) -> Proto:
        check_new(wanted.name, "topics")
        if wanted.name in self._broker.topics:
            raise already_exists(wanted.name)
        settings.complete_topic(wanted)
        with self._broker.journal.transaction():
            number = self._broker.journal.add_topic(wanted.name, wanted, retention_of(wanted))
        topic = self._broker.topics[wanted.name] = Topic(number, wanted)
        return _shown_topic(topic)

    def get(self, name: str) -> Proto:
        parts(name, "topics")
        return _shown_topic(self._broker.topic(name))

    def update(self, request: Proto) -> Proto:
        topic = self._broker.topic(request.topic.name)
        paths = request.update_mask.paths
        new = settings.updated(topic.settings, request.topic, paths, settings.TOPIC_MUTABLE)
        settings.complete_topic(new)
        with self._broker.journal.transaction():
            self._broker.journal.change_topic(topic.id, new, retention_of(new))
        topic.settings = new
        return _shown_topic(topic)

    def list(self, request: Proto) -> Proto:
        check_project(request.project)
        page, token = _page(_of_project(self._broker.topics, request.project), request)
        found = [_shown_topic(self._broker.topics[name]) for name in page]
        return ListTopicsResponse(topics=found, next_page_token=token)

    def list_subscriptions(self, request: Proto) -> Proto:
        page, token = _page(self._broker.topic(request.topic).subscriptions, request)
        return ListTopicSubscriptionsResponse(subscriptions=page, next_page_token=token)

    def delete(self, name: str) -> None:
        """Delete the topic. Its subscriptions stay, with what is unacked, on a deleted topic."""
        parts(name, "topics")
        topic = self._broker.topic(name)
        attached = [s for s in self._broker.subscriptions.values() if s.settings.topic == name]
        left = [_on_deleted_topic(each) for each in attached]
        with self._broker.journal.transaction():
            self._broker.journal.remove_topic(topic.id)
            for subscription, new in zip(attached, left, strict=True):
                self._broker.journal.change_subscription(subscription.id, new, subscription.epoch)
        for subscription, new in zip(attached, left, strict=True):
            subscription.settings = new
        del self._broker.topics[name]


class Subscriptions:
    """The administration of subscriptions."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def create(self, wanted: Proto) -> Proto:
        check_new(wanted.name, "subscriptions")
        parts(wanted.topic, "topics")
        self._broker.topic(wanted.topic)
        if wanted.name in self._broker.subscriptions:
            raise already_exists(wanted.name)
        if wanted.detached:
            raise invalid("A subscription cannot be created detached.")
        settings.complete_subscription(wanted)
        self._check_dead_letter_topic(wanted)
        with self._broker.journal.transaction():
            number = self._broker.journal.add_subscription(wanted.name, wanted)
        return self._shown(self._broker.attach(number, wanted))

    def get(self, name: str) -> Proto:
        parts(name, "subscriptions")
        return self._shown(self._broker.subscription(name))

    def update(self, request: Proto) -> Proto:
        subscription = self._broker.subscription(request.subscription.name)
        paths = request.update_mask.paths
        new = settings.updated(
            subscription.settings, request.subscription, paths, settings.SUBSCRIPTION_MUTABLE
        )
        settings.complete_subscription(new)
        if any(path.startswith("dead_letter_policy") for path in paths):
            self._check_dead_letter_topic(new)
        self._change(subscription, new)
        subscription.last_used = self._broker.now()
        return self._shown(subscription)

    def list(self, request: Proto) -> Proto:
        check_project(request.project)
        page, token = _page(_of_project(self._broker.subscriptions, request.project), request)
        found = [self._shown(self._broker.subscriptions[name]) for name in page]
        return ListSubscriptionsResponse(subscriptions=found, next_page_token=token)

    def delete(self, name: str) -> Subscription:
        """Delete the subscription, and return it."""
        parts(name, "subscriptions")
        subscription = self._broker.subscription(name)
        with self._broker.journal.transaction():
            self._broker.journal.remove_subscription(subscription.id)
        self._leave_topic(subscription)
        return self._broker.subscriptions.pop(name)

    def detach(self, name: str) -> Subscription:
        """Detach the subscription, and return it. It gets and delivers nothing more."""
        parts(name, "subscriptions")
        subscription = self._broker.subscription(name)
        new = copied(subscription.settings)
        new.detached = True
        with self._broker.journal.transaction():
            self._broker.journal.remove_deliveries(subscription.id)
            self._broker.journal.change_subscription(subscription.id, new, subscription.epoch)
        subscription.settings = new
        subscription.clear()
        self._leave_topic(subscription)
        return subscription

    def _change(self, subscription: Subscription, new: Proto) -> None:
        with self._broker.journal.transaction():
            self._broker.journal.change_subscription(subscription.id, new, subscription.epoch)
            if subscription.retains_acked and not new.retain_acked_messages:
                self._broker.journal.forget_acked(subscription.id)
        subscription.settings = new

    def _check_dead_letter_topic(self, subscription: Proto) -> None:
        if not subscription.HasField("dead_letter_policy"):
            return
        topic = subscription.dead_letter_policy.dead_letter_topic
        if topic not in self._broker.topics:
            raise not_found(topic)

    def _leave_topic(self, subscription: Subscription) -> None:
        if topic := self._broker.topics.get(subscription.settings.topic):
            topic.subscriptions.pop(subscription.name, None)

    def _shown(self, subscription: Subscription) -> Proto:
        """Return its settings with the fields that are output only."""
        shown = copied(subscription.settings)
        shown.state = ACTIVE
        topic = self._broker.topics.get(shown.topic)
        if topic is not None and topic.retention:
            shown.topic_message_retention_duration.CopyFrom(
                topic.settings.message_retention_duration
            )
        return shown


def _shown_topic(topic: Topic) -> Proto:
    shown = copied(topic.settings)
    shown.state = ACTIVE
    return shown


def _on_deleted_topic(subscription: Subscription) -> Proto:
    new = copied(subscription.settings)
    new.topic = DELETED_TOPIC
    return new


def _of_project(names: Iterable[str], project: str) -> list[str]:
    return [name for name in names if name.startswith(f"{project}/")]


def _page(names: Iterable[str], request: Proto) -> tuple[Sequence[str], str]:
    """Return one page of names in order, and the token of the next one, or "" at the end.

    The token is the last name of the page, so that the next page is right whatever is created or
    deleted in between.
    """
    if request.page_size < 0:
        raise invalid(f"page_size: expected 0 or more, found {request.page_size}")
    size = min(request.page_size or PAGE, MAX_PAGE)
    after = _last_of(request.page_token)
    left = sorted(name for name in names if name > after)
    more = len(left) > size
    return left[:size], base64.urlsafe_b64encode(left[size - 1].encode()).decode() if more else ""


def _last_of(token: str) -> str:
    """Return the last name of the page before. Raises `Refused` for an invalid token."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("Invalid page_token provided in the request.") from None
