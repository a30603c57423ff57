"""Quarantine: record a message that cannot be handled, with its bytes, and send an alert.

As with a job, the message is acked after it is recorded: after a crash in between, it is
redelivered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.bus import Delivery
from deletion.clock import Clock, truncated
from deletion.dead_letter import DeadLetter, Reason, is_canary
from deletion.errors import EventError, InvalidEvent, OversizedEvent, UnknownEventType
from deletion.ports import DeadLetterStore

DETAIL_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class LetterToRecord:
    """A delivery to quarantine, the service it belongs to, and the reason."""

    delivery: Delivery
    service: str
    reason: Reason
    detail: str


def letter_for(delivery: Delivery, service: str, error: EventError) -> LetterToRecord:
    """The dead letter to record for a delivery that `decode` refused with `error`."""
    match error:
        case InvalidEvent():
            reason = Reason.INVALID
        case OversizedEvent():
            reason = Reason.TOO_LARGE
        case UnknownEventType():
            reason = Reason.TOO_NEW
        case _:
            reason = Reason.UNDECODABLE
    return LetterToRecord(delivery, service, reason, str(error))


class Quarantine:
    """Puts dead letters into their store."""

    def __init__(self, store: DeadLetterStore, alerts: Alerts, clock: Clock) -> None:
        self._store = store
        self._alerts = alerts
        self._clock = clock

    async def record(self, letters: Sequence[LetterToRecord]) -> None:
        """Record all of them together, then alert for those that are new.

        A redelivered message is counted, and causes no second alert. Raises `StoreUnavailable`; the
        deliveries must not be acked then.
        """
        for letter in await self._store.record([self._letter(each) for each in letters]):
            if not is_canary(letter.service):
                reason = letter.reason.value
                self._alerts.tell(Alert(AlertKind.DEAD_LETTER, letter.service, reason, letter.id))

    def _letter(self, letter: LetterToRecord) -> DeadLetter:
        delivery, now = letter.delivery, self._clock.now()
        return DeadLetter(
            id=self._store.new_id(),
            service=letter.service,
            message_id=delivery.message_id,
            data=delivery.message.data,
            attributes=delivery.message.attributes,
            published_at=truncated(delivery.published_at),
            delivery_attempt=delivery.attempt,
            reason=letter.reason,
            detail=letter.detail[:DETAIL_CHARACTERS],
            first_seen_at=now,
            last_seen_at=now,
        )
