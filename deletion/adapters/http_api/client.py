"""HTTP calls, bounded in time and bytes, and restricted to one host.

Errors name only method, host and status: a URL, a header or a body may hold secrets, or the id of a
bot.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from deletion.adapters.unproxied import IDLE_SECONDS, trust
from deletion.clock import Clock
from deletion.errors import HttpRefused, HttpUnavailable

MOST_BYTES: Final = 65_536
"""The most bytes of a body that are read; then the connection is closed."""
MOST_REDIRECTS: Final = 3
LONGEST_LOCATION: Final = 2000
"""Characters of a `Location`, which a checkpoint may have to keep."""
MAY_PASS: Final = frozenset({408, 425, 429})
"""Statuses that may pass, besides 5xx: RFC 9110 section 15.5.9, RFC 8470 section 5.2, RFC 6585
section 4."""
REDIRECTS: Final = frozenset({301, 302, 307, 308})
"""Each keeps the method. After 301 and 302 a client may only change POST to GET, and this one does
not (RFC 9110, section 15.4). 303 asks for another request, so it is left to the caller."""
LOCATED: Final = REDIRECTS | {202}
"""Statuses whose `Location` is used."""
LONGEST_RETRY_AFTER: Final = 86_400.0
"""Seconds; a host that asks for more is tried after a day."""
ALWAYS: Final = {"Accept": "*/*", "User-Agent": "botdel"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a host.

    `location` is absolute and on the same host, `retry_after` is in seconds.
    """

    status: int
    location: str | None = None
    retry_after: float | None = None


class HttpClient:
    """The connections of one process, opened on first use. `close` them at the end."""

    def __init__(self, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._clock = clock
        self._transport = transport

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Make one call within `seconds`, following redirects on the same host.

        Raises `HttpUnavailable` when there is no answer, or one that may pass (5xx and `MAY_PASS`),
        and `HttpRefused` for a redirect that is not followed.
        """
        asked = httpx.URL(url)
        what = f"{method} {host_of(asked)}"
        try:
            async with asyncio.timeout(seconds):
                for _ in range(MOST_REDIRECTS + 1):
                    answer = await self._once(method, asked, headers, what)
                    if answer.status not in REDIRECTS or answer.location is None:
                        return answer
                    asked = httpx.URL(answer.location)
        except TimeoutError:
            raise HttpUnavailable(f"{what} did not answer within {seconds:g} s") from None
        except httpx.TransportError as error:  # its text may quote what was sent
            raise HttpUnavailable(f"{what} failed ({type(error).__name__})") from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise HttpRefused(f"{what} failed ({type(error).__name__})") from None
        raise HttpRefused(f"{what} redirects more than {MOST_REDIRECTS} times")

    async def close(self) -> None:
        """Close the connections."""
        if self._transport:
            await self._transport.aclose()

    async def _once(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], what: str
    ) -> Answer:
        """Send one request without httpx's client, which keeps cookies and handles redirects."""
        sent = httpx.Headers(ALWAYS)
        sent.update(headers)
        request = httpx.Request(method, url, headers=sent)
        response = await self._connections().handle_async_request(request)
        try:
            status = response.status_code
            retry_after = self._retry_after(response.headers)
            if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in MAY_PASS:
                raise HttpUnavailable(f"{what} answered {status}", retry_after=retry_after)
            location = response.headers.get("Location") if status in LOCATED else None
            answer = Answer(status, location and _joined(url, location, what), retry_after)
            await _read(response)
        finally:
            await response.aclose()
        return answer

    def _connections(self) -> httpx.AsyncBaseTransport:
        if self._transport is None:
            self._transport = httpx.AsyncHTTPTransport(
                verify=trust(),
                trust_env=False,  # a proxy would get to see the secrets
                limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
            )
        return self._transport

    def _retry_after(self, headers: httpx.Headers) -> float | None:
        """The wait that `Retry-After` asks for, in seconds; None if it is not valid.

        A date is compared with the `Date` of the answer if it has one, because clocks differ (RFC
        9110, section 10.2.3).
        """
        value = headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), LONGEST_RETRY_AFTER)
        until = _date(value)
        now = _date(headers.get("Date", "")) or self._clock.now()
        seconds = (until - now).total_seconds() if until else None
        return None if seconds is None else min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def host_of(url: httpx.URL) -> str:
    """The host in lower case, and the port unless it is the scheme's default."""
    return url.host if url.port is None else f"{url.host}:{url.port}"


def same_origin(one: str, other: str) -> bool:
    """Whether both URLs have the same scheme, host and port."""
    return _origin(httpx.URL(one)) == _origin(httpx.URL(other))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _joined(base: httpx.URL, location: str, what: str) -> str:
    """`location` as an absolute URL. Raises `HttpRefused` unless it is on the host of `base`."""
    if len(location) > LONGEST_LOCATION:
        raise HttpRefused(f"{what} names a Location of more than {LONGEST_LOCATION} characters")
    try:
        joined = base.join(location)
    except httpx.InvalidURL:
        raise HttpRefused(f"{what} names a Location that is not a URL") from None
    if _origin(joined) != _origin(base) or joined.userinfo:
        raise HttpRefused(f"{what} names a Location on another host, which is not followed")
    return str(joined.copy_with(fragment=None))


async def _read(response: httpx.Response) -> None:
    """Read a short body to its end, so that the connection can be used again."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MOST_BYTES:
            return


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else None
