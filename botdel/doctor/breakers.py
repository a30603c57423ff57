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

UNREADABLE: Final = "its record cannot be read, so it is taken for closed"
REPLACED: Final = (
    "nothing: the next call that fails replaces it; if it comes back, find out what else writes to "
    "the collection `breakers`"
)


async def breaker_findings(store: BreakerStore) -> list[Finding]:
    """One finding for each breaker that is open or cannot be read, or one that none is."""
    found = [breaker_finding(breaker, await store.time()) for breaker in await store.opened()]
    found += [warning(_check(host), UNREADABLE, REPLACED) for host in await store.damaged()]
    return found or [ok(BREAKERS, "no breaker is open")]


def breaker_finding(breaker: Breaker, now: datetime) -> Finding:
    """Failed while calls wait; a warning once the host may be tried again, and nobody has."""
    check, since = _check(breaker.host), breaker.opened_at or now
    detail = f"open since {rfc3339(since)}, because calls failed ({breaker.why})"
    until = breaker.tried_again_at
    if until and now < until:
        return failed(check, f"{detail}; the host is tried again at {rfc3339(until)}", REMEDY)
    idle = "it is tried again by the next job that calls it"
    return warning(check, f"{detail}; {idle}", REMEDY)


def _check(host: str) -> str:
    return f"breaker of {host}"
