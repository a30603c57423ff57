"""Prints what users of the code that runs it rely on, old or new: settings, commands, options.

`python surface.py`, with that code on PYTHONPATH. Prints one JSON list of names.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import typer.main
from pydantic_settings import BaseSettings

from botdel.cli import app

WITH_SETTINGS: Final = ("consumers.settings", "gateway.settings", "recovery.settings")


def settings(base: type[BaseSettings]) -> Iterator[str]:
    """The variables of these classes."""
    for kind in base.__subclasses__():
        yield from settings(kind)
        prefix = str(kind.model_config.get("env_prefix"))
        for name, field in kind.model_fields.items():
            yield str(field.validation_alias or f"{prefix}{name.upper()}")


def commands(command: Any, path: str) -> Iterator[str]:
    """The paths of all commands, and each with its options and arguments."""
    yield path
    for parameter in command.params:
        is_argument = parameter.param_type_name == "argument"
        names = [parameter.name] if is_argument else parameter.opts
        yield from (f"{path} {name}" for name in names)
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


if __name__ == "__main__":
    for module in WITH_SETTINGS:
        import_module(module)
    names = {*settings(BaseSettings), *commands(typer.main.get_command(app), "botdel")}
    print(json.dumps(sorted(names)))
