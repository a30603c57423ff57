"""A subscription of the embedded broker, and messages for it."""

from typing import Any

from google.pubsub_v1 import types

from botdel.local.broker.filters import everything
from botdel.local.broker.journal import NumberedMessage
from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import PubsubMessage

ALL = 10**9


def subscription(**settings: Any) -> Subscription:
    wanted = types.Subscription({"name": "s", "ack_deadline_seconds": 10, **settings})
    return Subscription(7, types.Subscription.pb(wanted), everything)


def message(number: int, key: str = "") -> NumberedMessage:
    body = PubsubMessage(data=b"%d" % number, ordering_key=key).SerializeToString()
    return NumberedMessage(number, 1, float(number), body)
