"""`botdel healthcheck`: requests a probe from the process that runs in the same container.

For orchestrators that check health by running a command in the container, such as Docker. It needs
neither a shell nor curl, which an image should not have.
"""

import asyncio
import json
import re
import sys
from contextlib import suppress
from typing import Final

import httpx

from deletion.adapters.unproxied import unproxied
from deletion.errors import SettingsError
from deletion.process.run import FAILED, escaped

READ_BYTES: Final = 4_096
"""How much of an answer is read, at most: enough for the detail of a problem."""
SHOWN_CHARACTERS: Final = 500
HOST: Final = re.compile(r"[\w.:-]+", re.ASCII)


async def healthcheck(host: str, port: int, path: str, timeout_seconds: float) -> int:
    """Return 0 if the answer to `GET path` is 200, otherwise 1, and print the answer.

    The whole call takes at most about `timeout_seconds`. Raises `SettingsError` if `host` or `path`
    cannot be part of a URL. The connection is plain HTTP: no process of the pipeline serves TLS.
    """
    url = _url(host, port, path)
    try:
        async with asyncio.timeout(timeout_seconds):  # httpx's own is for each read
            status, body = await _answer(url, timeout_seconds)
    except TimeoutError:
        return _unhealthy(f"{url}: no answer within {timeout_seconds:g} s")
    except httpx.RequestError as error:
        return _unhealthy(f"{url}: no answer ({type(error).__name__})")
    if status != httpx.codes.OK:
        return _unhealthy(f"{url}: {status}{_detail(body)}")
    print(f"{status}: {url}")
    return 0


def _url(host: str, port: int, path: str) -> str:
    if not path.startswith("/") or path.startswith("//"):
        raise SettingsError("--path: expected a path such as /healthz")
    if not HOST.fullmatch(host):
        raise SettingsError("--host: expected a name or an address")
    return str(httpx.URL(scheme="http", host=host, port=port, path=path))


async def _answer(url: str, seconds: float) -> tuple[int, bytes]:
    """Return the status, and at most `READ_BYTES` of the body."""
    async with unproxied(timeout=seconds) as http, http.stream("GET", url) as answer:
        body = b""
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) >= READ_BYTES:
                break
        return answer.status_code, body[:READ_BYTES]


def _unhealthy(why: str) -> int:
    print(escaped(f"healthcheck: {why}"), file=sys.stderr)
    return FAILED


def _detail(body: bytes) -> str:
    """The `detail` of a problem, or the text of any other answer; empty for an empty body."""
    text = body.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):  # no problem document: shown as it is
        text = str(json.loads(text)["detail"])
    return f": {' '.join(text.split())[:SHOWN_CHARACTERS]}" if text else ""
