"""Checks the circuit breakers: which external APIs are not called because calls to them fail."""

from datetime import datetime
from typing import Final

from botdel.doctor.findings import failed, ok, warning
from deletion.breaker import Breaker, BreakerStore
from deletion.clock import rfc3339
from deletion.doctor import Finding

BREAKERS: Final = "breakers"
REMEDY: Final = (
    "make the API answer; the jobs wait as pending and continue by themselves: see "
    "docs/runbooks/open_breaker.md"
)
UNREADABLE: Final = "its record cannot be read, so it counts as closed"
REPLACED: Final = (
    "nothing for now: the next failed call replaces it; if this comes back, find out what else "
    "writes to the collection `breakers`"
)


async def breaker_findings(store: BreakerStore) -> list[Finding]:
    """Return a finding for each breaker that is open or unreadable, or one if there is none."""
    found = [
        breaker_finding(breaker, await store.time()) for breaker in await store.open_breakers()
    ]
    found += [warning(_label(host), UNREADABLE, REPLACED) for host in await store.damaged()]
    return found or [ok(BREAKERS, "no breaker is open")]


def breaker_finding(breaker: Breaker, now: datetime) -> Finding:
    """Fail while calls must wait; warn once the host may be probed but no job has done so."""
    check, since = _label(breaker.host), breaker.opened_at or now
    detail = f"open since {rfc3339(since)}, because calls failed ({breaker.why})"
    until = breaker.next_probe_at
    if until and now < until:
        return failed(check, f"{detail}; the host is tried again at {rfc3339(until)}", REMEDY)
    idle = "the next job that calls it tries it again"
    return warning(check, f"{detail}; {idle}", REMEDY)


def _label(host: str) -> str:
    return f"breaker of {host}"
