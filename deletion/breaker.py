"""The circuit breaker of a remote host: its state, its transitions, and the port that keeps it.

    closed ── calls fail for two bots ──▶ open ── `retry_at` has come ──▶ half open: one probe
       ▲                                   ▲                                 │          │
       │                                   └──── it fails: twice as long ────┘          │
       └───────────────────────────────────────────────────────── it succeeds ──────────┘

Half open is not stored: it is an open breaker whose time has come. All replicas share one record,
and each transition is one update of it, guarded by `stamp`. A probe is a lease: if its process
dies, another process may probe once the lease has expired. Every time in it is the database's, so
that the clocks of the replicas do not matter (docs/decisions/0031).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from deletion.clock import Clock

LONGEST_WHY: Final = 200
"""Characters that the record keeps of why a call failed."""
HEAD_START: Final = timedelta(minutes=5)
"""By how much other bots come before the one whose call failed last, at most."""
_MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It opens when calls fail for two different bots within `window` and none succeeds in between: a
    bot alone may be the reason itself. The window is longer than a run retries in place, because a
    consumer with one slot gets to the second bot only after that. It is open for `first`, twice as
    long after each failed probe, at most `longest`; or as long as the host asks for with
    `Retry-After`, at most `longest_asked`.
    """

    window: timedelta = timedelta(minutes=15)
    first: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(minutes=5)
    longest_asked: timedelta = timedelta(days=1)

    def open_for(self, trips: int, asked: timedelta) -> timedelta:
        """How long it stays open after it has opened `trips` times in a row."""
        doubled = self.first * int(2 ** min(trips - 1, _MAX_DOUBLINGS))
        own = min(max(self.longest, self.first), doubled)
        return max(own, min(asked, self.longest_asked))


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one host.

    `stamp` is unique to each write. `failed_bot` is the bot whose call failed last, at `failed_at`.
    `trips` counts how often it has opened in a row, 0 while it is closed. While it is open,
    `opened_at` is since when, `retry_at` is when the host may be tried again, and `probe_until` is
    when the lease of the probe under way expires.
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
        """Whether calls wait; half open counts as open."""
        return self.trips > 0

    @property
    def tried_again_at(self) -> datetime | None:
        """When the next probe is due, once the one under way has had its time; None while closed.

        The bot whose call failed last waits longer: see `waits_until`.
        """
        times = [time for time in (self.retry_at, self.probe_until) if time]
        return max(times, default=None)

    def waits_until(self, bot_id: str, now: datetime) -> datetime | None:
        """Until when `bot_id` must not be called for; None when a call may be made.

        In an open breaker that call is the probe. The bot whose call failed last waits twice as
        long: if it is the reason itself, the probe of another bot closes the breaker before.
        """
        if self.retry_at is None or self.failed_at is None:
            return None
        if self.probe_until and now < self.probe_until:
            return self.probe_until
        head_start = min(self.retry_at - self.failed_at, HEAD_START)
        until = self.retry_at + (head_start if bot_id == self.failed_bot else timedelta(0))
        return until if now < until else None

    def probing(self, stamp: str, now: datetime, lease: timedelta) -> "Breaker":
        """With a probe under way, which has `lease` to succeed or fail."""
        return replace(self, stamp=stamp, probe_until=now + lease)

    def failed(
        self,
        stamp: str,
        bot_id: str,
        why: str,
        now: datetime,
        policy: BreakerPolicy,
        asked: timedelta = timedelta(0),
    ) -> "Breaker":
        """After a call for `bot_id` has failed: the probe, if it is open. `asked` is what the host
        asked for with `Retry-After`. Returns `self` when there is nothing to record.
        """
        if not self.is_open and not self._is_second(bot_id, now, policy):
            known = bot_id == self.failed_bot and self._failed_within(policy.window / 2, now)
            noted = Breaker(self.host, stamp, bot_id, now, why[:LONGEST_WHY])
            return self if known else noted
        trips = self.trips + 1
        return Breaker(
            self.host,
            stamp,
            bot_id,
            now,
            why[:LONGEST_WHY],
            trips,
            opened_at=self.opened_at or now,
            retry_at=now + policy.open_for(trips, asked),
        )

    def closed(self, stamp: str) -> "Breaker":
        """After a call that the host has answered."""
        return Breaker(self.host, stamp)

    def _is_second(self, bot_id: str, now: datetime, policy: BreakerPolicy) -> bool:
        return self.failed_bot not in ("", bot_id) and self._failed_within(policy.window, now)

    def _failed_within(self, period: timedelta, now: datetime) -> bool:
        return self.failed_at is not None and now - self.failed_at < period


class BreakerStore(Protocol):
    """Keeps one `Breaker` for each host. Every method raises `StoreUnavailable` when the database
    does not answer.
    """

    async def get(self, host: str) -> Breaker:
        """The breaker of `host`; a closed one when there is none, or none that can be read."""

    async def apply(self, before: Breaker, after: Breaker) -> bool:
        """Write `after` if the record still has the stamp of `before`, or is still absent.

        Returns whether `after` is what is stored now, so that a call whose answer was lost can be
        repeated. Of concurrent calls with one `before` exactly one returns True.
        """

    async def time(self) -> datetime:
        """The database's clock, UTC."""

    async def opened(self) -> Sequence[Breaker]:
        """The open ones, in the order of their hosts."""

    async def damaged(self) -> Sequence[str]:
        """The hosts whose record cannot be read, in their order; the next failure replaces it."""


class LocalBreakerStore:
    """A `BreakerStore` of one process alone. No await inside a method: each is atomic."""

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

    async def opened(self) -> Sequence[Breaker]:
        """See the port."""
        return [breaker for _, breaker in sorted(self.breakers.items()) if breaker.is_open]

    async def damaged(self) -> Sequence[str]:
        """See the port. None: the records are objects."""
        return []
