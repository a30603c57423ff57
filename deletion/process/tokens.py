"""Bearer tokens (RFC 6750)."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import SecretStr

from deletion.process.http_spans import admitted
from deletion.process.problems import Problem

_CHALLENGE: Final = 'Bearer realm="botdel"'
"""RFC 6750 requires at least one parameter, and no `error` when no token was given."""


CLIENT: Final = "client"
"""The name of a token that was given without one."""


Identify = Callable[[str], Awaitable[str | None]]
"""Returns the name of the caller for another kind of bearer token; None if it is not valid.

Raises a problem if it cannot be verified now.
"""


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A credential, and the name of its client."""

    name: str
    token: SecretStr


class BearerTokens(SecurityBase):
    """Checks `Authorization: Bearer …` (RFC 6750) against every token, in constant time.

    A token that matches none of them is passed to `identify`. As a dependency, `Security(tokens)`,
    it is also part of the OpenAPI document, where `description` says what a caller sends.
    """

    def __init__(
        self,
        tokens: Sequence[SecretStr | NamedToken],
        identify: Identify | None = None,
        description: str | None = None,
    ) -> None:
        named = [t if isinstance(t, NamedToken) else NamedToken(CLIENT, t) for t in tokens]
        self._tokens = [(each.name, each.token.get_secret_value().encode()) for each in named]
        self._identify = identify
        self.model = HTTPBearer(description=description)
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> str:
        """Return the name of the request's token.

        Raises a 401 problem if it has no valid one, and what `identify` raises.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise self._refused("a bearer token is required", _CHALLENGE)
        offered = given.strip()
        name = self._named(offered.encode())
        if name is None and self._identify:
            name = await self._identify(offered)
        if name is None:
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise self._refused("the bearer token is not valid", challenge)
        admitted(request.scope)
        return name

    def _named(self, offered: bytes) -> str | None:
        # Compare with every token, so that the time does not show which one matches.
        names = [name for name, token in self._tokens if hmac.compare_digest(offered, token)]
        return names[0] if names else None

    @staticmethod
    def _refused(detail: str, challenge: str) -> Problem:
        return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})
