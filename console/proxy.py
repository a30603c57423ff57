"""An identity-aware proxy: names the user in a header that it signs.

https://cloud.google.com/iap/docs/signed-headers-howto. The header is verified with the public keys
of the proxy, which are fetched at most once an hour, and at most once a minute for a key that is
not known yet.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import httpx
import structlog
from google.auth import exceptions, jwt

from console.users import User, Users
from deletion.clock import Clock
from deletion.errors import BotDeletionError

HEADER: Final = "x-goog-iap-jwt-assertion"
ISSUER: Final = "https://cloud.google.com/iap"
KEYS: Final = "https://www.gstatic.com/iap/verify/public_key"
ALGORITHM: Final = "ES256"
KEPT_SECONDS: Final = 3600.0
AGAIN_SECONDS: Final = 60.0
"""How long to wait before the keys are fetched again for an unknown key, or after a failure."""
FETCH_SECONDS: Final = 5.0
MOST_KEY_BYTES: Final = 256 * 1024
MOST_ASSERTION_CHARACTERS: Final = 8192
SKEW_SECONDS: Final = 30
"""By how much the clocks of the proxy and of this machine may differ."""

Keys = Mapping[str, str]
"""Public keys in PEM format by their ids."""

log = structlog.get_logger(__name__)


class KeysUnavailable(BotDeletionError):
    """The public keys of the proxy cannot be fetched, so nobody can be verified."""


class Proxy:
    """Verifies the header of the proxy for `audience`, and finds the user by the e-mail address."""

    def __init__(
        self,
        users: Users,
        audience: str,
        clock: Clock,
        fetch: Callable[[], Awaitable[Keys]] | None = None,
    ) -> None:
        self._users = users
        self._audience = audience
        self._clock = clock
        self._fetch = fetch or fetched
        self._keys: Keys = {}
        self._fetched_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def user(self, assertion: str) -> User | None:
        """The user whom the proxy names, or None for an assertion that is not valid, or a person
        who is no user. Raises `KeysUnavailable`.
        """
        key_id = _key_id(assertion)
        if key_id is None:
            return None
        keys = await self._keys_with(key_id)
        try:
            claims = jwt.decode(  # type: ignore[no-untyped-call]
                assertion, dict(keys), audience=self._audience, clock_skew_in_seconds=SKEW_SECONDS
            )
        except (exceptions.GoogleAuthError, ValueError, TypeError, KeyError) as error:
            log.warning("assertion of the proxy refused", reason=type(error).__name__)
            return None
        email = claims.get("email")
        if claims.get("iss") != ISSUER or not isinstance(email, str):
            return None
        return self._users.named(email)

    async def _keys_with(self, key_id: str) -> Keys:
        """The keys, fetched again if they are old, or if `key_id` is not among them.

        Raises `KeysUnavailable` while there are none.
        """
        async with self._one_at_a_time:
            kept = KEPT_SECONDS if key_id in self._keys else AGAIN_SECONDS
            if self._clock.monotonic() - self._fetched_at >= kept:
                await self._refresh()
            if not self._keys:
                raise KeysUnavailable("the public keys of the proxy cannot be fetched")
            return self._keys

    async def _refresh(self) -> None:
        """Fetch the keys. After a failure the old ones go on being used."""
        self._fetched_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = await self._fetch()
        except (httpx.HTTPError, ValueError, TimeoutError) as error:
            log.error("keys of the proxy not fetched", reason=type(error).__name__)


def _key_id(assertion: str) -> str | None:
    """The id of the key that signed it, or None if it is no assertion of a proxy."""
    if len(assertion) > MOST_ASSERTION_CHARACTERS:
        return None
    try:
        header = jwt.decode_header(assertion)  # type: ignore[no-untyped-call]
    except (exceptions.GoogleAuthError, ValueError, TypeError, RecursionError):
        return None
    key_id = header.get("kid")
    return key_id if header.get("alg") == ALGORITHM and isinstance(key_id, str) else None


async def fetched() -> Keys:
    """Fetch the keys. Raises `httpx.HTTPError`, and `ValueError` for what are no keys."""
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as http,
        http.stream("GET", KEYS) as answer,
    ):
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MOST_KEY_BYTES:
                raise ValueError("the keys of the proxy are too large")
    keys = json.loads(body)
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise ValueError("expected a JSON object of keys")
    return keys
