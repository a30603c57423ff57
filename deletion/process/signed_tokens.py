"""JSON Web Tokens (RFC 7519) that Google signs, to say who makes a request.

`google.auth.jwt` verifies the signature, the audience, and that a token has neither expired nor
been issued in the future. The rest is checked here: first its size, then that its algorithm is the
expected one (RFC 8725, 3.1), and at last its issuer and its lifetime.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from google.auth import jwt

from deletion.clock import Clock
from deletion.process.signing_keys import SigningKeys

MOST_CHARACTERS: Final = 8192
MOST_SECONDS: Final = 3600
"""The longest lifetime of a token. Google's tokens live for an hour or less."""
SKEW_SECONDS: Final = 30
"""By how much the clocks of the signer and of this machine may differ."""

SAME_SECONDS: Final = 60
"""The shortest time between two log lines with the same reason. Anybody can send a token that is
not signed, and Google signs one for any audience, for everybody with an account."""

REFUSED: Final = "signed token refused"
"""What is logged, without any part of the token."""

log = structlog.get_logger(__name__)


class SignedTokens:
    """Verifies tokens for `audience` that one of `issuers` has signed with one of `keys`."""

    def __init__(
        self,
        keys: SigningKeys,
        clock: Clock,
        *,
        algorithm: str,
        issuers: tuple[str, ...],
        audience: str,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._algorithm = algorithm
        self._issuers = issuers
        self._audience = audience
        self._logged_at: dict[str, float] = {}

    async def claims(self, token: str) -> Mapping[str, Any] | None:
        """Return the claims of `token`, or None if it is not valid. Raises `KeysUnavailable`."""
        try:
            key_id = self._key_id(token)
        except _Foreign as error:
            self.log_refusal(str(error))
            return None
        keys = await self._keys.with_key(key_id)
        try:
            claims: Mapping[str, Any] = jwt.decode(  # type: ignore[no-untyped-call]
                token, dict(keys), audience=self._audience, clock_skew_in_seconds=SKEW_SECONDS
            )
        except Exception as error:  # noqa: BLE001 - an untrusted token may cause any error
            self.log_refusal(type(error).__name__)
            return None
        if claims.get("iss") not in self._issuers:
            self.log_refusal("issuer")
            return None
        if not _is_short_lived(claims):
            self.log_refusal("lifetime")
            return None
        return claims

    def _key_id(self, token: str) -> str:
        """Return the id of the key that signed it. Raises `_Foreign`."""
        if len(token) > MOST_CHARACTERS:
            raise _Foreign("length")
        try:
            header = jwt.decode_header(token)  # type: ignore[no-untyped-call]
            key_id, algorithm = header.get("kid"), header.get("alg")
        except Exception as error:  # any error: the token is untrusted
            raise _Foreign("not decodable") from error
        if algorithm != self._algorithm:
            raise _Foreign("algorithm")
        if not isinstance(key_id, str):
            raise _Foreign("no key id")
        return key_id

    def log_refusal(self, reason: str) -> None:
        """Log why a token is refused, each reason at most once in `SAME_SECONDS`."""
        now = self._clock.monotonic()
        if now - self._logged_at.get(reason, float("-inf")) >= SAME_SECONDS:
            self._logged_at[reason] = now
            log.warning(REFUSED, reason=reason)


class _Foreign(Exception):
    """It is no token of this signer; the text says why."""


def _is_short_lived(claims: Mapping[str, Any]) -> bool:
    """Whether its times are whole seconds, and it is valid once issued, for at most an hour."""
    issued, ends = claims["iat"], claims["exp"]
    begins = claims.get("nbf", issued)
    if not all(type(each) is int for each in (issued, ends, begins)):  # a bool or NaN is none
        return False
    return bool(begins <= issued < ends <= issued + MOST_SECONDS)
