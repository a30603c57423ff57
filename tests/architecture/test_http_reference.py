"""The reference of the step `http` has every field of the plan file, and its example is a plan."""

import re
from pathlib import Path

import pytest

from deletion.adapters.http_api.spec import HttpSpec, UndoSpec
from deletion.adapters.plan_file import read_plan
from tests.architecture.documents import DOCS, table

REFERENCE = DOCS / "reference" / "http_step.md"


def shown(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def default_of(name: str) -> str:
    """For a step, and for a compensation where that differs."""
    fields = [spec.model_fields[name] for spec in (HttpSpec, UndoSpec)]
    if fields[0].is_required():
        return "required"
    step, undo = (shown(field.get_default(call_default_factory=True)) for field in fields)
    return step if step == undo else f"{step}; {undo} in a compensation"


def test_the_table_of_fields_is_that_of_the_model() -> None:
    real = {name: default_of(name) for name in HttpSpec.model_fields}
    rows = table(REFERENCE, "field", "default", "meaning")
    assert {row["field"]: row["default"] for row in rows} == real


def test_the_example_is_a_plan(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.S)
    path = tmp_path / "plan.yaml"
    path.write_text(example)
    plan = read_plan(path, {"BILLING_TOKEN": "t"})
    assert [step.name for step in plan.steps] == ["account"]


@pytest.mark.parametrize(
    "page", ["decisions/0031-one-breaker-for-a-fleet.md", "reference/http_step.md"]
)
def test_its_links_lead_somewhere(page: str) -> None:
    path = DOCS / page
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / link).is_file(), link
