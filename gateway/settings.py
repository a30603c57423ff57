"""Settings of the gateway."""

import re
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from deletion.process.settings import PubSubSettings, long_enough
from deletion.process.tokens import CLIENT, NamedToken

_is_name = re.compile("[A-Za-z0-9._-]{1,100}").fullmatch


class GatewaySettings(PubSubSettings):
    """`botdel gateway`."""

    gateway_tokens: Annotated[tuple[NamedToken, ...], NoDecode]
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(8080, ge=0, le=65_535)
    gateway_max_connections: int = Field(2500, ge=1, le=100_000)
    gateway_max_pending: int = Field(2000, ge=1)
    gateway_publish_requests: int = Field(16, ge=1, le=1000)
    gateway_confirm_seconds: float = Field(8.0, gt=0, le=60)

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
                raise ValueError("the same token has two names: give each client its own")
        return tokens


def _named(text: str) -> NamedToken:
    """Of `name:token`, or of a token alone."""
    name, colon, token = text.partition(":")
    if not colon:
        name, token = CLIENT, text
    if not _is_name(name):
        raise ValueError("expected name:token, the name 1 to 100 of A-Z, a-z, 0-9, '.', '_', '-'")
    return NamedToken(name, long_enough(SecretStr(token)))
