"""An HTTP client without proxies: for what is secret, and for servers on this machine."""

import ssl
from functools import cache
from typing import Any, Final

import httpx

IDLE_SECONDS: Final = 2.0
"""How long an unused connection is kept. Servers close theirs after 5 s or more, and a request that
is sent at that moment fails: httpx keeps connections for 5 s too."""
_LIMITS: Final = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=IDLE_SECONDS
)
"""Of connections no more than httpx opens and keeps if it is not given any limits."""


def unproxied(**options: Any) -> httpx.AsyncClient:
    """`httpx.AsyncClient(**options)` without the proxies that the environment names, which would
    get to see tokens and secret URLs. Certificates are verified, and an unused connection is closed
    after `IDLE_SECONDS`.
    """
    return httpx.AsyncClient(trust_env=False, verify=_trust(), limits=_LIMITS, **options)


@cache
def _trust() -> ssl.SSLContext:
    """Cached, because creating it reads all certificates of the system."""
    return ssl.create_default_context()
