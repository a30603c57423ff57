"""Check of the circuit breakers: which external APIs are not called, because their calls fail."""

from datetime import datetime
from typing import Final

from botdel.doctor.findings import Finding, failed, ok, warning
from deletion.breaker import Breaker, BreakerStore
from deletion.clock import rfc3339

BREAKERS: Final = "breakers"
REMEDY: Final = (
    "make the API answer; the jobs wait as pending and continue by themselves: see "
    "docs/runbooks/open_breaker.md"
)


async def breaker_findings(store: BreakerStore) -> list[Finding]:
    """One finding for each open breaker, or one that none is."""
    opened = await store.opened()
    if not opened:
        return [ok(BREAKERS, "no breaker is open")]
    return [breaker_finding(breaker, await store.time()) for breaker in opened]


def breaker_finding(breaker: Breaker, now: datetime) -> Finding:
    """Failed while calls wait; a warning once the host may be tried again, and nobody has."""
    check, since = f"breaker of {breaker.host}", breaker.opened_at or now
    detail = f"open since {rfc3339(since)}, because calls failed ({breaker.why})"
    until = breaker.tried_again_at
    if until and now < until:
        return failed(check, f"{detail}; the host is tried again at {rfc3339(until)}", REMEDY)
    idle = "it is tried again by the next job that calls it"
    return warning(check, f"{detail}; {idle}", REMEDY)
