"""The cron client: check that recovery is ready, start a sweep and, on request, wait for its end.

A sweep needs the database only, so the client asks for one even when recovery is not ready; the
exit code then says so.

Prints a line for each step on standard output, and one for a problem on standard error. The exit
codes are the interface to the scheduler, which alerts on all but 0.
"""

import asyncio
import re
import sys
from enum import IntEnum
from typing import Final, Literal

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from deletion.adapters.unproxied import unproxied
from deletion.clock import Clock, SystemClock
from deletion.ids import OBJECT_ID_PATTERN
from deletion.sweep import PATH

CALL_SECONDS: Final = 10.0
"""How long one request may take, but never longer than the whole call has left."""
POLL_SECONDS: Final = 1.0
"""Seconds between two polls of a sweep."""

_AWAY = {
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
}
_ELSEWHERE = {
    httpx.codes.NOT_FOUND,
    httpx.codes.METHOD_NOT_ALLOWED,
    httpx.codes.UNPROCESSABLE_ENTITY,
}
"""What something else answers, or recovery when the URL has more than its address."""
_REFUSED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


class Exit(IntEnum):
    """How a call ended."""

    OK = 0  # recovery is ready and the sweep runs; with --wait: it is complete
    SWEEP_FAILED = 1  # the sweep ended before it had looked at every job
    USAGE = 2  # the URL or the token cannot be used at all
    UNHEALTHY = 3  # recovery cannot be reached, or is not ready, whether it sweeps or not
    REFUSED = 4  # the credential is not accepted
    UNEXPECTED = 5  # an answer that recovery does not give: is it the right URL?
    TIMED_OUT = 6  # with --wait: the sweep did not end in time; it may go on


class Sweep(BaseModel):
    """The fields of an answer that are read; those that a later recovery adds are ignored."""

    sweep_id: str = Field(pattern=OBJECT_ID_PATTERN)
    status: Literal["running", "complete", "failed"]
    resumed: int
    exhausted: int
    skipped: int
    error: str | None = None


class Stopped(Exception):
    """Ends the call, with its exit code and the line that says why."""

    def __init__(self, code: Exit, why: str) -> None:
        super().__init__(why)
        self.code = code


