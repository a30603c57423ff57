"""Settings of the console."""

import re
from typing import Annotated, Final

import httpx
from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from console.users import Role, User
from deletion.process.settings import PORTS, PubSubSettings, Token, Tokens, long_enough
from deletion.process.store_settings import LeaseSettings, StoreSettings
from deletion.process.traces_settings import TracesSettings

MOST_USERS = 200
"""A log-in compares its token with that of each user."""
GUESSABLE: Final = (
    "BOTDEL_CONSOLE_SECRET is not set: with more than one user, each can test guesses of the "
    "others' tokens offline"
)
_is_name = re.compile(r"[A-Za-z0-9._@+-]{1,100}").fullmatch


def _origin(url: str) -> str:
    """Return the origin of `url`, as a browser sends it. Raises `ValueError` for anything else."""
    try:
        given = httpx.URL(url)
    except httpx.InvalidURL:
        given = httpx.URL()
    is_origin = given.path in ("", "/") and not (given.query or given.fragment or given.userinfo)
    is_web = given.scheme in ("http", "https") and given.host and (given.port or 80) in PORTS
    if not (is_origin and is_web):
        raise ValueError("expected http:// or https://, a host, and perhaps a port, without a path")
    return str(given).rstrip("/")


class ConsoleSettings(PubSubSettings, StoreSettings, LeaseSettings, TracesSettings):
    """`botdel console`."""

    console_users: Annotated[tuple[User, ...], NoDecode]
    """Who may use the console as `name:role:token`, separated by commas. The name (1 to 100 of
    `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, `@`, `+`) is recorded with what a user does, and is the
    e-mail address behind an identity-aware proxy; the role is `viewer` or `operator`; the token
    has at least 16 characters. Two tokens may share a name and a role, to change over from one to
    the other.
    """
    console_host: str = "127.0.0.1"
    """Address to listen on; in a container `0.0.0.0`."""
    console_port: int = Field(8083, ge=0, le=65_535)
    """Port; 0 takes a free one. Put a proxy with TLS in front of it."""
    console_url: Annotated[str, AfterValidator(_origin)] | None = None
    """Where browsers reach the console, such as `https://console.example.org`. Forms sent by a
    browser without `Sec-Fetch-Site` are accepted only if their `Origin` equals it.
    """
    console_secret: Token | None = None
    """Signs the cookies of sessions; at least 16 characters, the same for all replicas. Without it
    the key is derived from `BOTDEL_CONSOLE_USERS`, so that each change there ends every session,
    and a user can test guesses of the others' tokens offline: set it.
    """
    console_iap_audience: str | None = Field(None, min_length=1, max_length=500)
    """The audience of an identity-aware proxy in front of the console, such as
    `/projects/NUMBER/global/backendServices/ID`. When it is set, the header
    `X-Goog-IAP-JWT-Assertion` is verified, and its e-mail address names the user.
    """

    recovery_url: Annotated[str, AfterValidator(_origin)] | None = None
    """Where the console reaches recovery, such as `http://recovery:8082`. With it and
    `BOTDEL_RECOVERY_TOKEN`, operators can start a sweep in the console; without, the page says so.
    """
    recovery_token: Annotated[Tokens | None, NoDecode] = None
    """Bearer token of the recovery endpoint, at least 16 characters; the first of several."""

    @property
    def is_guessable(self) -> bool:
        """Whether sessions of several users are signed with a key made from their tokens."""
        users = {user.name.casefold() for user in self.console_users}
        return self.console_secret is None and len(users) > 1

    @field_validator("console_users", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(_user(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("console_users")
    @classmethod
    def _told_apart(cls, users: tuple[User, ...]) -> tuple[User, ...]:
        if not 1 <= len(users) <= MOST_USERS:
            raise ValueError(f"expected 1 to {MOST_USERS} users, separated by commas")
        if len({user.token.get_secret_value() for user in users}) < len(users):
            raise ValueError("expected a token of its own for each user")
        roles: dict[str, Role] = {}
        if any(roles.setdefault(each.name.casefold(), each.role) != each.role for each in users):
            raise ValueError("expected one role for each name")
        return users


def _user(text: str) -> User:
    """Parse `name:role:token`; the token may contain colons."""
    name, _, rest = text.partition(":")
    role, colon, token = rest.partition(":")
    if not colon or not _is_name(name) or role not in set(Role):
        raise ValueError(
            "expected name:role:token, the name 1 to 100 of A-Z, a-z, 0-9, '.', '_', '-', '@', "
            "'+', the role viewer or operator"
        )
    return User(name, Role(role), long_enough(SecretStr(token)))
