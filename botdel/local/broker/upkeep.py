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
    """Does what is due. `now` is in seconds, by a clock that never goes back."""

    def __init__(self, broker: Broker, service: Service, now: float) -> None:
        self._broker = broker
        self._service = service
        self._expire_at = now + RETENTION_EVERY
        self._collect_at = now + COLLECT_EVERY

    def run(self, now: float) -> None:
        """Expire what is due, and clean the disk. What the disk refuses is logged and tried again,
        at the earliest after RETENTION_EVERY or COLLECT_EVERY. Raises JournalGone.
        """
        self._broker.journal.check_place()
        try:
            self._broker.expire_leases()
            if now >= self._expire_at:
                self._expire_at = now + RETENTION_EVERY
                self._broker.expire_messages()
                self._service.expire_subscriptions()
            if now >= self._collect_at:
                self._collect_at = now + COLLECT_EVERY  # also if the disk refuses
                if self._broker.collect():
                    self._collect_at = now  # there may be more: go on in the next run
        except Refused as error:
            log.warning("not kept", reason=str(error))
