"""Settings of the gateway."""

import re
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from deletion.process.http_connections import BOUNDS, Bounds
from deletion.process.settings import PubSubSettings, long_enough
from deletion.process.tokens import CLIENT, NamedToken
from deletion.process.traces_settings import TracesSettings

_is_name = re.compile("[A-Za-z0-9._-]{1,100}").fullmatch


class GatewaySettings(PubSubSettings, TracesSettings):
    """`botdel gateway`."""

    gateway_tokens: Annotated[tuple[NamedToken, ...], NoDecode]
    """Accepted bearer tokens as `name:token`, separated by commas, each token of at least 16
    characters. The name (1 to 100 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`) goes into the log and
    the event as who asked; a token alone is named `client`. Two tokens may share a name, to
    change over from one to the other.
    """
    gateway_host: str = "127.0.0.1"
    """Address to listen on; in a container `0.0.0.0`."""
    gateway_port: int = Field(8080, ge=0, le=65_535)
    """Port; 0 takes a free one."""
    gateway_max_connections: int = Field(2500, ge=1, le=100_000)
    """Open connections. A further one replaces the one that has waited longest for its client, or
    is answered `503` when all have a request under way. Keep it above `BOTDEL_GATEWAY_MAX_PENDING`,
    and the hard limit on open files above both: the process raises its soft limit to that.
    """
    gateway_keep_alive_seconds: float = Field(BOUNDS.idle_seconds, gt=0, le=3600)
    """Seconds for which a connection without a request stays open; at most 3600. Behind a load
    balancer longer than that keeps it, or it sends requests on connections that are just being
    closed, and answers some with `502`: 620 behind Google's.
    """
    gateway_max_pending: int = Field(2000, ge=1)
    """Events that may wait for Pub/Sub; a further one is answered `429`."""
    gateway_publish_requests: int = Field(16, ge=1, le=1000)
    """Requests to Pub/Sub under way at once, each with at most 500 events; further events wait."""
    gateway_confirm_seconds: float = Field(8.0, gt=0, le=60)
    """Seconds Pub/Sub has to confirm an event; then the answer is `503`. At most 60."""

    @property
    def bounds(self) -> Bounds:
        """What clients may cost before they have shown a token."""
        return Bounds(
            connections=self.gateway_max_connections, idle_seconds=self.gateway_keep_alive_seconds
        )

    @field_validator("gateway_tokens", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(_named(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("gateway_tokens")
    @classmethod
    def _told_apart(cls, tokens: tuple[NamedToken, ...]) -> tuple[NamedToken, ...]:
        if not tokens:
            raise ValueError("expected at least one token, several separated by commas")
        names: dict[str, str] = {}
        for each in tokens:
            if names.setdefault(each.token.get_secret_value(), each.name) != each.name:
                raise ValueError(
                    "expected a token of its own for each client, found one token under two names"
                )
        return tokens


def _named(text: str) -> NamedToken:
    """Parse `name:token`, or a token without a name."""
    name, colon, token = text.partition(":")
    if not colon:
        name, token = CLIENT, text
    if not _is_name(name):
        raise ValueError("expected name:token, the name 1 to 100 of A-Z, a-z, 0-9, '.', '_', '-'")
    return NamedToken(name, long_enough(SecretStr(token)))
