"""The messages of google.pubsub.v1, its methods, and the bytes of a delivery.

The classes are those inside google-cloud-pubsub: stubs generated from its .proto files could not be
loaded beside it, because both would register the same names.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

Proto = Any
"""A message of a class that exists at run time only."""


def proto(wrapper: Any) -> Any:
    """Return the plain protobuf class behind a class of proto-plus, which is ten times slower."""
    return wrapper.pb(wrapper()).__class__


PubsubMessage: Final = proto(types.PubsubMessage)
Topic: Final = proto(types.Topic)
Subscription: Final = proto(types.Subscription)
ListTopicsResponse: Final = proto(types.ListTopicsResponse)
ListTopicSubscriptionsResponse: Final = proto(types.ListTopicSubscriptionsResponse)
ListTopicSnapshotsResponse: Final = proto(types.ListTopicSnapshotsResponse)
ListSubscriptionsResponse: Final = proto(types.ListSubscriptionsResponse)
ListSnapshotsResponse: Final = proto(types.ListSnapshotsResponse)
PublishResponse: Final = proto(types.PublishResponse)
DetachSubscriptionResponse: Final = proto(types.DetachSubscriptionResponse)
SeekResponse: Final = proto(types.SeekResponse)
StreamingPullResponse: Final = proto(types.StreamingPullResponse)
NOTHING: Final = Empty()
LOW_BITS, HIGH_BIT, VARINT_BYTES = 0x7F, 0x80, 10
WIRE_TYPE_BITS, VARINT, LENGTH_DELIMITED = 0x07, 0, 2
FIXED_BYTES: Final = {1: 8, 5: 4}
"""Bytes of a value, by its wire type. The start and the end of a group have none."""


@dataclass(frozen=True, slots=True)
class Method:
    """How the request of a method is read, and whether it is a stream in both directions."""

    read: Callable[[bytes], Proto]
    streams: bool = False


def _unary(wrapper: Any) -> Method:
    return Method(proto(wrapper).FromString)


METHODS: Final[Mapping[str, Mapping[str, Method]]] = {
    "google.pubsub.v1.Publisher": {
        "CreateTopic": _unary(types.Topic),
        "UpdateTopic": _unary(types.UpdateTopicRequest),
        "Publish": _unary(types.PublishRequest),
        "GetTopic": _unary(types.GetTopicRequest),
        "ListTopics": _unary(types.ListTopicsRequest),
        "ListTopicSubscriptions": _unary(types.ListTopicSubscriptionsRequest),
        "ListTopicSnapshots": _unary(types.ListTopicSnapshotsRequest),
        "DeleteTopic": _unary(types.DeleteTopicRequest),
        "DetachSubscription": _unary(types.DetachSubscriptionRequest),
    },
    "google.pubsub.v1.Subscriber": {
        "CreateSubscription": _unary(types.Subscription),
        "GetSubscription": _unary(types.GetSubscriptionRequest),
        "UpdateSubscription": _unary(types.UpdateSubscriptionRequest),
        "ListSubscriptions": _unary(types.ListSubscriptionsRequest),
        "DeleteSubscription": _unary(types.DeleteSubscriptionRequest),
        "ModifyAckDeadline": _unary(types.ModifyAckDeadlineRequest),
        "Acknowledge": _unary(types.AcknowledgeRequest),
        "Pull": _unary(types.PullRequest),
        "StreamingPull": Method(proto(types.StreamingPullRequest).FromString, streams=True),
        "ModifyPushConfig": _unary(types.ModifyPushConfigRequest),
        "GetSnapshot": _unary(types.GetSnapshotRequest),
        "ListSnapshots": _unary(types.ListSnapshotsRequest),
        "CreateSnapshot": _unary(types.CreateSnapshotRequest),
        "UpdateSnapshot": _unary(types.UpdateSnapshotRequest),
        "DeleteSnapshot": _unary(types.DeleteSnapshotRequest),
        "Seek": _unary(types.SeekRequest),
    },
}
"""Every method of both services, by the names of the service and the method."""


def python_name(method: str) -> str:
    """Return `create_topic` for `CreateTopic`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower()


def as_bytes(answer: Proto | bytes) -> bytes:
    """Return the bytes of an answer. An answer built by hand is bytes already."""
    return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())


def stored(message: Proto, message_id: int, published: float) -> bytes:
    """Return the bytes of a PubsubMessage with the two fields that the service fills in."""
    for field in ("message_id", "publish_time"):
        message.ClearField(field)
    message.message_id = str(message_id)
    nanos = round(published * 1e6) * 1000
    message.publish_time.seconds, message.publish_time.nanos = divmod(nanos, 10**9)
    return bytes(message.SerializeToString())


def copied(message: Proto) -> Proto:
    """Return a copy of a message."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def seconds_in(duration: Proto) -> float:
    """Return the seconds of a Duration."""
    return float(duration.seconds + duration.nanos / 1e9)


def whole_microseconds(seconds: float) -> float:
    """Round to microseconds, as clients see publish times: a seek to one compares as equal."""
    return round(seconds * 1e6) / 1e6


def received(ack_id: str, message: bytes, attempt: int) -> bytes:
    """Return a ReceivedMessage as field 1 of a PullResponse or a StreamingPullResponse.

    The message's own bytes are copied, not parsed. Numbers of the fields: ack_id 1, message 2,
    delivery_attempt 3, which is left out when it is 0.
    """
    ack = ack_id.encode()
    body = b"\x0a" + _varint(len(ack)) + ack + b"\x12" + _varint(len(message)) + message
    if attempt:
        body += b"\x18" + _varint(attempt)
    return b"\x0a" + _varint(len(body)) + body


def fields_in(request: bytes, most: int) -> int:
    """Count the fields of a request, up to `most`, without parsing them.

    A field in a group counts as one of the request.
    https://protobuf.dev/programming-guides/encoding/
    """
    found = at = 0
    while at < len(request) and found < most:
        found += 1
        tag, at = _number(request, at)
        wire_type = tag & WIRE_TYPE_BITS
        if wire_type == LENGTH_DELIMITED:
            length, at = _number(request, at)
            at += length
        elif wire_type == VARINT:
            _, at = _number(request, at)
        else:
            at += FIXED_BYTES.get(wire_type, 0)
    return found


def _number(request: bytes, at: int) -> tuple[int, int]:
    """Return the varint at `at`, and where it ends: if it has no end, at the request's end."""
    number = 0
    for place, byte in enumerate(request[at : at + VARINT_BYTES]):
        number |= (byte & LOW_BITS) << 7 * place
        if byte < HIGH_BIT:
            return number, at + place + 1
    return number, len(request)


def _varint(number: int) -> bytes:
    """Return a number with seven bits in each byte, lowest first; a high bit says more follow."""
    parts = bytearray()
    while number > LOW_BITS:
        parts.append(number & LOW_BITS | HIGH_BIT)
        number >>= 7
    parts.append(number)
    return bytes(parts)
