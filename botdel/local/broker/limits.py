"""Limits of messages and requests. https://cloud.google.com/pubsub/quotas#resource_limits"""

from collections.abc import Sequence
from typing import Final

from botdel.local.broker.refusals import Refused, invalid
from botdel.local.broker.wire import Proto, fields_in

MAX_MESSAGES: Final = 1_000
MAX_PUBLISH_BYTES: Final = 10_000_000
MAX_REQUEST_BYTES: Final = 512 * 1024
"""Bytes of every other request. The real service's message about too many acks is quoted in
https://github.com/googleapis/google-cloud-go/issues/1441"""
COUNTED_ABOVE: Final = 100_000
"""Bytes above which the fields of a publish are counted before it is parsed: parsing 10 MB of empty
messages would take half a second and 500 MB of memory."""
MAX_FIELDS: Final = 2 * MAX_MESSAGES
"""Fields of a publish: its messages, its topic, and what a newer client adds."""
MAX_ATTRIBUTES: Final = 100
MAX_KEY_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 1024
MAX_ORDERING_KEY_BYTES: Final = 1024


def check_size(method: str, request: bytes) -> None:
    """Raises `Refused` for a request that is too large to be parsed."""
    is_publish = method == "Publish"
    most = MAX_PUBLISH_BYTES if is_publish else MAX_REQUEST_BYTES
    if len(request) > most:
        raise invalid(f"Request payload size exceeds the limit: {most} bytes.")
    is_counted = is_publish and len(request) > COUNTED_ABOVE
    if is_counted and fields_in(request, MAX_FIELDS + 1) > MAX_FIELDS:
        raise _too_many()


def check_publish(request: Proto) -> None:
    """Raises `Refused` unless all messages can be published."""
    if not request.messages:
        raise invalid("The value for message_count is too small: a request needs a message.")
    if len(request.messages) > MAX_MESSAGES:
        raise _too_many()
    _check_messages(request.messages)


def _too_many() -> Refused:
    return invalid(f"The value for message_count is too large: at most {MAX_MESSAGES}.")


def _check_messages(messages: Sequence[Proto]) -> None:
    for message in messages:
        attributes = message.attributes
        if not (message.data or attributes):
            raise invalid("A message must have data that is not empty, or an attribute.")
        if len(attributes) > MAX_ATTRIBUTES:
            raise invalid(f"A message has more than {MAX_ATTRIBUTES} attributes.")
        for key, value in attributes.items():
            _check_attribute(key, value)
        if len(message.ordering_key.encode()) > MAX_ORDERING_KEY_BYTES:
            raise invalid(f"ordering_key has more than {MAX_ORDERING_KEY_BYTES} bytes.")


def _check_attribute(key: str, value: str) -> None:
    if not key:
        raise invalid("An attribute's key is empty.")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise invalid(f"An attribute's key has more than {MAX_KEY_BYTES} bytes.")
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise invalid(f"The value of attribute {key!r} has more than {MAX_VALUE_BYTES} bytes.")
    if key.startswith("goog"):
        raise invalid(f"Attribute {key!r}: keys that begin with 'goog' are Google's.")
