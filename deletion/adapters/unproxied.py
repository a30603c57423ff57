"""An HTTP client without proxies: for what is secret, and for servers on this machine."""

import ssl
from functools import cache
from typing import Any

import httpx


def unproxied(**options: Any) -> httpx.AsyncClient:
    """`httpx.AsyncClient(**options)` without the proxies that the environment names, which would
    get to see tokens and secret URLs. Certificates are verified.
    """
    return httpx.AsyncClient(trust_env=False, verify=_trust(), **options)


@cache
def _trust() -> ssl.SSLContext:
    """Cached, because creating it reads all certificates of the system."""
    return ssl.create_default_context()
