"""Public keys that verify the tokens of another signer, fetched from where they are published."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
import structlog

from deletion.clock import Clock
from deletion.errors import BotDeletionError

KEPT_SECONDS: Final = 3600.0
"""How long keys are fresh if the answer does not say."""
AGAIN_SECONDS: Final = 60.0
"""How long to wait before the keys are fetched again for an unknown key, or after a failure."""
USED_SECONDS: Final = 86_400.0
"""How long keys are used while no newer ones can be fetched, and the longest they are fresh."""
FETCH_SECONDS: Final = 5.0
MOST_KEY_BYTES: Final = 256 * 1024

Keys = Mapping[str, str]
"""Public keys or certificates in PEM format by their ids."""

log = structlog.get_logger(__name__)
_max_age = re.compile(r"(?:^|,)\s*max-age=([0-9]{1,9})\s*(?:,|$)", re.IGNORECASE).search


class KeysUnavailable(BotDeletionError):
    """The key of a token may exist, but cannot be fetched, so the token cannot be verified."""


@dataclass(frozen=True, slots=True)
class Published:
    """The keys that a signer uses now, and for how many seconds they are fresh."""

    keys: Keys
    fresh_seconds: float = KEPT_SECONDS


class SigningKeys:
    """The keys of a signer, published at `url`. Errors name it by `signer`.

    A token with a known key never waits: keys that are no longer fresh are fetched in the
    background. All tokens with an unknown key wait for the same fetch, for at most
    `FETCH_SECONDS`. There is at most one fetch in `AGAIN_SECONDS`, however many tokens are sent.
    """

    def __init__(
        self,
        signer: str,
        url: str,
        clock: Clock,
        fetch: Callable[[], Awaitable[Published]] | None = None,
    ) -> None:
        self._signer = signer
        self._monotonic = clock.monotonic
        self._fetch = fetch or partial(fetched, url)
        self._published = Published({})
        self._fetched_at = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def with_key(self, key_id: str) -> Keys:
        """Return the keys, with `key_id` among them if it is published.

        Raises `KeysUnavailable` if it is unknown and the last fetch failed.
        """
        if key_id not in self._usable():
            await self._one_fetch()
        elif self._age() >= self._published.fresh_seconds:
            self._begin()
        keys = self._usable()
        if key_id not in keys and self._asked_at > self._fetched_at:
            raise KeysUnavailable(f"the public keys of {self._signer} cannot be fetched")
        return keys

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _usable(self) -> Keys:
        return self._published.keys if self._age() < USED_SECONDS else {}

    async def _one_fetch(self) -> None:
        """Wait for the fetch under way, or for a new one if that is due."""
        self._begin()
        if self._fetching:
            await asyncio.shield(self._fetching)  # a client that hangs up does not end it

    def _begin(self) -> None:
        """Start a fetch, unless one is under way or has just been made."""
        if self._fetching is None and self._monotonic() - self._asked_at >= AGAIN_SECONDS:
            self._asked_at = self._monotonic()
            self._fetching = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        """Fetch the keys. After a failure the old ones stay in use."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._published = await self._fetch()
            self._fetched_at = self._asked_at
        except Exception as error:  # noqa: BLE001 - also a proxy that the environment names wrongly
            reason = type(error).__name__
            log.error("public keys not fetched", signer=self._signer, reason=reason)
        finally:
            self._fetching = None


async def fetched(url: str) -> Published:
    """Fetch the keys. Raises whatever error prevents that."""
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as http,
        http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_raw():  # not inflated: a few bytes could become many
            body += piece
            if len(body) > MOST_KEY_BYTES:
                raise ValueError("the public keys are too large")
    return Published(_keys(json.loads(body)), _fresh_seconds(answer.headers))


def _keys(found: object) -> Keys:
    """Return the keys. Raises `ValueError` if `found` are none."""
    if not isinstance(found, dict) or not found:
        raise ValueError("expected a JSON object of keys")
    if not all(isinstance(key, str) for key in found.values()):
        raise ValueError("expected keys in PEM format")
    return found


def _fresh_seconds(headers: Mapping[str, str]) -> float:
    """The freshness lifetime less the age (RFC 9111, 4.2), at least a minute and at most a day."""
    found = _max_age(headers.get("cache-control", ""))
    if not found:
        return KEPT_SECONDS
    age = headers.get("age", "")
    seconds = int(found[1]) - (int(age) if re.fullmatch("[0-9]{1,9}", age) else 0)
    return min(max(float(seconds), AGAIN_SECONDS), USED_SECONDS)
