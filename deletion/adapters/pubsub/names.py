"""The names of the topic and of everything derived from it (docs/decisions/0003)."""

from dataclasses import dataclass

from deletion.ids import is_service_name


@dataclass(frozen=True, slots=True)
class Names:
    """Full resource names, all derived from the project's id and the topic's."""

    project: str
    topic_id: str

    @property
    def topic(self) -> str:
        """Where events are published."""
        return f"projects/{self.project}/topics/{self.topic_id}"

    @property
    def dead_letter_topic(self) -> str:
        """Where Pub/Sub moves messages that were delivered too often."""
        return f"{self.topic}.dead-letter"

    @property
    def dead_letter_subscription(self) -> str:
        """The subscription of the dead-letter topic, which would lose its messages without one."""
        return self.subscription("dead-letter")

    @property
    def completed_topic(self) -> str:
        """Where the ledger announces each request that is settled."""
        return f"{self.topic}.completed"

    @property
    def ledger_subscription(self) -> str:
        """The subscription of the request ledger."""
        return self.subscription("ledger")

    def subscription(self, service: str) -> str:
        """The subscription of one service."""
        return f"projects/{self.project}/subscriptions/{self.topic_id}.{service}"

    def service_of(self, subscription: str) -> str | None:
        """The service that `subscription` belongs to; None when it is not a service's."""
        service = subscription.removeprefix(self.subscription(""))
        return service if is_service_name(service) else None
