"""What a message and a request may have. https://cloud.google.com/pubsub/quotas#resource_limits"""

from collections.abc import Sequence
from typing import Final

from botdel.local.broker.refusals import invalid
from botdel.local.broker.wire import Proto

MAX_MESSAGES: Final = 1_000
MAX_REQUEST_BYTES: Final = 10_000_000
MAX_ATTRIBUTES: Final = 100
MAX_KEY_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 1024
MAX_ORDERING_KEY_BYTES: Final = 1024


def check_publish(request: Proto) -> None:
    """Raises `Refused` unless all messages can be published."""
    if not request.messages:
        raise invalid("The value for message_count is too small: a request needs a message.")
    if len(request.messages) > MAX_MESSAGES:
        raise invalid(f"The value for message_count is too large: at most {MAX_MESSAGES}.")
    if request.ByteSize() > MAX_REQUEST_BYTES:
        raise invalid(f"The value for request_size is too large: at most {MAX_REQUEST_BYTES}.")
    _check_messages(request.messages)


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
