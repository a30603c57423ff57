"""The settings of topics and subscriptions: their bounds, their defaults, and how to update them.

Bounds: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions and
https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics
"""

from collections.abc import Sequence
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from botdel.local.broker import filters, names
from botdel.local.broker.refusals import invalid, not_built
from botdel.local.broker.wire import Proto, copied, seconds_in

MINUTE, DAY = 60, 24 * 60 * 60
RETENTION: Final = (10 * MINUTE, 31 * DAY)
"""Seconds that a topic or a subscription may keep messages."""
ACK_DEADLINE: Final = (10, 600)
BACK_OFF: Final = (0, 600)
ATTEMPTS: Final = (5, 100)
DEFAULT_RETENTION: Final = 7 * DAY
DEFAULT_BACK_OFF: Final = (10, 600)
DEFAULT_TTL: Final = 31 * DAY

TOPIC_MUTABLE: Final = frozenset(
    {"labels", "message_retention_duration", "message_storage_policy", "kms_key_name"}
)
SUBSCRIPTION_MUTABLE: Final = frozenset(
    {
        "ack_deadline_seconds",
        "dead_letter_policy",
        "enable_exactly_once_delivery",
        "expiration_policy",
        "labels",
        "message_retention_duration",
        "push_config",
        "retain_acked_messages",
        "retry_policy",
    }
)
TOPIC_NOT_BUILT: Final = ("schema_settings", "ingestion_data_source_settings")
SUBSCRIPTION_NOT_BUILT: Final = ("bigquery_config", "cloud_storage_config", "bigtable_config")
OUTPUT_ONLY: Final = ("state", "topic_message_retention_duration")


def complete_topic(topic: Proto) -> None:
    """Clear what is output only. Raises `Refused` for settings that are invalid, or that this
    broker does not have.
    """
    _refuse_unbuilt(topic, TOPIC_NOT_BUILT)
    topic.ClearField("state")
    if topic.HasField("message_retention_duration"):
        _check_duration(topic.message_retention_duration, RETENTION, "message_retention_duration")


def complete_subscription(subscription: Proto) -> None:
    """Fill in the defaults, and clear what is output only. Raises `Refused` for settings that are
    invalid, or that this broker does not have.
    """
    _refuse_unbuilt(subscription, SUBSCRIPTION_NOT_BUILT)
    if subscription.push_config.push_endpoint:
        raise not_built("push delivery")
    if subscription.enable_exactly_once_delivery:
        raise not_built("exactly-once delivery")
    for field in OUTPUT_ONLY:
        subscription.ClearField(field)
    subscription.ack_deadline_seconds = subscription.ack_deadline_seconds or ACK_DEADLINE[0]
    _check(subscription.ack_deadline_seconds, ACK_DEADLINE, "ack_deadline_seconds")
    if not subscription.HasField("message_retention_duration"):
        subscription.message_retention_duration.seconds = DEFAULT_RETENTION
    _check_duration(
        subscription.message_retention_duration, RETENTION, "message_retention_duration"
    )
    _complete_expiration(subscription)
    _complete_retry(subscription)
    _complete_dead_letters(subscription)
    filters.parse(subscription.filter)


def updated(current: Proto, wanted: Proto, paths: Sequence[str], mutable: frozenset[str]) -> Proto:
    """Return a copy of `current` with the `paths` of `wanted`. Raises `Refused` for a path that
    does not exist or cannot be changed.
    """
    if not paths:
        raise invalid("The update_mask must be set, and must contain a non-empty paths list.")
    for path in paths:
        if not FieldMask(paths=[path]).IsValidForDescriptor(current.DESCRIPTOR):
            raise invalid(f"Invalid update_mask provided in the request: no such field: {path}")
        if path.partition(".")[0] not in mutable:
            raise invalid(f"Invalid update_mask provided in the request: {path} cannot be changed")
    new = copied(current)
    FieldMask(paths=paths).MergeMessage(
        wanted, new, replace_message_field=True, replace_repeated_field=True
    )
    return new


def _complete_expiration(subscription: Proto) -> None:
    """Without a policy, set the default. A policy without a ttl means that it never expires."""
    if not subscription.HasField("expiration_policy"):
        subscription.expiration_policy.ttl.seconds = DEFAULT_TTL
    elif subscription.expiration_policy.HasField("ttl"):
        ttl = subscription.expiration_policy.ttl
        if ttl.ToNanoseconds() and ttl.seconds < DAY:
            raise invalid(f"expiration_policy.ttl: expected a day or more, found {ttl.seconds} s")


def _complete_retry(subscription: Proto) -> None:
    if not subscription.HasField("retry_policy"):
        return
    policy = subscription.retry_policy
    fields = ("minimum_backoff", "maximum_backoff")
    for field, default in zip(fields, DEFAULT_BACK_OFF, strict=True):
        if not policy.HasField(field):
            getattr(policy, field).seconds = default
        _check_duration(getattr(policy, field), BACK_OFF, f"retry_policy.{field}")
    if policy.minimum_backoff.ToNanoseconds() > policy.maximum_backoff.ToNanoseconds():
        raise invalid("retry_policy: minimum_backoff is greater than maximum_backoff")


def _complete_dead_letters(subscription: Proto) -> None:
    if not subscription.HasField("dead_letter_policy"):
        return
    policy = subscription.dead_letter_policy
    if not policy.dead_letter_topic:
        subscription.ClearField("dead_letter_policy")
        return
    names.parts(policy.dead_letter_topic, "topics")
    policy.max_delivery_attempts = policy.max_delivery_attempts or ATTEMPTS[0]
    _check(policy.max_delivery_attempts, ATTEMPTS, "dead_letter_policy.max_delivery_attempts")


def _refuse_unbuilt(resource: Proto, fields: Sequence[str]) -> None:
    for field in fields:
        if resource.HasField(field):
            raise not_built(field)
    if resource.message_transforms:
        raise not_built("message_transforms")


def _check_duration(duration: Proto, bounds: tuple[int, int], field: str) -> None:
    _check(seconds_in(duration), bounds, field)


def _check(value: float, bounds: tuple[int, int], field: str) -> None:
    least, most = bounds
    if not least <= value <= most:
        raise invalid(f"Invalid {field}: expected {least} to {most}, found {value:g}")
