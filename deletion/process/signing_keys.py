"""The public keys with which somebody else signs tokens, fetched from where they are published."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import httpx
import structlog

from deletion.clock import Clock
from deletion.errors import BotDeletionError

KEPT_SECONDS: Final = 3600.0
AGAIN_SECONDS: Final = 60.0
"""How long to wait before the keys are fetched again for an unknown key, or after a failure."""
FETCH_SECONDS: Final = 5.0
MOST_KEY_BYTES: Final = 256 * 1024

Keys = Mapping[str, str]
"""Public keys or certificates in PEM format by their ids."""

log = structlog.get_logger(__name__)


class KeysUnavailable(BotDeletionError):
    """The public keys of a signer cannot be fetched, so no token of it can be verified."""


class SigningKeys:
    """The keys of `signer`, as errors call it, that are published at `url`.

    They are fetched at most once an hour, and at most once a minute for a key that is not known.
    """

    def __init__(
        self,
        signer: str,
        url: str,
        clock: Clock,
        fetch: Callable[[], Awaitable[Keys]] | None = None,
    ) -> None:
        self._signer = signer
        self._clock = clock
        self._fetch = fetch or partial(fetched, url)
        self._keys: Keys = {}
        self._fetched_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def with_key(self, key_id: str) -> Keys:
        """The keys, fetched again if they are old, or if `key_id` is not among them.

        Raises `KeysUnavailable` while there are none.
        """
        async with self._one_at_a_time:
            kept = KEPT_SECONDS if key_id in self._keys else AGAIN_SECONDS
            if self._clock.monotonic() - self._fetched_at >= kept:
                await self._refresh()
            if not self._keys:
                raise KeysUnavailable(f"the public keys of {self._signer} cannot be fetched")
            return self._keys

    async def _refresh(self) -> None:
        """Fetch the keys. After a failure the old ones go on being used."""
        self._fetched_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = await self._fetch()
        except (httpx.HTTPError, ValueError, TimeoutError) as error:
            reason = type(error).__name__
            log.error("public keys not fetched", signer=self._signer, reason=reason)


async def fetched(url: str) -> Keys:
    """Fetch the keys. Raises `httpx.HTTPError`, and `ValueError` for what are no keys."""
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as http,
        http.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MOST_KEY_BYTES:
                raise ValueError("the public keys are too large")
    keys = json.loads(body)
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise ValueError("expected a JSON object of keys")
    return keys
