"""Bearer tokens (RFC 6750)."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import SecretStr

from deletion.process.problems import Problem

_CHALLENGE: Final = 'Bearer realm="botdel"'
"""RFC 6750 wants at least one parameter, and no error where no token was given."""


class BearerTokens(SecurityBase):
    """Checks `Authorization: Bearer …` (RFC 6750) against every token, in constant time.

    As a dependency, `Security(tokens)`, it also stands in the OpenAPI document.
    """

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._tokens = [token.get_secret_value().encode() for token in tokens]
        self.model = HTTPBearer()
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> None:
        """As `require`."""
        self.require(request)

    def require(self, request: Request) -> None:
        """Raise a 401 problem unless the request carries one of the tokens."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise self._refused("a bearer token is required", _CHALLENGE)
        offered = given.strip().encode()
        # Not any(): every comparison is made, whichever of them holds.
        if not sum(hmac.compare_digest(offered, token) for token in self._tokens):
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise self._refused("the bearer token is not valid", challenge)

    @staticmethod
    def _refused(detail: str, challenge: str) -> Problem:
        return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})
