"""Forms of the pages, read within limits: anybody may send one to the log-in."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.requests import ClientDisconnect

from deletion.process.problems import Problem

MAX_FORM_BYTES: Final = 64 * 1024
MAX_DIGITS: Final = 10
"""Python refuses to read a number of thousands of digits."""
MAX_FIELDS: Final = 2000
"""A list of 1,000 ids, and what comes with it."""
FORM_SECONDS: Final = 5.0
"""How long a form may take."""
FORM_TYPE: Final = "application/x-www-form-urlencoded"

Form = Mapping[str, list[str]]
"""The values of each field, in order."""


def declared_too_large(headers: Mapping[str, str]) -> bool:
    """Whether a request declares a body above `MAX_FORM_BYTES`, or a length that is no number."""
    length = headers.get("content-length", "0")
    return not length.isdecimal() or len(length) > MAX_DIGITS or int(length) > MAX_FORM_BYTES


async def read_form(request: Request, most: int = MAX_FORM_BYTES) -> Form:
    """Read a form of at most `most` bytes.

    Raises a problem: 415 for what is no form, 413 for one that is too large, 408 for one that does
    not end in time, and 400 for one that cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {FORM_TYPE}")
    try:
        async with asyncio.timeout(FORM_SECONDS):
            body = await _read(request, most)
    except TimeoutError:
        detail = f"the form did not end within {FORM_SECONDS:g} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    except ClientDisconnect:  # nobody reads the answer
        raise Problem(HTTPStatus.BAD_REQUEST, "the form does not end") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            detail = f"the form exceeds {most} bytes"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    return bytes(body)
