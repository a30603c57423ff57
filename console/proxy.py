"""An identity-aware proxy: names the user in a header that it signs.

https://cloud.google.com/iap/docs/signed-headers-howto
"""

from typing import Final

from console.users import User, Users
from deletion.clock import Clock
from deletion.process.signed_tokens import SignedTokens
from deletion.process.signing_keys import SigningKeys

HEADER: Final = "x-goog-iap-jwt-assertion"
ISSUER: Final = "https://cloud.google.com/iap"
KEYS: Final = "https://www.gstatic.com/iap/verify/public_key"
ALGORITHM: Final = "ES256"


class Proxy:
    """Verifies the header of the proxy, and finds the user by the e-mail address."""

    def __init__(self, users: Users, tokens: SignedTokens) -> None:
        self._users = users
        self._tokens = tokens

    async def user(self, assertion: str) -> User | None:
        """The user whom the proxy names, or None for an assertion that is not valid, or a person
        who is no user. Raises `KeysUnavailable`.
        """
        claims = await self._tokens.claims(assertion)
        email = claims.get("email") if claims else None
        return self._users.named(email) if isinstance(email, str) else None


def tokens_of_proxy(audience: str, keys: SigningKeys, clock: Clock) -> SignedTokens:
    """Return what verifies the assertions of the proxy for `audience`."""
    return SignedTokens(keys, clock, algorithm=ALGORITHM, issuers=(ISSUER,), audience=audience)


def keys_of_proxy(clock: Clock) -> SigningKeys:
    """The public keys of the proxy."""
    return SigningKeys("the proxy", KEYS, clock)
