"""The HTTP client for secrets, and for servers on this machine: without proxies, and without
connections that their server may be closing.
"""

import ssl
from functools import cache
from typing import Any, Final

import httpx

IDLE_SECONDS: Final = 1.0
"""How long an unused connection may be used again. A request that is sent while its server closes
the connection fails, so this is less than servers wait: ours 5 s, which is httpx's default too, and
gunicorn 2 s."""
_LIMITS: Final = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=IDLE_SECONDS
)
"""The numbers of connections are httpx's defaults."""


def unproxied(**options: Any) -> httpx.AsyncClient:
    """`httpx.AsyncClient(**options)` without the proxies that the environment names, which would
    see tokens and secret URLs. Certificates are verified, and a connection that was unused for
    `IDLE_SECONDS` is not used again.
    """
    return httpx.AsyncClient(trust_env=False, verify=trust(), limits=_LIMITS, **options)


@cache
def trust() -> ssl.SSLContext:
    """Whom clients trust. Cached, because it reads all certificates of the system."""
    return ssl.create_default_context()
