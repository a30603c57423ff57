"""The circuit breaker of a remote host: its state, its transitions, and the port that keeps it.

    closed ── calls fail for two bots ──▶ open ── `retry_at` has come ──▶ half open: one probe
       ▲                                   ▲                                 │          │
       │                                   └──── it fails: twice as long ────┘          │
       └───────────────────────────────────────────────────────── it succeeds ──────────┘

Half open is not stored: it is an open breaker whose `retry_at` has passed. All replicas share one
record, and each transition is one update guarded by `stamp`. A probe holds a lease: if its process
dies, another process may probe once the lease has expired. All times come from the database's
clock, so the clocks of the replicas do not matter (docs/decisions/0031).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from deletion.clock import Clock

LONGEST_WHY: Final = 200
"""Longest reason for a failed call that the record keeps, in characters."""
HEAD_START: Final = timedelta(minutes=5)
"""Longest extra wait for the bot whose call failed last, so that another bot probes first."""
_MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It opens when calls fail for two different bots within `window` with no success in between: if
    they fail for one bot only, that bot may be the cause. The window is longer than a run retries
    in place, because a consumer with one slot reaches the second bot only after that. The breaker
    stays open for `first`, then twice as long after each failed probe, up to `longest`. If the host
    asks for a longer wait with `Retry-After`, it stays open for that long, up to
    `longest_requested`.
    """

    window: timedelta = timedelta(minutes=15)
    first: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(minutes=5)
    longest_requested: timedelta = timedelta(days=1)

    def open_for(self, trips: int, requested_wait: timedelta) -> timedelta:
        """How long it stays open after it has opened `trips` times in a row, at least for the
        `requested_wait` of the host.
        """
        doubled = self.first * int(2 ** min(trips - 1, _MAX_DOUBLINGS))
        own = min(max(self.longest, self.first), doubled)
        return max(own, min(requested_wait, self.longest_requested))


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one host.

    `stamp` is unique to each write. `failed_bot` is the bot whose call failed last, at `failed_at`
    and for the reason `why`. `trips` counts how many times in a row the breaker has opened, 0 while
    it is closed. An open breaker has been open since `opened_at`, and the host may be tried again
    at `retry_at`. During a probe, `probe_until` is when the probe's lease expires.
    """

    host: str
    stamp: str = ""
    failed_bot: str = ""
    failed_at: datetime | None = None
    why: str = ""
    trips: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    probe_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are suspended; half open counts as open."""
        return self.trips > 0

    @property
    def next_probe_at(self) -> datetime | None:
        """When the next probe is due: after the lease of the current one. None while closed.

        The bot whose call failed last waits longer: see `waits_until`.
        """
        times = [time for time in (self.retry_at, self.probe_until) if time]
        return max(times, default=None)

    def waits_until(self, bot_id: str, now: datetime) -> datetime | None:
        """When a call for `bot_id` may be made; None when it may be made now.

        If the breaker is open, that call is the probe. The bot whose call failed last waits up to
        twice as long: if that bot is the cause, a probe for another bot closes the breaker first.
        """
        if self.retry_at is None or self.failed_at is None:
            return None
        if self.probe_until and now < self.probe_until:
            return self.probe_until
        head_start = min(self.retry_at - self.failed_at, HEAD_START)
        until = self.retry_at + (head_start if bot_id == self.failed_bot else timedelta(0))
        return until if now < until else None

    def probing(self, stamp: str, now: datetime, lease: timedelta) -> "Breaker":
        """The breaker with a probe under way, which must end within `lease`."""
        return replace(self, stamp=stamp, probe_until=now + lease)

    def failed(
        self,
        stamp: str,
        bot_id: str,
        why: str,
        now: datetime,
        policy: BreakerPolicy,
        requested_wait: timedelta = timedelta(0),
    ) -> "Breaker":
        """The breaker after a failed call for `bot_id`; if it was open, that call was the probe.

        `requested_wait` is how long the host asked to wait with `Retry-After`. Returns `self` when
        there is nothing to record.
        """
        if not self.is_open and not self._is_second(bot_id, now, policy):
            # half the window: `failed_at` stays recent without a write for every failure
            if bot_id == self.failed_bot and self._failed_within(policy.window / 2, now):
                return self
            return Breaker(self.host, stamp, bot_id, now, why[:LONGEST_WHY])
        trips = self.trips + 1
        return Breaker(
            self.host,
            stamp,
            bot_id,
            now,
            why[:LONGEST_WHY],
            trips,
            opened_at=self.opened_at or now,
            retry_at=now + policy.open_for(trips, requested_wait),
        )

    def closed(self, stamp: str) -> "Breaker":
        """The breaker after a call that the host answered."""
        return Breaker(self.host, stamp)

    def _is_second(self, bot_id: str, now: datetime, policy: BreakerPolicy) -> bool:
        """Whether `bot_id` is the second bot whose call has failed within the window."""
        return self.failed_bot not in ("", bot_id) and self._failed_within(policy.window, now)

    def _failed_within(self, period: timedelta, now: datetime) -> bool:
        return self.failed_at is not None and now - self.failed_at < period


class BreakerStore(Protocol):
    """Keeps one `Breaker` for each host. Every method raises `StoreUnavailable` when the database
    does not answer.
    """

    async def get(self, host: str) -> Breaker:
        """The breaker of `host`; a closed one if it has no record, or one that cannot be read."""

    async def apply(self, before: Breaker, after: Breaker) -> bool:
        """Write `after` if the record still has the stamp of `before`, or is still absent.

        Returns whether `after` is stored now, so that a call whose answer was lost can be repeated.
        Of concurrent calls with the same `before`, exactly one returns True.
        """

    async def time(self) -> datetime:
        """The database's clock, UTC."""

    async def open_breakers(self) -> Sequence[Breaker]:
        """The open breakers, sorted by host."""

    async def damaged(self) -> Sequence[str]:
        """The hosts whose record cannot be read, sorted; the next failure replaces the record."""


class LocalBreakerStore:
    """A `BreakerStore` for a single process. No method awaits anything, so each is atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.breakers: dict[str, Breaker] = {}

    async def get(self, host: str) -> Breaker:
        """See the port."""
        return self.breakers.get(host, Breaker(host))

    async def apply(self, before: Breaker, after: Breaker) -> bool:
        """See the port."""
        stored = self.breakers.get(after.host, Breaker(after.host))
        if stored.stamp == before.stamp:
            self.breakers[after.host] = after
            return True
        return stored.stamp == after.stamp

    async def time(self) -> datetime:
        """See the port."""
        return self._clock.now()

    async def open_breakers(self) -> Sequence[Breaker]:
        """See the port."""
        return [breaker for _, breaker in sorted(self.breakers.items()) if breaker.is_open]

    async def damaged(self) -> Sequence[str]:
        """See the port. Always empty: these records are objects."""
        return []
