"""An identity-aware proxy: whom its signed header names, and who is refused."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from google.auth import jwt
from google.auth.crypt import EsSigner
from pydantic import SecretStr
from structlog.typing import EventDict

from console.proxy import HEADER, ISSUER, Proxy, tokens_of_proxy
from console.users import Role, User, Users
from deletion.process.signing_keys import Published, SigningKeys
from tests.support.clock import VirtualClock
from tests.support.visiting import OWN_PAGE, VIEWER, visiting

pytestmark = pytest.mark.virtual_time

AUDIENCE = "/projects/1/global/backendServices/2"
EMAIL = "Otto.Operator@example.org"
OTTO = User("otto.operator@example.org", Role.OPERATOR, SecretStr("the-token-of-otto-himself"))
USERS = Users([OTTO, VIEWER])


class Google:
    """The keys of the proxy, and assertions signed with them."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        public = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        self.keys: Mapping[str, str] = {"k1": public.decode()}
        self.is_away = False

    async def fetch(self) -> Published:
        if self.is_away:
            raise httpx.ConnectError("away")
        return Published(self.keys)

    def assertion(self, key_id: str = "k1", **claims: Any) -> str:
        pem = self.private.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        signer = EsSigner.from_string(pem.decode(), key_id)
        now = int(datetime.now(UTC).timestamp())
        content = {"iss": ISSUER, "aud": AUDIENCE, "email": EMAIL, "iat": now - 5, "exp": now + 60}
        signed = jwt.encode(signer, content | claims)  # type: ignore[no-untyped-call]
        return str(signed.decode())


def proxy_of(google: Google) -> Proxy:
    clock = VirtualClock()
    keys = SigningKeys("the proxy", "", clock, google.fetch)
    return Proxy(USERS, tokens_of_proxy(AUDIENCE, keys, clock))


async def test_the_person_whom_the_proxy_names_is_the_user_of_that_address() -> None:
    google = Google()
    assert await proxy_of(google).user(google.assertion()) == OTTO


NOW = int(datetime.now(UTC).timestamp())
WRONG: dict[str, dict[str, Any]] = {
    "of another console": {"aud": "/projects/1/global/backendServices/3"},
    "of another issuer": {"iss": "https://evil.example"},
    "of another kind of issuer": {"iss": [ISSUER]},
    "expired": {"exp": NOW - 3600},
    "good for years": {"exp": NOW + 100_000_000},
    "of the future": {"iat": NOW + 3600},
    "for nobody": {"email": None},
    "for a stranger": {"email": "stranger@example.org"},
    "without an address": {"email": ["otto.operator@example.org"]},
}


@pytest.mark.proves("console-access")
@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG.keys())
async def test_an_assertion_is_refused_that_is(claims: dict[str, Any]) -> None:
    google = Google()
    assert await proxy_of(google).user(google.assertion(**claims)) is None


def unsigned(header: dict[str, object]) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "email": EMAIL, "iat": NOW, "exp": NOW + 60}
    parts = [urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, claims)]
    return b".".join([*parts, b"c2ln"]).decode()


FORGED = {
    "no algorithm": unsigned({"alg": "none", "kid": "k1"}),
    "a key that is public": unsigned({"alg": "HS256", "kid": "k1"}),
    "another algorithm": unsigned({"alg": "RS256", "kid": "k1"}),
    "no signature": unsigned({"alg": "ES256", "kid": "k1"}),
    "no key": unsigned({"alg": "ES256"}),
    "a list as a key": unsigned({"alg": "ES256", "kid": ["k1"]}),
    "nothing": "",
    "no token": "a.b.c",
    "too long": "x" * 9000,
    "no ASCII": "é.é.é",
    "lists in lists": ".".join([urlsafe_b64encode(b"[" * 6000).decode(), "e30", "c2ln"]),
}


@pytest.mark.proves("console-access")
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_assertion_is_refused_with(forged: str) -> None:
    assert await proxy_of(Google()).user(forged) is None


async def test_strangers_cannot_fill_the_log(logs: list[EventDict]) -> None:
    """A client that reaches the console past the proxy can send any header at any rate."""
    proxy, other = proxy_of(Google()), Google()
    for _ in range(20):
        await proxy.user(unsigned({"alg": "ES256", "kid": "k1"}))
        await proxy.user(other.assertion())
    assert len(logs) == len({entry["reason"] for entry in logs})


async def test_an_assertion_of_another_key_is_refused() -> None:
    google, other = Google(), Google()
    assert await proxy_of(google).user(other.assertion()) is None


async def test_while_the_keys_cannot_be_fetched_a_visitor_is_told_to_come_back() -> None:
    google = Google()
    google.is_away = True
    async with visiting(users=[OTTO], proxy=proxy_of(google)) as visited:
        answer = await visited.http.get("/nothing", headers={HEADER: google.assertion()})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


async def test_a_proxied_visitor_acts_only_from_a_page_of_the_console() -> None:
    google = Google()
    async with visiting(users=[OTTO], proxy=proxy_of(google)) as visited:
        headers = {HEADER: google.assertion()}
        assert (await visited.http.get("/nothing", headers=headers)).status_code == 404
        assert (await visited.http.post("/nothing", headers=headers)).status_code == 403
        assert (await visited.http.post("/nothing", headers=headers | OWN_PAGE)).status_code == 404


async def test_without_an_audience_the_header_means_nothing() -> None:
    google = Google()
    async with visiting(users=[OTTO]) as visited:
        answer = await visited.http.get("/nothing", headers={HEADER: google.assertion()})
        assert answer.status_code == 401
