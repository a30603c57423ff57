"""Settings: from the environment and `.env`, checked before a process does anything.

Each process reads the class that lists exactly what it needs; `load` turns what is wrong
into a `SettingsError` that names the variable, never its value.
"""

import re
from collections.abc import Collection
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from deletion.adapters.pubsub.names import Names
from deletion.errors import SettingsError

S = TypeVar("S", bound=BaseSettings)
TOKEN_CHARACTERS = 16
"""A shorter credential can be guessed; `openssl rand -hex 32` creates a good one."""
OPTIONS = ("_host", "_port")
"""How the settings end that a command has an option for: `--host` and `--port`."""
PORTS = range(1, 65_536)
_HOST_AND_PORT = re.compile(r"([^\s/:\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


def long_enough(token: SecretStr) -> SecretStr:
    """Return `token`. Raises `ValueError` when it is short enough to be guessed."""
    if len(token.get_secret_value()) < TOKEN_CHARACTERS:
        raise ValueError(f"expected at least {TOKEN_CHARACTERS} characters")
    return token


Token = Annotated[SecretStr, AfterValidator(long_enough)]
"""A credential that is long enough, and that is not printed."""


def split(value: object) -> object:
    """The parts between the commas of a text, without blank ones."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _one_at_least(tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not tokens:
        raise ValueError("expected at least one token, several separated by commas")
    return tokens


Tokens = Annotated[tuple[Token, ...], AfterValidator(_one_at_least), BeforeValidator(split)]
"""One credential, or several separated by commas: the one in use first, and the next. A field of it
is annotated with `NoDecode`, since it is no JSON.
"""


def _host_and_port(address: str) -> str:
    """Refuse an address that gRPC would look up as a name again and again."""
    found = _HOST_AND_PORT.fullmatch(address)
    if not found or int(found["port"]) not in PORTS:
        raise ValueError("expected host:port")
    return address


HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
"""`host:port` as gRPC expects it, with an IPv6 address in brackets."""


class Settings(BaseSettings):
    """How every class of settings is read."""

    model_config = SettingsConfigDict(
        env_prefix="BOTDEL_",
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        use_attribute_docstrings=True,  # docs/reference/configuration.md is generated from them
    )


class PubSubSettings(Settings):
    """Where events are published, and what else every long-running process reads."""

    project: str = Field(validation_alias="GOOGLE_CLOUD_PROJECT", min_length=1)
    """Project of the topic."""
    topic: str = Field("bot-deletion", pattern=r"^[A-Za-z][A-Za-z0-9._~+%-]{2,180}$")
    """Id of the topic; the names of dead letters and subscriptions derive from it."""
    emulator: HostAndPort | None = Field(None, validation_alias="PUBSUB_EMULATOR_HOST")
    """`host:port` of an emulator to use instead of real Pub/Sub."""
    log_format: str = Field("auto", pattern="^(auto|json|console)$")
    """`json`, `console`, or `auto`: console on a terminal, JSON elsewhere. An operator's
    commands check it but do not use it.
    """
    shutdown_grace_seconds: float = Field(20.0, gt=0, le=600)
    """Seconds that a long-running process has to finish after SIGTERM; at most 600."""

    @property
    def names(self) -> Names:
        """Topic and subscriptions of this installation."""
        return Names(self.project, self.topic)


def load(settings: type[S], **overrides: str | int | None) -> S:
    """Read and check. Raises `SettingsError`, which names every variable that is wrong."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = (f"{_name(p['loc'], given)}: {_wrong(p, settings)}" for p in error.errors())
        raise SettingsError(*problems) from None
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise SettingsError(f".env: expected UTF-8 text, found {byte}") from None


def _wrong(problem: ErrorDetails, settings: type[BaseSettings]) -> str:
    """Return what is wrong; for a missing setting, how its description begins."""
    if problem["type"] != "missing":
        return problem["msg"].removeprefix("Value error, ")
    for name, field in settings.model_fields.items():
        if problem["loc"] == (field.validation_alias or name,) and field.description:
            first = " ".join(field.description.split()).split(". ")[0].rstrip(".")
            return f"not set; expected: {first[0].lower()}{first[1:]}"
    return "not set"


def _name(location: tuple[int | str, ...], given: Collection[str]) -> str:
    """Return the variable that is wrong, or the option, if that was `given` instead."""
    name = str(location[0]) if location else "settings"
    if name in given and name.endswith(OPTIONS):
        return f"--{name.rpartition('_')[2]}"
    return name if name.isupper() else f"BOTDEL_{name.upper()}"
