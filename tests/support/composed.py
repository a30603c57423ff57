"""compose.yaml and what it includes, as `docker compose` reads them."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from tests.support.deployed import SECRETS
from tests.support.paths import ROOT

COMPOSE: Final = ROOT / "compose.yaml"
EXAMPLE: Final = ROOT / "deploy" / "compose.env.example"
FILLED_IN: Final[Mapping[str, str]] = {**SECRETS, "GRAFANA_PASSWORD": "0123456789abcdef"}
"""What a person writes into a copy of `EXAMPLE`."""
VARIABLE: Final = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<rule>[-?])(?P<text>[^}]*))?\}")


class Unset(Exception):
    """A variable has no value, and compose requires one."""


@cache
def read(path: Path) -> Any:
    """A file as it stands, before variables are replaced."""
    return YAML(typ="safe").load(path)


def composed(environment: Mapping[str, str]) -> Mapping[str, Any]:
    """The services of `COMPOSE`, of what it includes too. Raises `Unset`."""
    files = (COMPOSE, *(ROOT / path for path in read(COMPOSE)["include"]))
    return {
        name: _replaced(service, environment)
        for file in files
        for name, service in read(file)["services"].items()
    }


def processes(environment: Mapping[str, str] = FILLED_IN) -> dict[str, Any]:
    """The services that are processes of the pipeline, by their names."""
    return {
        name: service
        for name, service in composed(environment).items()
        if service["image"].startswith("bot-deletion-pipeline:")
    }


def interpolated() -> set[str]:
    """The variables that `COMPOSE` takes from the environment of `docker compose`."""
    text = COMPOSE.read_text(encoding="utf-8")
    return {found["name"] for found in VARIABLE.finditer(text) if found["name"]}


def given(path: Path) -> Mapping[str, str]:
    """The variables of an env file."""
    lines = (line for line in path.read_text("utf-8").splitlines() if line and line[0] != "#")
    return dict(line.split("=", 1) for line in lines)


def _replaced(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, environment) for each in value]
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda found: _value(found, environment), value)


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    name, rule, text = found["name"], found["rule"], found["text"]
    if name is None:
        return "$"
    value = environment.get(name, "")
    if not value and rule == "?":
        raise Unset(f"{name}: {text}")
    return value or (text if rule == "-" else "")


def mounted(service: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The files and folders of this repository that a service sees, and where."""
    for volume in service.get("volumes", ()):
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            yield ROOT / source, target
