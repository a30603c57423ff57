"""Quarantine: a message that is given up is recorded with its bytes, and an alert is sent.

The record comes before the ack, as with a job: after a crash in between, the message comes again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.bus import Delivery
from deletion.clock import Clock, milliseconds
from deletion.dead_letter import DeadLetter, Reason
from deletion.errors import EventError, InvalidEvent, OversizedEvent, UnknownEventType
from deletion.ports import DeadLetterStore

DETAIL_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A delivery that nobody will handle, the service it belongs to, and why it was given up."""

    delivery: Delivery
    service: str
    reason: Reason
    detail: str


def refused(delivery: Delivery, service: str, error: EventError) -> Rejected:
    """The `Rejected` for a delivery that `decode` refused with `error`."""
    match error:
        case InvalidEvent():
            reason = Reason.INVALID
        case OversizedEvent():
            reason = Reason.TOO_LARGE
        case UnknownEventType():
            reason = Reason.TOO_NEW
        case _:
            reason = Reason.UNDECODABLE
    return Rejected(delivery, service, reason, str(error))


class Quarantine:
    """The way into the dead-letter store."""

    def __init__(self, store: DeadLetterStore, alerts: Alerts, clock: Clock) -> None:
        self._store = store
        self._alerts = alerts
        self._clock = clock

    async def keep(self, rejected: Sequence[Rejected]) -> None:
        """Record all of them together, then alert for those that are new.

        A message that is seen again is counted and causes no second alert. Raises
        `StoreUnavailable`; the deliveries must not be acked then.
        """
        for letter in await self._store.record([self._letter(each) for each in rejected]):
            if not letter.is_canary:
                reason = letter.reason.value
                self._alerts.tell(Alert(AlertKind.DEAD_LETTER, letter.service, reason, letter.id))

    def _letter(self, rejected: Rejected) -> DeadLetter:
        delivery, now = rejected.delivery, self._clock.now()
        return DeadLetter(
            id=self._store.new_id(),
            service=rejected.service,
            message_id=delivery.message_id,
            data=delivery.message.data,
            attributes=delivery.message.attributes,
            published_at=milliseconds(delivery.published_at),
            delivery_attempt=delivery.attempt,
            reason=rejected.reason,
            detail=rejected.detail[:DETAIL_CHARACTERS],
            first_seen_at=now,
            last_seen_at=now,
        )
