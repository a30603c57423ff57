"""Who may use the console: users with a role and a token, as BOTDEL_CONSOLE_USERS lists them."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import SecretStr

MOST_TOKEN_BYTES: Final = 1024
"""A longer token is refused without comparing, so that the work of a log-in is bounded."""


class Role(StrEnum):
    """What a user may do."""

    VIEWER = "viewer"  # look at everything
    OPERATOR = "operator"  # change something, too


class Way(StrEnum):
    """How a visitor was identified."""

    BEARER = "bearer"  # an `Authorization` header, which a browser never sends by itself
    SESSION = "session"  # the cookie of a log-in
    PROXY = "proxy"  # the signed header of an identity-aware proxy


@dataclass(frozen=True, slots=True)
class User:
    """A user. With an identity-aware proxy, `name` may be an e-mail address."""

    name: str
    role: Role
    token: SecretStr


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who makes a request, and how that is known."""

    name: str
    role: Role
    way: Way

    @property
    def may_act(self) -> bool:
        """Whether they may change something."""
        return self.role is Role.OPERATOR


class Users:
    """The users, found by their tokens in constant time, or by their names."""

    def __init__(self, users: Sequence[User]) -> None:
        self._by_token = [(each.token.get_secret_value().encode(), each) for each in users]
        self._by_name: dict[str, User] = {}
        for each in users:
            self._by_name.setdefault(each.name.casefold(), each)

    def with_token(self, offered: str) -> User | None:
        """The user with this token, or None.

        Every token is compared, so that the time does not show which one matches.
        """
        given = offered.strip().encode(errors="replace")
        if len(given) > MOST_TOKEN_BYTES:
            return None
        found = [user for token, user in self._by_token if hmac.compare_digest(given, token)]
        return found[0] if found else None

    def named(self, name: str) -> User | None:
        """The user with this name, in whatever case, or None."""
        return self._by_name.get(name.casefold())

    def with_fingerprint(self, name: str, mark: str, key: bytes) -> User | None:
        """The user `name` with the credential whose `fingerprint` under `key` is `mark`, or None.
        A fingerprint changes with the token and with the role.
        """
        return next(
            (
                user
                for _, user in self._by_token
                if user.name == name and hmac.compare_digest(fingerprint(user, key), mark)
            ),
            None,
        )

    def digest(self) -> bytes:
        """A digest of all users, which changes with each of them: 32 bytes."""
        whole = hashlib.sha256(b"botdel console users")
        for _, user in sorted(self._by_token, key=lambda pair: pair[0]):
            whole.update(_record(user))
        return whole.digest()


def fingerprint(user: User, key: bytes) -> str:
    """The fingerprint of the credential of `user`, which does not reveal the token."""
    return hmac.new(key, _record(user), hashlib.sha256).hexdigest()[:32]


def _record(user: User) -> bytes:
    parts = (user.name, user.role.value, user.token.get_secret_value())
    return b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
