"""What the README says of settings, commands, answers, metrics and exit codes is what there is."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo

import botdel
import consumers
import deletion
import gateway
import recovery
from botdel.cli import app
from botdel.local.pubsub import LocalSettings
from consumers.metrics import Metrics as ConsumerMetrics
from consumers.settings import ConsumerSettings
from deletion.clock import SystemClock
from deletion.process.settings import Settings
from deletion.process.store_settings import JobsSettings, OperatorSettings, TopologySettings
from gateway.answers import ANSWERS
from gateway.metrics import Metrics as GatewayMetrics
from gateway.settings import GatewaySettings
from recovery.client import Exit
from recovery.gauges import JobGauges
from recovery.metrics import Metrics as RecoveryMetrics
from recovery.settings import RecoverSettings, RecoverySettings
from tests.architecture.documents import README, table
from tests.support.paths import DOCS
from tests.support.scripted_stores import CountedJobs

PACKAGES = (botdel, consumers, deletion, gateway, recovery)
READERS: dict[type[Settings], set[str]] = {
    GatewaySettings: {"gateway"},
    ConsumerSettings: {"consumer"},
    RecoverySettings: {"recovery"},
    RecoverSettings: {"recover"},
    JobsSettings: {"jobs", "dead-letters"},
    OperatorSettings: {"dead-letters"},
    TopologySettings: {"topology"},
    LocalSettings: {"local", "demo"},
}
"""Which command reads which class."""


# --- settings


def modules_of(package: ModuleType) -> Iterator[str]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "settings" in module.name:
            yield module.name


def read_by_nobody_else(settings: type[Settings]) -> Iterator[type[Settings]]:
    """The classes at the ends of the tree: what a process reads, not what it is put together of."""
    below = settings.__subclasses__()
    if not below:
        yield settings
    for each in below:
        yield from read_by_nobody_else(each)


def variable(name: str, field: FieldInfo) -> str:
    return str(field.validation_alias or f"BOTDEL_{name.upper()}")


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "not set"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def test_every_class_of_settings_belongs_to_a_command() -> None:
    for package in PACKAGES:
        for module in modules_of(package):
            importlib.import_module(module)
    assert set(read_by_nobody_else(Settings)) == set(READERS)


def test_the_table_of_settings_is_that_of_the_classes() -> None:
    defaults: dict[str, str] = {}
    readers: dict[str, set[str]] = {}
    for settings, commands in READERS.items():
        for name, field in settings.model_fields.items():
            defaults[variable(name, field)] = default(field)
            readers.setdefault(variable(name, field), set()).update(commands)

    rows = table(README, "variable", "default", "read by")

    assert {row["variable"]: row["default"] for row in rows} == defaults
    assert {row["variable"]: set(row["read by"].split(", ")) for row in rows} == readers
    assert len(rows) == len(defaults), "each variable has one row"


# --- commands


def commands(command: Any, path: str) -> Iterator[str]:
    """Every command that does something, with what one types."""
    below = getattr(command, "commands", {})
    if not below:
        yield path
    for name, each in below.items():
        yield from commands(each, f"{path} {name}")


def test_every_command_is_in_the_table_and_no_other() -> None:
    real = set(commands(typer.main.get_command(app), "botdel"))
    said = [row["command"] for row in table(README, "command")]
    assert {re.split(r" --| \[| [A-Z]", line)[0] for line in said} == real


# --- answers, metrics, exit codes


def test_every_answer_of_the_gateway_is_in_the_table_and_no_other() -> None:
    assert {int(row["answer"]) for row in table(README, "answer")} == set(ANSWERS)


def test_every_metric_is_in_the_table_and_no_other() -> None:
    registry = CollectorRegistry()
    GatewayMetrics(registry)
    recovering = RecoveryMetrics().registry
    JobGauges(recovering, CountedJobs(), SystemClock())
    registries = (registry, ConsumerMetrics("any", ["any"], ["any"]).registry, recovering)
    real = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for each in registries
        for metric in each.collect()
    }
    assert {row["metric"] for row in table(README, "metric")} == real


@pytest.mark.proves("cron-exit-codes")
def test_every_exit_code_of_the_cron_client_is_in_its_runbook() -> None:
    rows = table(DOCS / "runbooks" / "recovery.md", "code", "name")
    assert {row["name"]: int(row["code"]) for row in rows} == {e.name: e.value for e in Exit}


# --- the example


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README.read_text(), re.S))
def test_an_example_loads(example: str) -> None:
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})  # noqa: S102
