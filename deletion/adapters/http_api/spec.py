"""The `http` kind of step in a plan file: `http: {method, url, headers, gone, verify, …}`."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from deletion.adapters.http_api.client import host_of
from deletion.adapters.http_api.endpoint import Endpoint
from deletion.adapters.http_api.step import HttpStep
from deletion.adapters.http_api.verified_step import VerifiedHttpStep
from deletion.adapters.spec import StepConnections, Strict, is_loopback
from deletion.gate import Gates
from deletion.ids import BOT_ID

LONGEST_URL: Final = 2000
LONGEST_CALL: Final = 10.0
"""Seconds: no call of a run may take longer, see `LeasePolicy.call_seconds`."""
OURS: Final = frozenset(
    {"connection", "content-length", "host", "idempotency-key", "te", "transfer-encoding"}
)
"""Headers that the step or the connection sets itself."""
GONE: Final = (404, 410)
NOT_GONE: Final = frozenset({401, 403, 408, 425, 429})
"""Statuses that concern the caller or the moment, not the bot."""
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_VISIBLE: Final = re.compile(r"[!-~]+")


def checked_url(secret: SecretStr) -> SecretStr:
    """Return the URL. Raises `ValueError`, which never quotes it, if it is not allowed.

    It has to be https (http on loopback is allowed too), without user name and fragment, and have
    `{bot_id}` in its path or query.
    """
    text = secret.get_secret_value()
    if not _VISIBLE.fullmatch(text) or len(text) > LONGEST_URL:
        raise ValueError(f"expected a URL of at most {LONGEST_URL} visible ASCII characters")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        httpx.URL(text.replace(BOT_ID, "0" * 24))
    except (ValueError, httpx.InvalidURL):
        raise ValueError("expected https://HOST[:PORT]/PATH") from None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("expected https://HOST[:PORT]/PATH")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("expected https://, plain http:// is for loopback addresses only")
    if "@" in parts.netloc:
        raise ValueError("expected no user name in it, credentials go into `headers`")
    if parts.fragment:
        raise ValueError("expected no #fragment, which is never sent")
    if BOT_ID not in parts.path + parts.query:
        raise ValueError(
            f"expected {BOT_ID} in its path or query, or the call would name no bot, or all"
        )
    if re.search(r"[{}]", text.replace(BOT_ID, "")) or BOT_ID in parts.netloc:
        raise ValueError(f"expected {BOT_ID} in its path or query, and no other braces")
    return secret


def checked_headers(headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Return the headers. Raises `ValueError`, which names a header but never quotes a value."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError("expected header names made of letters, digits and -")
        if name.lower() in OURS:
            raise ValueError(f"expected no header {name}, which the step sets itself")
        if not _VALUE.fullmatch(value.get_secret_value()):
            raise ValueError(f"expected visible ASCII characters as the value of {name}")
    return headers


def checked_gone(gone: tuple[int, ...]) -> tuple[int, ...]:
    """Return the statuses. Raises `ValueError` for one that does not say that the bot is gone."""
    if wrong := NOT_GONE.intersection(gone):
        raise ValueError(f"expected statuses that mean that the bot is gone, not {min(wrong)}")
    return gone


Method = Literal["DELETE", "POST", "PUT", "PATCH"]
Url = Annotated[SecretStr, AfterValidator(checked_url)]
Headers = Annotated[dict[str, SecretStr], AfterValidator(checked_headers)]
Gone = Annotated[
    tuple[Annotated[int, Field(ge=400, le=499)], ...],
    Field(strict=False),
    AfterValidator(checked_gone),
]


class VerifySpec(Strict):
    """The call that reads back. Without `headers` it sends the step's, if the host is the same."""

    url: Url
    method: Literal["GET", "HEAD"] = "GET"
    headers: Headers | None = None
    gone: Gone = GONE


class HttpSpec(Strict):
    """One call for each bot."""

    url: Url
    method: Method = "DELETE"
    headers: Headers = Field(default_factory=dict)
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_CALL)] = 5.0
    gone: Gone = GONE
    verify: VerifySpec | None = None
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 2
    done_within_seconds: Annotated[float, Field(ge=1, le=30 * 86_400)] = 3600.0

    def build(self, name: str, connections: StepConnections) -> HttpStep:
        """The step; no call is made yet."""
        http = connections.http
        call = self._endpoint(self.method, self.url, self.headers, self.gone, http.gates)
        verify = None
        if self.verify:
            there = self.verify
            same = _host(there.url) == call.gate.host
            headers = there.headers if there.headers is not None or not same else self.headers
            verify = self._endpoint(there.method, there.url, headers or {}, there.gone, http.gates)
        kind = VerifiedHttpStep if verify else HttpStep
        return kind(
            name,
            call,
            verify,
            http.client,
            http.clock,
            min(self.timeout_seconds, connections.call_seconds),
            timedelta(seconds=self.done_within_seconds),
        )

    def _endpoint(
        self,
        method: str,
        url: SecretStr,
        headers: Mapping[str, SecretStr],
        gone: Iterable[int],
        gates: Gates,
    ) -> Endpoint:
        shown = {name: value.get_secret_value() for name, value in headers.items()}
        gate = gates.to(_host(url), self.concurrency)
        return Endpoint(method, url.get_secret_value(), shown, frozenset(gone), gate)


class UndoSpec(HttpSpec):
    """A call that undoes another one. Its method has no default.

    With DELETE as the default, a forgotten `method` would delete what the call should restore.
    """

    method: Method

    @model_validator(mode="before")
    @classmethod
    def _default_gone(cls, given: object) -> object:
        """Default `gone` to none unless the method is DELETE.

        If a DELETE finds nothing there, it is done. If another method does, nothing was undone.
        """
        if not isinstance(given, Mapping) or given.get("method") == "DELETE":
            return given
        return {"gone": (), **given}


def _host(url: SecretStr) -> str:
    return host_of(httpx.URL(url.get_secret_value().replace(BOT_ID, "0" * 24)))
