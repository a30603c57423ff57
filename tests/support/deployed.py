"""What a deployment starts, checked against the command line and the settings of the code."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from unittest.mock import patch

import typer.main
from pydantic.fields import FieldInfo

from botdel.cli import app
from console.settings import ConsoleSettings
from consumers.settings import ConsumerSettings
from deletion.process.settings import Settings
from deletion.process.store_settings import TopologySettings
from gateway.settings import GatewaySettings
from recovery.settings import RecoverSettings, RecoverySettings

READ_BY: Final[Mapping[str, type[Settings]]] = {
    "gateway": GatewaySettings,
    "consumer": ConsumerSettings,
    "recovery": RecoverySettings,
    "console": ConsoleSettings,
    "recover": RecoverSettings,
    "topology": TopologySettings,
}
"""What a deployment has to start, and which settings each reads."""
SERVING: Final = ("gateway", "consumer", "recovery", "console")
SECRETS: Final[Mapping[str, str]] = {
    "BOTDEL_MONGODB_URI": "mongodb://mongodb:27017/?directConnection=true",
    "BOTDEL_GATEWAY_TOKENS": "shop:0123456789abcdef",
    "BOTDEL_RECOVERY_TOKEN": "0123456789abcdef",
    "BOTDEL_CONSOLE_USERS": "ada@example.org:operator:0123456789abcdef",
    "BOTDEL_CONSOLE_SECRET": "0123456789abcdef",
    "BOTDEL_ALERT_WEBHOOK_URL": "https://alerts.example.org/",
    "BOTDEL_CALLBACK_URL": "https://callbacks.example.org/",
    "BOTDEL_CALLBACK_SECRET": "0123456789abcdef",
}
"""What an installation keeps in secrets."""


def settings_of(command: str, environment: Mapping[str, str]) -> Settings:
    """The settings that the process reads. Raises `ValidationError` when it would not start."""
    with patch.dict(os.environ, environment, clear=True):
        return READ_BY[command](_env_file=None)  # type: ignore[call-arg]


def variables(settings: type[Settings]) -> Mapping[str, FieldInfo]:
    """The fields of a class of settings, by the variables that they are read from."""
    return {
        str(field.validation_alias or f"BOTDEL_{name.upper()}"): field
        for name, field in settings.model_fields.items()
    }


def read_by(*commands: str) -> set[str]:
    """The variables that at least one of these processes reads."""
    return {variable for command in commands for variable in variables(READ_BY[command])}


def required_by(command: str) -> set[str]:
    """The variables without which the process does not start."""
    fields = variables(READ_BY[command])
    return {variable for variable, field in fields.items() if field.is_required()}


def port_of(command: str, environment: Mapping[str, str]) -> int:
    """The port that a process listens on."""
    port: int = getattr(settings_of(command, environment), f"{command}_port")
    return port


def parsed(arguments: Sequence[str]) -> Mapping[str, Any]:
    """The options of a command line after `botdel`. Raises `click.UsageError` if it has none."""
    command: Any = typer.main.get_command(app)
    name, rest = "botdel", list(arguments)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(command.context_class(command), rest)
    params: Mapping[str, Any] = command.make_context(name, rest).params
    return params
