"""Settings of the gateway."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from deletion.process.settings import PubSubSettings, Token


class GatewaySettings(PubSubSettings):
    """`botdel gateway`."""

    gateway_tokens: Annotated[tuple[Token, ...], NoDecode]
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(8080, ge=0, le=65_535)
    gateway_max_connections: int = Field(2500, ge=1, le=100_000)
    gateway_max_pending: int = Field(2000, ge=1)
    gateway_confirm_seconds: float = Field(8.0, gt=0, le=60)

    @field_validator("gateway_tokens", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("gateway_tokens")
    @classmethod
    def _not_empty(cls, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        if not tokens:
            raise ValueError("expected at least one token, several separated by commas")
        return tokens
