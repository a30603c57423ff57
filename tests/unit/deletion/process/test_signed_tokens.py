"""Signed tokens: each refusal is logged with its reason, however early it is found."""

from base64 import urlsafe_b64encode

import pytest
from structlog.typing import EventDict

from deletion.process.signed_tokens import (
    MOST_CHARACTERS,
    REFUSED,
    SAME_SECONDS,
    SignedTokens,
)
from deletion.process.signing_keys import Published, SigningKeys
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.virtual_time

SECRET = "hunter22"
JUNK = "ValueError"
"""The reason that is logged for a signature that no key has made."""


def tokens_of(clock: VirtualClock) -> SignedTokens:
    async def fetch() -> Published:
        return Published({"k1": "no key"})

    keys = SigningKeys("the signer", "", clock, fetch)
    return SignedTokens(keys, clock, algorithm="RS256", issuers=("issuer",), audience="audience")


def token(header: str) -> str:
    parts = (header, f'{{"sub": "{SECRET}"}}', SECRET)
    return ".".join(urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (SECRET * MOST_CHARACTERS, "length"),
        (SECRET, "not decodable"),
        (token("[]"), "not decodable"),
        (token('{"alg": "HS256", "kid": "k1"}'), "algorithm"),
        (token('{"alg": "RS256"}'), "no key id"),
        (token('{"alg": "RS256", "kid": 7}'), "no key id"),
    ],
)
async def test_a_token_that_is_no_token_of_the_signer_is_logged_and_not_shown(
    refused: str, reason: str, logs: list[EventDict]
) -> None:
    assert await tokens_of(VirtualClock()).claims(refused) is None
    assert [(entry["event"], entry["reason"]) for entry in logs] == [(REFUSED, reason)]
    assert SECRET not in str(logs)


async def test_strangers_cannot_fill_the_log(logs: list[EventDict]) -> None:
    """Such a token needs no key, so anybody can send many of them."""
    clock = VirtualClock()
    tokens = tokens_of(clock)
    for _ in range(100):
        await tokens.claims(SECRET)
        await tokens.claims(token("{}"))
        await tokens.claims(token('{"alg": "RS256", "kid": "k1"}'))
    assert [entry["reason"] for entry in logs] == ["not decodable", "algorithm", JUNK]
    await clock.sleep(SAME_SECONDS)
    await tokens.claims(SECRET)
    assert [entry["reason"] for entry in logs[3:]] == ["not decodable"]
