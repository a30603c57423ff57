"""Service accounts that may call recovery, each named by an OIDC token that Google has signed.

Cloud Scheduler sends such a token (https://cloud.google.com/scheduler/docs/http-target-auth). None
of this affects a caller with `BOTDEL_RECOVERY_TOKEN`.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from deletion.clock import Clock
from deletion.process.problems import Problem
from deletion.process.signed_tokens import SignedTokens
from deletion.process.signing_keys import AGAIN_SECONDS, KeysUnavailable, SigningKeys

ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
CERTIFICATES: Final = "https://www.googleapis.com/oauth2/v1/certs"
ALGORITHM: Final = "RS256"
BEARER: Final = (
    "The token `BOTDEL_RECOVERY_TOKEN`; or, if `BOTDEL_RECOVERY_OIDC_AUDIENCE` is set, an OIDC "
    "token for that audience that Google has signed for one of `BOTDEL_RECOVERY_OIDC_EMAILS`"
)


class Identities:
    """Finds which service account of `emails` a token for `audience` names."""

    def __init__(
        self, keys: SigningKeys, audience: str, emails: Collection[str], clock: Clock
    ) -> None:
        self._tokens = SignedTokens(
            keys, clock, algorithm=ALGORITHM, issuers=ISSUERS, audience=audience
        )
        self._emails = tuple(emails)

    async def __call__(self, token: str) -> str | None:
        """Return its e-mail address, or None if the token is not valid or names another account.

        Raises a 503 problem for a token whose key cannot be fetched now.
        """
        try:
            claims = await self._tokens.claims(token)
        except KeysUnavailable as error:
            retry = {"Retry-After": f"{AGAIN_SECONDS:g}"}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry) from error
        if claims is None:
            return None
        email = claims.get("email")
        if claims.get("email_verified") is not True or email not in self._emails:
            self._tokens.log_refusal("address")
            return None
        return str(email)


def google_keys(clock: Clock) -> SigningKeys:
    """Google's certificates, which verify its OIDC tokens."""
    return SigningKeys("Google", CERTIFICATES, clock)
