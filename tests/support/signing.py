"""A signer like Google: a key, its certificate, tokens, and a host that publishes the certificate.

A test may set `SettableClock` ahead of the machine's clock; tokens are verified by the latter.
"""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from google.auth import jwt
from google.auth.crypt import RSASigner

from deletion.clock import SystemClock
from tests.support.api import Api, Call, Reply

AUDIENCE: Final = "https://recovery.example.org"
EMAIL: Final = "botdel-cron@example.iam.gserviceaccount.com"


class SettableClock(SystemClock):
    """`ahead` of the machine's clock by as many seconds, where durations are measured."""

    ahead = 0.0

    def monotonic(self) -> float:
        """See the port."""
        return super().monotonic() + self.ahead


class Google:
    """Signs tokens with `private`, whose certificate has the id `k1`."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        self.certificate = _certificate(self.private)
        self.is_away = False
        self.delay = 0.0

    def host(self) -> Api:
        """Publishes the certificate."""
        return Api(behave=self._published)

    def token(self, key_id: str | None = "k1", **claims: Any) -> str:
        """A valid token, except for `claims`; those that are None are left out."""
        now = int(datetime.now(UTC).timestamp())
        content = {
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "sub": "1234567890",
            "email": EMAIL,
            "email_verified": True,
            "iat": now - 5,
            "exp": now + 3595,
        }
        said = {name: value for name, value in (content | claims).items() if value is not None}
        signer = RSASigner(self.private, key_id)  # type: ignore[no-untyped-call]
        return str(jwt.encode(signer, said).decode())  # type: ignore[no-untyped-call]

    def _published(self, _call: Call) -> Reply:
        body = json.dumps({"k1": self.certificate}).encode()
        headers = {"Cache-Control": "public, max-age=7200"}
        return Reply(500) if self.is_away else Reply(200, headers, body, delay=self.delay)


def encoded(part: bytes) -> str:
    """A part of a token."""
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def _certificate(private: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer.example.org")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    return signed.public_bytes(Encoding.PEM).decode()