async def recover(
    url: str,
    token: SecretStr,
    *,
    wait: bool,
    timeout_seconds: float,
    clock: Clock | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> int:
    """Make one call of the cron job to recovery at `url`. Returns a code of `Exit`.

    All of it takes at most about `timeout_seconds`. A sweep that is already running is joined.
    Neither output nor errors show the token.
    """
    try:
        _check(url, token)
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        async with unproxied(base_url=url, headers=headers, transport=transport) as http:
            await Call(http, clock or SystemClock(), timeout_seconds).run(wait=wait)
    except Stopped as stopped:
        print(f"recover: {stopped}", file=sys.stderr)
        return stopped.code
    return Exit.OK


class Call:
    """One call over `http`, which has the address of recovery and the credential."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock, timeout_seconds: float) -> None:
        self._http = http
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._started_at = clock.monotonic()

    async def run(self, *, wait: bool) -> None:
        """Check health, start a sweep and, with `wait`, wait for its end.

        Raises `Stopped` on a problem; if recovery is not ready, only after the sweep.
        """
        unready = await self._unready()
        sweep = await self._start()
        if wait:
            sweep = await self._end_of(sweep)
        if sweep.status == "failed":
            raise Stopped(Exit.SWEEP_FAILED, f"the sweep failed: {sweep.error}")
        if unready:
            raise unready

    @property
    def _left(self) -> float:
        """Seconds until the whole call is over."""
        return self._started_at + self._timeout_seconds - self._clock.monotonic()

    async def _unready(self) -> Stopped | None:
        """Why recovery is not ready, or None. Raises `Stopped` when something else answers."""
        try:
            answer = await self._request("GET", "/readyz")
            if answer.status_code == httpx.codes.OK:
                print(f"healthy: {self._http.base_url}")
                return None
            unready = _unexpected(answer, self._http.base_url)
        except Stopped as silent:  # a slow readiness check must not prevent the sweep
            unready = silent
        if unready.code is not Exit.UNHEALTHY:
            raise unready
        print(f"recover: {unready}; asking for a sweep all the same", file=sys.stderr)
        return unready

    async def _start(self) -> Sweep:
        answer = await self._request("POST", PATH)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise _unexpected(answer, self._http.base_url)
        return _shown(answer)

    async def _end_of(self, sweep: Sweep) -> Sweep:
        """Poll until the sweep has ended, even if recovery is unreachable for a moment.

        Raises `Stopped` when the time is over: because of the last poll, if it got no answer.
        """
        away: Stopped | None = None
        while sweep.status == "running":
            if self._left <= POLL_SECONDS:
                late = f"the sweep has not ended within {self._timeout_seconds:g} s"
                raise away or Stopped(Exit.TIMED_OUT, late)
            await self._clock.sleep(POLL_SECONDS)
            try:
                sweep, away = await self._look(sweep), None
            except Stopped as stopped:
                if stopped.code is not Exit.UNHEALTHY:
                    raise
                print(f"recover: {stopped}; asking again", file=sys.stderr)
                away = stopped
        return sweep

    async def _look(self, sweep: Sweep) -> Sweep:
        answer = await self._request("GET", f"{PATH}/{sweep.sweep_id}")
        if answer.status_code != httpx.codes.OK:
            raise _unexpected(answer, self._http.base_url)
        return _shown(answer)

    async def _request(self, method: str, path: str) -> httpx.Response:
        try:
            seconds = max(0.1, min(CALL_SECONDS, self._left))
            async with asyncio.timeout(seconds):  # httpx's own is for each read
                return await self._http.request(method, path, timeout=seconds)
        except (httpx.RequestError, TimeoutError) as error:  # its text may quote what was sent
            failed = f"{method} {path} failed ({type(error).__name__})"
            why = f"{failed}; is recovery at {self._http.base_url}?"
            raise Stopped(Exit.UNHEALTHY, why) from None


def _check(url: str, token: SecretStr) -> None:
    """Refuse what cannot be requested: the error of such a request could quote the token."""
    try:
        asked = httpx.URL(url)
    except httpx.InvalidURL:
        asked = httpx.URL()
    usable = asked.scheme in {"http", "https"} and asked.host
    if not usable or asked.userinfo or asked.query or asked.fragment:
        raise Stopped(Exit.USAGE, "--url: expected http(s)://HOST[:PORT][/PATH], and no more")
    if asked.path.rstrip("/").endswith(PATH):
        raise Stopped(Exit.USAGE, f"--url: expected the address of recovery without {PATH}")
    if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
        raise Stopped(Exit.USAGE, "BOTDEL_RECOVERY_TOKEN: expected visible ASCII characters only")


def _unexpected(answer: httpx.Response, url: httpx.URL) -> Stopped:
    """The exit for an answer other than the expected one, to a request of recovery at `url`."""
    asked = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
    if answer.status_code in _REFUSED:
        return Stopped(Exit.REFUSED, f"{asked}, the token is not accepted")
    if answer.status_code in _AWAY:
        return Stopped(Exit.UNHEALTHY, f"{asked}, recovery cannot work now{_detail(answer)}")
    unexpected = f"{asked}, which was not expected{_detail(answer)}"
    if answer.status_code in _ELSEWHERE:
        unexpected += f"; is recovery at {url}?"
    return Stopped(Exit.UNEXPECTED, unexpected)


def _detail(answer: httpx.Response) -> str:
    """The `detail` of a problem, on one line; empty for any other answer."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {' '.join(str(detail).split())[:500]}"


def _shown(answer: httpx.Response) -> Sweep:
    """Return the sweep in an answer, and print it."""
    try:
        sweep = Sweep.model_validate_json(answer.content)
    except ValidationError:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise Stopped(Exit.UNEXPECTED, f"{asked}: the answer is not a sweep") from None
    print(
        f"sweep {sweep.sweep_id} {sweep.status}: resumed {sweep.resumed}, "
        f"exhausted {sweep.exhausted}, skipped {sweep.skipped}"
    )
    return sweep
