"""The public face for teams that write steps, and a consumer over a plan made in Python."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import consumers
from deletion.adapters.plan_file import PlanFile
from deletion.adapters.plan_source import find_plan, source_of
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError
from deletion.plan import Batch, Plan


class Nothing:
    """A step with nothing to do."""

    name = "nothing"

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        yield Batch(0, cursor)

    async def is_empty(self, bot_id: str) -> bool:
        return True


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, without any settings."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_name_of_the_face_is_there_and_its_types_are_the_cores() -> None:
    assert {name: getattr(consumers, name) for name in consumers.__all__}
    assert consumers.Plan is Plan
    assert consumers.Batch is Batch
    with pytest.raises(AttributeError, match="no attribute 'Task'"):
        _ = consumers.Task


@pytest.mark.proves("plan-in-python")
def test_the_face_costs_nothing_before_a_name_is_used() -> None:
    done = python("import sys, consumers; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"deletion", "pydantic", "pymongo", "grpc", "fastapi"})


def test_a_step_needs_no_driver_and_no_broker() -> None:
    done = python(
        "import sys\nfrom consumers import Batch, Plan, Step, TransientError\nprint(*sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "deletion" in loaded
    assert loaded.isdisjoint({"pydantic", "pymongo", "grpc", "fastapi"})


PLAN = Plan("avatars", (Nothing(),))
CONNECTIONS = StepConnections(lambda _: pytest.fail("connects"))


class Later:
    """Makes its plan once there is a process."""

    service = "avatars"

    def build(self, _connections: StepConnections) -> Plan:
        return PLAN


SOURCE = Later()


def test_a_plan_made_in_python_is_taken_as_it_is() -> None:
    made = source_of(PLAN)
    assert made.service == "avatars"
    assert made.build(CONNECTIONS) is PLAN
    assert source_of(SOURCE) is SOURCE


@pytest.mark.proves("plan-in-python")
@pytest.mark.parametrize("name", ["PLAN", "SOURCE"])
def test_a_command_finds_a_plan_in_python(name: str) -> None:
    assert find_plan(Path(f"{__name__}:{name}")).build(CONNECTIONS) is PLAN


def test_a_file_comes_before_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("json:dumps").write_text(
        "service: chat\nsteps:\n- name: a\n  mongo: {database: a, collection: b, field: c}\n"
    )
    assert isinstance(find_plan(Path("json:dumps")), PlanFile)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("no/such/plan.yaml", "plan.yaml cannot be read"),
        ("nowhere_at_all:PLAN", "nowhere_at_all:PLAN: the module nowhere_at_all cannot be imp"),
        (f"{__name__}:GONE", "expected GONE in the module"),
        (f"{__name__}:Nothing", "expected a Plan, found type"),
    ],
)
def test_what_is_no_plan_is_named(named: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        find_plan(Path(named))


def test_what_is_wrong_ends_the_program_with_a_sentence() -> None:
    done = python(
        f"from {__name__} import Nothing\n"
        "from consumers import Plan, run\n"
        "run(Plan('avatars', (Nothing(),)))"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("botdel: settings are missing or wrong:")
    assert "BOTDEL_MONGODB_URI" in done.stderr
