"""OIDC tokens of service accounts, which Google signs, beside recovery's own token.

The endpoint is asked over parts in memory; the certificates come over HTTP from a host of the test.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from structlog.typing import EventDict

from deletion.process.problems import PROBLEM
from deletion.process.signing_keys import AGAIN_SECONDS, KEPT_SECONDS, SigningKeys
from deletion.process.tokens import BearerTokens
from recovery.app import create_app
from recovery.identities import BEARER, Identities
from recovery.metrics import Metrics
from tests.support.api import Api
from tests.support.clock import VirtualClock
from tests.support.signing import AUDIENCE, EMAIL, Google, SettableClock, encoded
from tests.unit.recovery.sweeping import Started, World

TOKEN = "a-token-that-is-long-enough"
SWEEPS = "/v1/recovery/sweeps"
GOOGLE = Google()
"""Making a key takes a while. What is changed of it is changed back by `asked`."""


@dataclass
class Asked:
    http: httpx.AsyncClient
    host: Api
    clock: SettableClock
    started: Started

    async def with_token(self, token: str) -> httpx.Response:
        """The answer to a start."""
        return await self.http.post(SWEEPS, headers={"Authorization": f"Bearer {token}"})

    async def status(self, token: str) -> int:
        """That of the answer."""
        return (await self.with_token(token)).status_code


@pytest_asyncio.fixture
async def asked() -> AsyncIterator[Asked]:
    GOOGLE.is_away, GOOGLE.delay = False, 0.0
    clock = SettableClock()
    started = Started(World(clock=cast("VirtualClock", clock)))  # sockets need real time

    async def ready() -> None:
        return None

    async with GOOGLE.host() as host:
        keys = SigningKeys("Google", host.url, clock)
        identities = Identities(keys, AUDIENCE, [EMAIL], clock)
        app = create_app(
            started.sweeps,
            BearerTokens([SecretStr(TOKEN)], identities, BEARER),
            registry=Metrics().registry,
            ready=ready,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://recovery") as http:
            yield Asked(http, host, clock, started)
    await started.sweeps.close(0.01)


@pytest.mark.proves("recovery-callers")
@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
async def test_an_account_that_may_call_starts_a_sweep(asked: Asked, issuer: str) -> None:
    assert await asked.status(GOOGLE.token(iss=issuer)) == 202
    assert await asked.status(GOOGLE.token()) == 202
    assert len(asked.host.calls) == 1, "certificates are kept"


def seconds_now() -> int:
    return int(datetime.now(UTC).timestamp())


def wrong(now: int) -> dict[str, dict[str, Any]]:
    """Claims for which a token is refused, `now` in seconds since 1970."""
    return {
        "for another audience": {"aud": "https://other.example.org"},
        "for this audience and another": {"aud": [AUDIENCE, "https://other.example.org"]},
        "for no audience": {"aud": None},
        "expired": {"iat": now - 3600, "exp": now - 60},
        "of the future": {"iat": now + 120, "exp": now + 3000},
        "not valid yet": {"nbf": now + 120},
        "valid from a text": {"nbf": "soon"},
        "valid from a list": {"nbf": [now]},
        "good for years": {"exp": now + 100_000_000},
        "good since years": {"iat": now - 100_000_000},
        "good for ever": {"exp": float("inf")},
        "good until nobody knows": {"exp": float("nan")},
        "of a truth as a time": {"iat": True},
        "of a text as a time": {"exp": str(now + 60)},
        "of no issue": {"iat": None},
        "without an end": {"exp": None},
        "of another issuer": {"iss": "https://accounts.example.org"},
        "of no issuer": {"iss": None},
        "of issuers": {"iss": ["https://accounts.google.com"]},
        "of a stranger": {"email": "stranger@example.iam.gserviceaccount.com"},
        "of an address in capitals": {"email": EMAIL.upper()},
        "of two addresses": {"email": [EMAIL]},
        "without an address": {"email": None},
        "of an address that is not verified": {"email_verified": False},
        "of an address that nobody calls verified": {"email_verified": None},
        "of an address verified by a text": {"email_verified": "true"},
        "of an address verified by a number": {"email_verified": 1},
    }


async def is_refused(asked: Asked, token: str) -> bool:
    answer = await asked.with_token(token)
    assert answer.headers["content-type"] == PROBLEM
    assert token not in answer.text
    assert answer.headers.get("www-authenticate", "").startswith("Bearer")
    assert asked.started.world.sweeps.sweeps == {}
    return answer.status_code == 401


@pytest.mark.proves("recovery-callers")
@pytest.mark.parametrize("what", wrong(0))
async def test_a_token_is_refused_that_is(asked: Asked, what: str) -> None:
    assert await is_refused(asked, GOOGLE.token(**wrong(seconds_now())[what]))


def signed_otherwise(header: dict[str, object], signature: bytes | None = None) -> str:
    """The good token with another header; signed with the certificate as a secret by default."""
    _, claims, _ = GOOGLE.token().split(".")
    signed = f"{encoded(json.dumps(header).encode())}.{claims}"
    secret = digest(GOOGLE.certificate.encode(), signed.encode(), sha256)
    return f"{signed}.{encoded(secret if signature is None else signature)}"


def with_claims_of(other: dict[str, Any]) -> str:
    """The good token with other claims, under its own signature."""
    header, _, signature = GOOGLE.token().split(".")
    return f"{header}.{encoded(json.dumps(other).encode())}.{signature}"


def said() -> dict[str, Any]:
    claims = GOOGLE.token().split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(claims + "=="))
    return found


HEADER = GOOGLE.token().split(".")[0]
FORGED = {
    "no algorithm": signed_otherwise({"alg": "none", "kid": "k1"}, b""),
    "no algorithm, in capitals": signed_otherwise({"alg": "NONE", "kid": "k1"}, b""),
    "the certificate as a secret": signed_otherwise({"alg": "HS256", "kid": "k1"}),
    "another algorithm": signed_otherwise({"alg": "ES256", "kid": "k1"}),
    "a list of algorithms": signed_otherwise({"alg": ["RS256"], "kid": "k1"}),
    "no signature": signed_otherwise({"alg": "RS256", "kid": "k1"}, b""),
    "a key of its own": Google().token(),
    "another key": Google().token("k2"),
    "no name of a key": GOOGLE.token(None),
    "a list as a key": signed_otherwise({"alg": "RS256", "kid": ["k1"]}),
    "a longer life": with_claims_of(said() | {"exp": seconds_now() + 3000}),
    "a list of claims": ".".join([HEADER, encoded(b"[]"), "c2ln"]),
    "lists in lists": ".".join([encoded(b"[" * 5000), "e30", "c2ln"]),
    "lists in lists as claims": GOOGLE.token().split(".")[0] + "." + encoded(b"[" * 5000) + ".c2ln",
    "an endless number": with_claims_of({}).replace(
        "e30", encoded(b'{"exp":' + b"9" * 5000 + b"}")
    ),
    "a part too few": ".".join(GOOGLE.token().split(".")[:2]),
    "a part too many": GOOGLE.token() + ".c2ln",
    "garbage": "x",
    "no base64": "a.b.c",
    "dots": "..",
    "too long": "x" * 9000,
    "too long, and good": GOOGLE.token(filler="x" * 9000),
    "huge": "x." * 500_000,
}


@pytest.mark.proves("recovery-callers")
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_token_is_refused_with(asked: Asked, forged: str) -> None:
    assert await is_refused(asked, forged)


NO_TOKENS = {
    "no algorithm": signed_otherwise({"alg": "none", "kid": "unknown"}, b""),
    "a shared secret": signed_otherwise({"alg": "HS256", "kid": "unknown"}),
    "another algorithm": signed_otherwise({"alg": "ES256", "kid": "unknown"}),
    "garbage": "garbage",
    "a long one": GOOGLE.token("unknown", filler="x" * 9000),
}


@pytest.mark.proves("signed-tokens-bounded")
@pytest.mark.parametrize("token", NO_TOKENS.values(), ids=NO_TOKENS.keys())
async def test_no_certificate_is_fetched_for(asked: Asked, token: str) -> None:
    assert await is_refused(asked, token)
    assert asked.host.calls == []


async def test_a_token_that_is_no_text_is_refused(asked: Asked) -> None:
    headers = [(b"Authorization", b"Bearer \xff\xfe.\xe9.\xe9")]
    answer = await asked.http.post(SWEEPS, headers=headers)
    assert answer.status_code == 401


async def test_without_accounts_a_signed_token_means_nothing(asked: Asked) -> None:
    app = create_app(
        asked.started.sweeps,
        BearerTokens([SecretStr(TOKEN)]),
        registry=Metrics().registry,
        ready=lambda: None,  # type: ignore[arg-type,return-value]
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://recovery"
    ) as http:
        headers = {"Authorization": f"Bearer {GOOGLE.token()}"}
        assert (await http.post(SWEEPS, headers=headers)).status_code == 401
    assert asked.host.calls == []


async def test_the_document_names_both_credentials(asked: Asked) -> None:
    document = (await asked.http.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["bearer"]["description"] == BEARER
    names = ("TOKEN", "OIDC_AUDIENCE", "OIDC_EMAILS")
    assert all(f"`BOTDEL_RECOVERY_{name}`" in BEARER for name in names)


@pytest.mark.proves("recovery-callers")
async def test_recoverys_own_token_works_while_google_is_away(asked: Asked) -> None:
    GOOGLE.is_away = True
    answer = await asked.with_token(GOOGLE.token())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, f"{AGAIN_SECONDS:g}")
    assert "Google" in answer.json()["detail"]
    assert await asked.status(TOKEN) == 202
    assert await asked.status("another-token") == 401
    assert len(asked.host.calls) == 1
    GOOGLE.is_away = False
    asked.clock.ahead += AGAIN_SECONDS
    assert await asked.status(GOOGLE.token()) == 202


async def test_tokens_of_strangers_cost_one_fetch_a_minute(asked: Asked) -> None:
    assert await asked.status(GOOGLE.token()) == 202
    for number in range(20):
        assert await asked.status(GOOGLE.token(f"unknown-{number}")) == 401
    assert len(asked.host.calls) == 1
    asked.clock.ahead += AGAIN_SECONDS
    for number in range(20):
        assert await asked.status(GOOGLE.token(f"unknown-{number}")) == 401
    assert len(asked.host.calls) == 2


async def test_accounts_of_strangers_cannot_fill_the_log(
    asked: Asked, logs: list[EventDict]
) -> None:
    """Google signs a token for any audience, for everybody with an account."""
    for _ in range(50):
        assert await asked.status(GOOGLE.token(email="anybody@example.org")) == 401
    assert [entry["reason"] for entry in logs if "reason" in entry] == ["address"]


async def test_a_certificate_host_that_hangs_keeps_no_known_account_waiting(asked: Asked) -> None:
    assert await asked.status(GOOGLE.token()) == 202
    GOOGLE.delay = 60.0
    asked.clock.ahead += 2 * KEPT_SECONDS
    assert await asked.status(GOOGLE.token()) == 202
    assert await asked.status(TOKEN) == 202
