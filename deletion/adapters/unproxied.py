"""The HTTP client for secrets, and for servers on this machine: without proxies, and without
connections that their server may be closing.
"""

import ssl
from functools import cache
from typing import Any, Final

import httpx

IDLE_SECONDS: Final = 2.0
"""How long an unused connection is kept. Many servers, ours too, close one after 5 s, and a request
that is sent at that moment fails. It happens with httpx's default, which is 5 s as well."""
_LIMITS: Final = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=IDLE_SECONDS
)
"""The numbers of connections are httpx's defaults."""


def unproxied(**options: Any) -> httpx.AsyncClient:
    """`httpx.AsyncClient(**options)` without the proxies that the environment names, which would
    see tokens and secret URLs. Certificates are verified, and an unused connection is closed
    after `IDLE_SECONDS`.
    """
    return httpx.AsyncClient(trust_env=False, verify=_trust(), limits=_LIMITS, **options)


@cache
def _trust() -> ssl.SSLContext:
    """Cached, because creating it reads all certificates of the system."""
    return ssl.create_default_context()
