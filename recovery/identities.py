"""Service accounts that may call recovery: named by an OIDC token that Google signs.

Cloud Scheduler sends one (https://cloud.google.com/scheduler/docs/http-target-auth). Who has the
token of `BOTDEL_RECOVERY_TOKEN` is not affected by any of this.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.process.problems import Problem
from deletion.process.signed_tokens import REFUSED, SignedTokens
from deletion.process.signing_keys import AGAIN_SECONDS, KeysUnavailable, SigningKeys

ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
CERTIFICATES: Final = "https://www.googleapis.com/oauth2/v1/certs"
ALGORITHM: Final = "RS256"
BEARER: Final = (
    "The token `BOTDEL_RECOVERY_TOKEN`; or, if `BOTDEL_RECOVERY_OIDC_AUDIENCE` is set, an OIDC "
    "token for that audience that Google has signed for one of `BOTDEL_RECOVERY_OIDC_EMAILS`"
)

log = structlog.get_logger(__name__)


class Identities:
    """Finds the service account of `emails` that a token for `audience` names."""

    def __init__(self, keys: SigningKeys, audience: str, emails: Collection[str]) -> None:
        self._tokens = SignedTokens(keys, algorithm=ALGORITHM, issuers=ISSUERS, audience=audience)
        self._emails = tuple(emails)

    async def __call__(self, token: str) -> str | None:
        """Return its address; None for a token that is not valid, or another account's.

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
            log.warning(REFUSED, reason="its address")
            return None
        return str(email)


def google_keys(clock: Clock) -> SigningKeys:
    """The certificates with which Google signs OIDC tokens."""
    return SigningKeys("Google", CERTIFICATES, clock)
