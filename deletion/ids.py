"""The form of every id, in one place, for the gateway, the codec and the plan.

Patterns are anchored strings, so that they can also be used in an OpenAPI document. They match
ASCII characters only, never digits of other scripts.
"""

import re
from typing import Final

OBJECT_ID_PATTERN: Final = r"^[0-9a-fA-F]{24}$"
"""An ObjectId as 24 hex digits: bots and jobs. Lower case is its normal form."""

UUID_PATTERN: Final = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
"""A UUID of any version in the text form of RFC 9562: events. Lower case is its normal form."""

SERVICE_PATTERN: Final = r"^[a-z][a-z0-9-]{2,62}$"
"""A service, 3 to 63 characters: it is part of a Pub/Sub subscription's name (at most 255
characters) and of its filter (at most 256 bytes)."""

PLANNED_SERVICE_PATTERN: Final = r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$"
"""A service whose plan is written now: its name is also a label of Kubernetes and part of an
account's id, neither of which may end in a hyphen. Records and events of older ones are read."""

RESERVED_SERVICES: Final = frozenset({"dead-letter", "doctor", "ledger"})
"""Names that the pipeline itself uses for subscriptions (`<topic>.<name>`): for dead letters, for
canaries (`doctor.<hex>`), and for the request ledger."""

BOT_ID: Final = "{bot_id}"
"""Stands for the id of the bot in a plan."""

_object_id = re.compile(OBJECT_ID_PATTERN).fullmatch
_uuid = re.compile(UUID_PATTERN).fullmatch
_service = re.compile(SERVICE_PATTERN).fullmatch
_planned_service = re.compile(PLANNED_SERVICE_PATTERN).fullmatch


def is_object_id(text: str) -> bool:
    """Whether `text` is an ObjectId as 24 hex digits, in either case."""
    return _object_id(text) is not None


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical text form, in either case."""
    return _uuid(text) is not None


def is_service_name(text: str) -> bool:
    """Whether `text` can name a service: it matches the pattern and is not reserved."""
    return _service(text) is not None and text not in RESERVED_SERVICES


def may_have_plan(service: str) -> bool:
    """Whether a plan may be for a service of this name: it can name one, and ends in no hyphen."""
    return is_service_name(service) and _planned_service(service) is not None
