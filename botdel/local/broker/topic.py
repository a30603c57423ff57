"""A topic and the subscriptions that get its messages."""

from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import Proto, seconds_in


class Topic:
    """`id` is of this topic alone: one that is made again under its name is another."""

    def __init__(self, id: int, settings: Proto) -> None:
        self.id = id
        self.settings = settings
        self.subscriptions: dict[str, Subscription] = {}

    @property
    def name(self) -> str:
        return str(self.settings.name)

    @property
    def retention(self) -> float:
        """Seconds for which messages are kept for a seek, whoever acknowledged them; 0 for none."""
        return retention_of(self.settings)


def retention_of(settings: Proto) -> float:
    """Seconds; 0 when the topic keeps nothing."""
    return seconds_in(settings.message_retention_duration)
