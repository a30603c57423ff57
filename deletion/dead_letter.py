"""The dead letter: a message that was quarantined, kept with its bytes until an operator decides.

An operator replays or discards a new one. If a replayed message is quarantined again, it joins its
record, which becomes new again: docs/decisions/0016.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

RECORD_ATTRIBUTE = "dead_letter"
"""The attribute of a replayed message that names the record it came from."""
SOURCE = "CloudPubSubDeadLetterSource"
"""The prefix of the attributes in which Pub/Sub says where a dead letter came from:
https://cloud.google.com/pubsub/docs/handling-failures#track-delivery-attempts"""
CANARY_PREFIX = "doctor."
"""Prefix of the services of `botdel doctor`'s canaries. No real service's name has a dot."""


class Reason(StrEnum):
    """Why a message was quarantined."""

    UNDECODABLE = "undecodable"  # its bytes are not an event
    INVALID = "invalid"  # an event that breaks a rule of the contract
    TOO_LARGE = "too_large"  # more bytes than an event may have; it was not parsed
    TOO_NEW = "too_new"  # its type is newer than this code: replay it after the upgrade
    TOO_MANY = "too_many"  # its bot's job already covers as many requests as a job may
    UNDELIVERED = "undelivered"  # delivered too often: Pub/Sub's dead-letter policy moved it


class DeadLetterStatus(StrEnum):
    """Whether an operator has dealt with it."""

    NEW = "new"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of one service, unique by its `identity`. Its id is 24 hex digits.

    `service` is empty when the message does not say where it came from. `delivery_attempt` is
    the highest seen, 0 when unknown; `count` is how often the message was quarantined, and
    `returns` how often that happened after a replay. Times are UTC in milliseconds.
    """

    id: str
    service: str
    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime
    delivery_attempt: int
    reason: Reason
    detail: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int = 1
    returns: int = 0
    status: DeadLetterStatus = DeadLetterStatus.NEW

    @property
    def identity(self) -> tuple[str, str, datetime]:
        """The same in every delivery. A message id alone is unique only within its topic."""
        return self.service, self.message_id, self.published_at

    @property
    def replay_of(self) -> str | None:
        """The id of the record that this message was replayed from, if any."""
        return self.attributes.get(RECORD_ATTRIBUTE)

    def is_replay_of(self, origin: "DeadLetter") -> bool:
        """Whether this letter joins the record `origin`. A letter of another service or with other
        bytes does not, because joining would lose it.
        """
        return (self.replay_of, self.service, self.data) == (origin.id, origin.service, origin.data)

    @property
    def obstacle(self) -> str | None:
        """Why it may be replayed only with force; None when force is not needed."""
        if self.returns:
            return f"it came back dead after a replay ({self.returns} so far)"
        if self.status is not DeadLetterStatus.NEW:
            return f"it is {self.status} already"
        return None

    def seen_again(self, later: "DeadLetter") -> "DeadLetter":
        """The letter after its message was redelivered and quarantined again; keeps its status."""
        return replace(
            self,
            count=self.count + 1,
            delivery_attempt=max(self.delivery_attempt, later.delivery_attempt),
            last_seen_at=max(self.last_seen_at, later.last_seen_at),
        )

    def came_back(self, later: "DeadLetter") -> "DeadLetter":
        """The letter after its replay was quarantined: new again, with the reason of `later`."""
        return replace(
            self.seen_again(later),
            returns=self.returns + 1,
            status=DeadLetterStatus.NEW,
            reason=later.reason,
            detail=later.detail,
        )


def is_canary(service: str) -> bool:
    """Whether `service` is that of a canary, which `botdel doctor` sends to test this path."""
    return service.startswith(CANARY_PREFIX)
