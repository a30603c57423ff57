"""What docs/reference/ says of settings, commands, plans and answers is what there is."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

from botdel.cli import app
from console.api import LISTED, DeletionView, ServiceView
from console.api import SHOWN as FOUND
from console.status import ServiceState
from deletion.adapters.mongo.spec import PIPELINE_COLLECTIONS, MongoSpec
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.pace_spec import PaceSpec, PressureSpec
from deletion.adapters.plan_file import PlanFile, StepSpec, read_plan
from deletion.adapters.python_step import PythonSpec
from deletion.alerts import AlertKind
from deletion.process.answers import PROBLEMS
from deletion.process.known_settings import KNOWN
from deletion.process.settings import Settings
from gateway.openapi import ANSWERS
from recovery.app import SHOWN, STARTED, SweepView
from recovery.client import Exit
from tests.architecture.documents import README, REFERENCE, table
from tests.reference import READERS, commands, default, written
from tests.support.paths import DOCS, PACKAGES

PLAN = REFERENCE / "plan.md"


# --- settings


def modules_of_settings() -> Iterator[str]:
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "settings" in module.name:
                yield module.name


def leaf_classes(settings: type[Settings]) -> Iterator[type[Settings]]:
    """Those without subclasses: what a process reads, not what it is composed of."""
    subclasses = settings.__subclasses__()
    if not subclasses:
        yield settings
    for each in subclasses:
        yield from leaf_classes(each)


def test_every_class_of_settings_belongs_to_a_command() -> None:
    for module in modules_of_settings():
        importlib.import_module(module)
    assert set(leaf_classes(Settings)) == set(READERS)


@pytest.mark.parametrize("settings", READERS, ids=lambda each: each.__name__)
def test_every_setting_says_what_it_is(settings: type[Settings]) -> None:
    assert all(field.description for field in settings.model_fields.values())


def test_the_names_that_are_no_mistake_are_those_of_the_page() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(BOTDEL_[A-Z_]+)` ", text, re.MULTILINE)
    assert sorted(KNOWN) == sorted([*rows, "BOTDEL_VERSION"]), "deletion/process/known_settings.py"


# --- commands


def test_every_command_is_in_the_table_and_no_other() -> None:
    real = {path for path, _ in commands(typer.main.get_command(app), "botdel")}
    said = [row["command"] for row in table(REFERENCE / "commands.md", "command")]
    assert {re.split(r" --| \[| [A-Z]", line)[0] for line in said} == real


def test_every_option_in_the_table_is_one_of_its_command() -> None:
    real = {
        path: {option for param in command.params for option in param.opts}
        for path, command in commands(typer.main.get_command(app), "botdel")
    }
    for row in table(REFERENCE / "commands.md", "command"):
        path = re.split(r" --| \[| [A-Z]", row["command"])[0]
        assert set(re.findall(r"--[a-z-]+", row["command"])) <= real[path]


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=lambda page: page.stem)
def test_what_a_page_takes_from_the_code_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == written(text), "out of date: python -m tests.reference"


@pytest.mark.proves("cron-exit-codes")
def test_every_exit_code_of_the_cron_client_is_in_its_runbook() -> None:
    rows = table(DOCS / "runbooks" / "recovery.md", "code", "name")
    assert {row["name"]: int(row["code"]) for row in rows} == {e.name: e.value for e in Exit}


# --- answers

OF_THE_ROUTER = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
"""Answers to a call that an OpenAPI document does not have."""


def test_every_answer_of_the_gateway_is_in_the_table_and_no_other() -> None:
    rows = table(REFERENCE / "http.md", "answer", "when", "what to do")
    assert {int(row["answer"]) for row in rows} == {*ANSWERS, *OF_THE_ROUTER}


def test_every_answer_of_recovery_is_in_the_table_and_no_other() -> None:
    rows = table(REFERENCE / "http.md", "answer of recovery")
    real = {HTTPStatus.OK.value, *STARTED, *SHOWN, *PROBLEMS, *OF_THE_ROUTER}
    assert {int(row["answer of recovery"]) for row in rows} == real


def test_every_field_of_a_sweep_is_in_the_table_and_no_other() -> None:
    rows = table(REFERENCE / "http.md", "field of a sweep")
    said = [name for row in rows for name in row["field of a sweep"].split(", ")]
    assert sorted(said) == sorted(SweepView.model_fields)


def test_every_answer_of_the_console_is_in_the_table_and_no_other() -> None:
    rows = table(REFERENCE / "http.md", "answer of the console")
    real = {HTTPStatus.OK.value, *LISTED, *FOUND, *PROBLEMS, *OF_THE_ROUTER}
    assert {int(row["answer of the console"]) for row in rows} == real


@pytest.mark.parametrize(
    ("heading", "view"),
    [("field of a deletion", DeletionView), ("field of a service", ServiceView)],
)
def test_every_field_of_a_deletion_is_in_the_table_and_no_other(
    heading: str, view: type[BaseModel]
) -> None:
    rows = table(REFERENCE / "http.md", heading)
    said = [name for row in rows for name in row[heading].split(", ")]
    assert sorted(said) == sorted(view.model_fields)


def test_every_state_of_a_service_is_in_the_table_and_no_other() -> None:
    rows = table(REFERENCE / "http.md", "state of a service")
    assert sorted(row["state of a service"] for row in rows) == sorted(ServiceState)


# --- alerts


def test_every_alert_is_in_the_table_and_no_other() -> None:
    rows = table(REFERENCE / "operations.md", "alert", "what has happened")
    assert {row["alert"] for row in rows} == set(AlertKind)


# --- the plan


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("key", PlanFile),
        ("field of a step", StepSpec),
        ("field of mongo", MongoSpec),
        ("field of objects", ObjectsSpec),
        ("field of python", PythonSpec),
        ("field of pace", PaceSpec),
        ("field of pressure", PressureSpec),
    ],
)
def test_every_field_of_a_plan_is_in_its_table_and_no_other(
    heading: str, model: type[BaseModel]
) -> None:
    fields = model.model_fields
    rows = table(PLAN, heading)
    said = [row[heading] for row in rows]
    assert sorted(said) == sorted(field.alias or name for name, field in fields.items())


@pytest.mark.parametrize("model", [MongoSpec, ObjectsSpec], ids=["mongo", "objects"])
def test_what_a_step_may_leave_out_has_the_default_that_is_said(model: type[BaseModel]) -> None:
    heading = f"field of {model.__name__.removesuffix('Spec').lower()}"
    said = {row[heading]: row["default"] for row in table(PLAN, heading, "default")}
    assert said == {
        name: default(field).replace("`", "") for name, field in model.model_fields.items()
    }


# --- examples

PAGES = (README, *sorted(REFERENCE.glob("*.md")))
EXAMPLES = [
    code for page in PAGES for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
]


STEP = """
from pydantic import BaseModel
from tests.support.sample_steps import Pause

class AvatarsStep(Pause):
    class Options(BaseModel):
        root: str

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name)
"""
"""What the examples name as a step of one's own."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_loads(example: str) -> None:
    exec(compile(example, "example.py", "exec"), {"__name__": "example"})  # noqa: S102


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PLAN.read_text(), re.DOTALL))
def test_an_example_of_a_plan_is_one(example: str, tmp_path: Path) -> None:
    steps = "" if example.startswith("service:") else "service: example\nsteps:\n"
    path = tmp_path / "plan.yaml"
    path.write_text(steps + example)
    (tmp_path / "avatars_step.py").write_text(STEP)
    assert read_plan(path, {"AVATARS_ROOT": "/srv/avatars"}).steps


def test_every_collection_of_the_pipeline_is_on_the_page_about_debugging() -> None:
    rows = table(DOCS / "debugging.md", "collection", "what is in it")
    assert {row["collection"] for row in rows} == PIPELINE_COLLECTIONS
