"""What the broker does by itself: deadlines, retention, expiry, and cleaning the disk."""

from typing import Final

import structlog

from botdel.local.broker.broker import Broker
from botdel.local.broker.refusals import Refused
from botdel.local.broker.service import Service

RETENTION_EVERY: Final = 5.0
COLLECT_EVERY: Final = 5.0
"""Seconds between two passes over what is on disk; each goes in steps, one a call."""

log = structlog.get_logger(__name__)


class Upkeep:
    """`now` are seconds of a clock that never goes back."""

    def __init__(self, broker: Broker, service: Service, now: float) -> None:
        self._broker = broker
        self._service = service
        self._expired = self._collected = now

    def run(self, now: float) -> None:
        """Expire what is due, and clean the disk. What the disk refuses is logged and tried again,
        at the earliest after RETENTION_EVERY or COLLECT_EVERY. Raises JournalGone.
        """
        self._broker.journal.check_place()
        try:
            self._broker.expire_leases()
            if now - self._expired >= RETENTION_EVERY:
                self._expired = now
                self._broker.expire_messages()
                self._service.expire_subscriptions()
            if now - self._collected >= COLLECT_EVERY:
                self._collected, began = now, self._collected
                if self._broker.collect():
                    self._collected = began  # there may be more
        except Refused as error:
            log.warning("not kept", reason=str(error))
