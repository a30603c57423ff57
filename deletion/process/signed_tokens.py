"""JSON Web Tokens (RFC 7519) that Google signs, to say who makes a request."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import structlog
from google.auth import exceptions, jwt

from deletion.process.signing_keys import SigningKeys

MOST_CHARACTERS: Final = 8192
SKEW_SECONDS: Final = 30
"""By how much the clocks of the signer and of this machine may differ."""

log = structlog.get_logger(__name__)


class SignedTokens:
    """Verifies tokens for `audience` that one of `issuers` has signed with one of `keys`."""

    def __init__(
        self, keys: SigningKeys, *, algorithm: str, issuers: Collection[str], audience: str
    ) -> None:
        self._keys = keys
        self._algorithm = algorithm
        self._issuers = issuers
        self._audience = audience

    async def claims(self, token: str) -> Mapping[str, Any] | None:
        """What `token` says, or None if it is not valid. Raises `KeysUnavailable`."""
        key_id = self._key_id(token)
        if key_id is None:
            return None
        keys = await self._keys.with_key(key_id)
        try:
            claims: Mapping[str, Any] = jwt.decode(  # type: ignore[no-untyped-call]
                token, dict(keys), audience=self._audience, clock_skew_in_seconds=SKEW_SECONDS
            )
        except (exceptions.GoogleAuthError, ValueError, TypeError, KeyError) as error:
            log.warning("signed token refused", reason=type(error).__name__)
            return None
        return claims if claims.get("iss") in self._issuers else None

    def _key_id(self, token: str) -> str | None:
        """The id of the key that signed it, or None if it is no token of this signer."""
        if len(token) > MOST_CHARACTERS:
            return None
        try:
            header = jwt.decode_header(token)  # type: ignore[no-untyped-call]
        except (exceptions.GoogleAuthError, ValueError, TypeError, RecursionError):
            return None
        key_id = header.get("kid")
        is_expected = header.get("alg") == self._algorithm and isinstance(key_id, str)
        return key_id if is_expected else None
