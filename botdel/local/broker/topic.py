"""A topic and the subscriptions that get its messages."""

from botdel.local.broker.subscription import Subscription
from botdel.local.broker.wire import Proto, seconds_in


class Topic:
    """A topic. `id` is never used again: a new topic of the same name gets another one."""

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
    """Return the seconds for which a topic keeps messages; 0 if it keeps none."""
    return seconds_in(settings.message_retention_duration)
