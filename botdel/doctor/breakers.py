"""Check of the circuit breakers: which external APIs are not called, because their calls fail."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from botdel.doctor.findings import Finding, failed, ok, warning
from deletion.breaker import Breaker, BreakerStore
from deletion.clock import rfc3339

BREAKERS: Final = "breakers"
REMEDY: Final = (
    "see that the API answers; the jobs wait as pending, and go on by themselves: "
    "docs/runbooks/open_breaker.md"
)


async def breaker_findings(store: BreakerStore) -> list[Finding]:
    """One finding for each open breaker, or one that none is."""
    opened = await store.opened()
    if not opened:
        return [ok(BREAKERS, "no external API is suspended")]
    return [breaker_finding(breaker, await store.time()) for breaker in opened]


def breaker_finding(breaker: Breaker, now: datetime) -> Finding:
    """Failed while calls wait; a warning once the host may be tried again, and nobody has."""
    check, since = f"breaker of {breaker.host}", breaker.opened_at or now
    detail = f"open since {rfc3339(since)}, because calls failed ({breaker.why})"
    until = _waits_until(breaker)
    if until and now < until:
        return failed(check, f"{detail}; the host is tried again at {rfc3339(until)}", REMEDY)
    idle = "it is tried again by the next job that calls it"
    return warning(check, f"{detail}; {idle}", REMEDY)


def _waits_until(breaker: Breaker) -> datetime | None:
    times: Sequence[datetime | None] = (breaker.retry_at, breaker.probe_until)
    return max((time for time in times if time), default=None)
