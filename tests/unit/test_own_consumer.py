"""The public face for teams that write steps, and a consumer over a plan made in Python."""

import subprocess
import sys
from collections.abc import AsyncGenerator

import pytest

import consumers
from consumers.own import Made
from deletion.adapters.spec import Outside
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


def test_a_plan_made_in_python_is_taken_as_it_is() -> None:
    plan = Plan("avatars", (Nothing(),))
    made = Made(plan)
    assert made.service == "avatars"
    assert made.build(Outside(lambda _: pytest.fail("connects"))) is plan


def test_what_is_wrong_ends_the_program_with_a_sentence() -> None:
    done = python(
        f"from {__name__} import Nothing\n"
        "from consumers import Plan, run\n"
        "run(Plan('avatars', (Nothing(),)))"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("botdel: settings are missing or wrong:")
    assert "BOTDEL_MONGODB_URI" in done.stderr
