"""The reference of the step `http` has every field of the plan file, and its example is a plan."""

import re
from pathlib import Path

from deletion.adapters.http_api.spec import HttpSpec, UndoSpec
from deletion.adapters.plan_file import read_plan
from tests.architecture.documents import table
from tests.support.paths import DOCS

URL = "https://billing.example/bots/{bot_id}"
REFERENCE = DOCS / "reference" / "http_step.md"


def shown(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def default_of(name: str) -> str:
    """For a step, and for a compensation where that differs, with the methods where it does."""
    if HttpSpec.model_fields[name].is_required():
        return "required"
    step = shown(getattr(HttpSpec.model_validate({"url": URL}), name))
    if UndoSpec.model_fields[name].is_required():
        return f"{step}; required in a compensation"
    other: dict[str, list[str]] = {}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        undo = shown(getattr(UndoSpec.model_validate({"url": URL, "method": method}), name))
        other.setdefault(undo, []).append(method)
    other.pop(step, None)
    by = [f"; {value} in a compensation by {', '.join(those)}" for value, those in other.items()]
    return step + "".join(by)


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
