"""One POST of JSON to an address that is a credential: bounded, without redirects."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import httpx
from pydantic import SecretStr

from deletion.errors import PermanentError, TransientError

_MAY_PASS: Final = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}


def json_bytes(body: Mapping[str, object]) -> bytes:
    """The bytes that are posted, UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


async def post(
    http: httpx.AsyncClient,
    url: SecretStr,
    content: bytes,
    *,
    seconds: float,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Return once the receiver has answered that it succeeded, within `seconds`.

    Raises `TransientError` if another try may succeed, and `PermanentError` for an answer that
    another try would not change; the POST may have arrived anyway. No error quotes the URL, and
    redirects are not followed.
    """
    sent = {"Content-Type": "application/json", **(headers or {})}
    try:
        async with (
            asyncio.timeout(seconds),  # httpx's own is for each read
            http.stream("POST", url.get_secret_value(), content=content, headers=sent) as answer,
        ):
            status = answer.status_code  # the body is not read
    except (httpx.TransportError, TimeoutError) as error:
        raise TransientError(type(error).__name__) from None
    if status in _MAY_PASS or httpx.codes.is_server_error(status):
        raise TransientError(f"answered {status}")
    if not httpx.codes.is_success(status):
        raise PermanentError(f"answered {status}")
