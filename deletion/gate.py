"""The gate of a remote host: every call of this process to the host goes through it.

It limits how many calls are under way, checks the breaker that all replicas share before each call,
and records there how the call ended. The job of a run that cannot call now is parked, so that it
does not occupy a worker's slot; only where calls are quick does the run wait for a moment.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.breaker import Breaker, BreakerPolicy, BreakerStore
from deletion.clock import Clock
from deletion.errors import Busy, Parked, PermanentError, TransientError
from deletion.permits import Permits
from deletion.retry import Retry

KEEP_SECONDS: Final = 1.0
"""How long a process relies on what it last read of a breaker, in seconds."""
TIME_SECONDS: Final = 60.0
"""How long the measured difference to the database's clock is used, in seconds."""
LEASE_MARGIN: Final = 10.0
"""Seconds of a probe's lease beyond its call, to record how the call ended."""
TRIES: Final = 5
"""How often a change is tried when other processes change the breaker first."""
SHORTEST_PARK: Final = 0.1
"""Seconds for which a job is parked at least when all these tries have failed; `Endings.park` adds
a random wait."""

log = structlog.get_logger(__name__)


class Gates:
    """The gates of one process, one for each host, and what they share.

    `service` is named in alerts.
    """

    def __init__(
        self,
        store: BreakerStore,
        clock: Clock,
        alerts: Alerts | None = None,
        *,
        service: str = "",
        policy: BreakerPolicy | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.alerts = alerts
        self.service = service
        self.policy = policy or BreakerPolicy()
        self.retry = Retry(clock, attempts=3, base=0.2, cap=1.0)
        self._gates: dict[str, Gate] = {}
        self._time: datetime | None = None
        self._read_at = 0.0

    def to(self, host: str, concurrency: int) -> "Gate":
        """The gate to `host`. Steps that share it get the smallest `concurrency` of all."""
        gate = self._gates.setdefault(host, Gate(host, concurrency, self))
        gate.narrow(concurrency)
        return gate

    async def are_open(self) -> Mapping[str, bool]:
        """For each host, whether its breaker is open or half open. Raises `StoreUnavailable`."""
        return {host: (await gate.look()).is_open for host, gate in self._gates.items()}

    async def time(self) -> datetime:
        """The time of the database's clock, which is read once a minute."""
        if self._time is None or self.clock.monotonic() - self._read_at >= TIME_SECONDS:
            self._time = await self.store.time()
            self._read_at = self.clock.monotonic()
        return self._time + timedelta(seconds=self.clock.monotonic() - self._read_at)


class Gate:
    """The calls of one process to `host`.

    Each change of the breaker is an update from `before`, the breaker as the change expects to find
    it, to `after`. It is lost if another process has changed the breaker first. A call that is the
    probe carries `probe`: the breaker as its own update left it, with the lease; None in any other
    call.
    """

    def __init__(self, host: str, concurrency: int, gates: Gates) -> None:
        self.host = host
        self._gates = gates
        self._clock = gates.clock
        self._deletions = Permits(concurrency, gates.clock)
        self._reads = Permits(concurrency, gates.clock)
        self._known = Breaker(host)  # as last read or written by this process
        self._fresh_until = float("-inf")  # until then, it need not be read again

    @property
    def concurrency(self) -> int:
        """How many deletions may be under way, and how many read-backs beside them."""
        return self._deletions.number

    def narrow(self, concurrency: int) -> None:
        """Allow no more than `concurrency` deletions and as many read-backs."""
        for each in (self._deletions, self._reads):
            each.number = min(each.number, concurrency)

    @asynccontextmanager
    async def permit(self, *, reads: bool = False) -> AsyncIterator[None]:
        """Hold a permit inside the block. Read-backs have permits of their own, because a deletion
        may hold one for hours. Raises `Busy` when none is free.
        """
        permits = self._reads if reads else self._deletions
        async with permits.one() as is_given:
            if not is_given:
                of = "read-backs" if reads else "deletions"
                why = f"{permits.number} {of} are under way at {self.host}, as many as may be"
                until = self._clock.now() + timedelta(seconds=permits.retry_after)
                raise Busy(until, why, permits.window)
            yield

    @asynccontextmanager
    async def call(
        self, bot_id: str, seconds: float, *, reads: bool = False
    ) -> AsyncIterator[None]:
        """Make one call, which takes at most `seconds`, inside the block.

        Raises `Parked` before the block while the host must not be called. A `TransientError` from
        the block counts as a failure of the host, and `Parked` is raised from it if the breaker is
        open after that. No error, or a `PermanentError`, means that the host answered. An answer
        to a call that only `reads` closes an open breaker, but does not clear the failure of a
        deletion from a closed one.
        """
        probe = await self._admitted(bot_id, seconds)
        try:
            yield
        except TransientError as error:
            if parked := await self._failed(bot_id, error, probe):
                raise parked from error
            raise
        except PermanentError:
            await self._answered(probe, reads)
            raise
        await self._answered(probe, reads)

    async def look(self, *, again: bool = False) -> Breaker:
        """The breaker, read or written at most `KEEP_SECONDS` ago; with `again`, read now."""
        if again or self._clock.monotonic() >= self._fresh_until:
            self._keep(await self._gates.store.get(self.host))
        return self._known

    async def _admitted(self, bot_id: str, seconds: float) -> Breaker | None:
        """Return None when the breaker is closed, or the breaker with this call as its probe.

        Raises `Parked` when the call must not be made.
        """
        for attempt in range(TRIES):
            breaker = await self.look(again=attempt > 0)
            if not breaker.is_open:
                return None
            now = await self._gates.time()
            if until := breaker.waits_until(bot_id, now):
                raise self._suspended(until, now, breaker, has_called=False)
            lease = timedelta(seconds=seconds + LEASE_MARGIN)
            probe = breaker.probing(_stamp(), now, lease)
            if await self._apply(breaker, probe):
                log.info("breaker: probing", host=self.host)
                return probe
        raise self._parked(SHORTEST_PARK, f"the breaker of {self.host} keeps changing")

    async def _failed(
        self, bot_id: str, error: TransientError, probe: Breaker | None
    ) -> Parked | None:
        """Record the failure. Returns the `Parked` to raise if the breaker is open after that."""
        try:
            breaker = await self._recorded(bot_id, error, probe)
            now = await self._gates.time()
        except TransientError as trouble:  # the call has failed nevertheless
            log.warning("breaker: a failure is not recorded", host=self.host, reason=str(trouble))
            return None
        if not breaker.is_open:
            return None
        until = breaker.waits_until(bot_id, now) or now
        return self._suspended(until, now, breaker, has_called=True)

    async def _recorded(self, bot_id: str, error: TransientError, probe: Breaker | None) -> Breaker:
        """Record the failure, and return the breaker after it.

        A probe that loses its update was too late: another process has written since its lease
        expired. From then on it is a call like any other. Such a call changes a closed breaker
        only: while the breaker is open, the result of a probe counts, not that of a call that began
        before.
        """
        requested_wait = timedelta(seconds=error.retry_after or 0)
        policy = self._gates.policy
        before = probe or await self.look(again=True)
        for _ in range(TRIES):
            if before.is_open and not probe:
                break
            now = await self._gates.time()
            after = before.failed(_stamp(), bot_id, str(error), now, policy, requested_wait)
            if after is before:
                break
            if await self._apply(before, after):
                self._tell(before, after)
                return after
            probe, before = None, await self.look(again=True)
        return before

    async def _answered(self, probe: Breaker | None, reads: bool) -> None:
        """Close an open breaker, or forget a failure. If that cannot be written, or another process
        was first, the run goes on, and the next answer tries again.
        """
        before = probe or self._known
        if not probe and (before.is_open or not before.failed_bot or reads):
            return
        try:
            done = await self._apply(before, before.closed(_stamp()))
        except TransientError as trouble:
            log.warning("breaker: an answer is not recorded", host=self.host, reason=str(trouble))
            return
        if done and before.is_open:
            log.info("breaker: closed", host=self.host)

    async def _apply(self, before: Breaker, after: Breaker) -> bool:
        """Write `after`, with a few retries. Raises `StoreUnavailable` when all of them fail."""
        store = self._gates.store
        done = await self._gates.retry.call(lambda: store.apply(before, after))
        if done:
            self._keep(after)
        else:
            self._fresh_until = float("-inf")
        return done

    def _keep(self, breaker: Breaker) -> None:
        self._known = breaker
        self._fresh_until = self._clock.monotonic() + KEEP_SECONDS

    def _tell(self, before: Breaker, after: Breaker) -> None:
        """Log that the breaker is open, and alert if this update opened it: only one process writes
        the update that opens it, so there is one alert.
        """
        if not after.is_open:
            return
        log.warning("breaker: open", host=self.host, reason=after.why, trips=after.trips)
        if not before.is_open and self._gates.alerts:
            kind, service = AlertKind.BREAKER_OPEN, self._gates.service
            self._gates.alerts.tell(Alert(kind, service, self.host, self.host))

    def _suspended(
        self, until: datetime, now: datetime, breaker: Breaker, *, has_called: bool
    ) -> Parked:
        why = f"the breaker of {self.host} is open, because calls failed ({breaker.why})"
        return self._parked((until - now).total_seconds(), why, has_called=has_called)

    def _parked(self, seconds: float, why: str, *, has_called: bool = False) -> Parked:
        """Built from a duration, because the database's clock and this process's may differ."""
        return Parked(self._clock.now() + timedelta(seconds=seconds), why, has_called=has_called)


def _stamp() -> str:
    return secrets.token_hex(8)
