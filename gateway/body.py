"""A request for deletion needs no body. One that comes is read within limits and dropped."""

import asyncio
from http import HTTPStatus
from typing import Final

from fastapi import Request

from deletion.process.problems import Problem

MAX_BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 5.0
"""How long a body may take."""


async def discard_body(request: Request) -> None:
    """Read the body to its end and keep none of it.

    Raises a 413 problem as soon as the body is known to exceed `MAX_BODY_BYTES`, declared or
    chunked, and a 408 problem when it has not ended within `BODY_SECONDS`.
    """
    headers = request.headers
    length = headers.get("content-length", "0")
    if length == "0" and "transfer-encoding" not in headers:
        return
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await _discard(request)
    except TimeoutError:
        detail = f"the body did not end within {BODY_SECONDS:g} s; none is needed"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail) from None


async def _discard(request: Request) -> None:
    size, more = 0, True
    while more:
        message = await request.receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size > MAX_BODY_BYTES:
            raise _too_large()


def _too_large() -> Problem:
    detail = f"request body exceeds {MAX_BODY_BYTES} bytes; send none"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
