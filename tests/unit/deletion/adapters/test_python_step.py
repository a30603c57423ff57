"""A team's own step in a plan file is loaded and checked, or refused with the line of the file."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deletion.adapters.plan_file import read_plan
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError
from deletion.plan import Step

MODULE = """\
from functools import wraps
from pydantic import BaseModel, Field, SecretStr, field_validator


class Bare:
    def __init__(self, name):
        self.name = name

    async def delete(self, bot_id, cursor):
        yield

    async def is_empty(self, bot_id):
        return True


class Avatars(Bare):
    class Options(BaseModel, extra="forbid"):
        root: str
        size: int = Field(10, ge=1)
        token: SecretStr | None = None

        @field_validator("root")
        @classmethod
        def _known(cls, root):
            if root == "/nowhere":
                raise RuntimeError("the disk is gone")
            return root

    def __init__(self, name, options):
        super().__init__("other" if options.root == "/other" else name)
        self.options = options
        if options.root == "/broken":
            raise OSError("no such folder")


class NoDelete:
    def __init__(self, name): ...
    async def is_empty(self, bot_id): ...


class NoReadBack:
    def __init__(self, name): ...
    async def delete(self, bot_id, cursor): yield


class NoGenerator(Bare):
    async def delete(self, bot_id, cursor): ...


class Blocking(Bare):
    def delete(self, bot_id, cursor): yield


class SaysAtOnce(Bare):
    def is_empty(self, bot_id): return True


class NoCursor(Bare):
    async def delete(self, bot_id): yield


class NoName(Bare):
    def __init__(self): ...


class NoOptions(Bare):
    class Options(BaseModel): ...


class PlainOptions(Bare):
    Options = dict


class Delegating(Bare):
    def delete(self, bot_id, cursor):
        return super().delete(bot_id, cursor)


def function(): ...
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Of a plan file beside which there are modules."""
    before = list(sys.path)
    (tmp_path / "steps_of_a_team.py").write_text(MODULE)
    (tmp_path / "broken_at_import.py").write_text("1 / 0")
    (tmp_path / "no_python.py").write_text("class")
    (tmp_path / "a_program.py").write_text("raise SystemExit(3)")
    yield tmp_path / "plan.yaml"
    sys.path[:] = before
    for name in ("steps_of_a_team", "broken_at_import", "no_python", "a_program"):
        sys.modules.pop(name, None)


def read(path: Path, python: str, environ: dict[str, str] | None = None) -> Step:
    path.write_text(f"service: avatars\nsteps:\n  - name: files\n    python: {python}\n")
    [step] = (
        read_plan(path, environ or {})
        .build(StepConnections(lambda _: pytest.fail("connects")))
        .steps
    )
    return step


def refused(path: Path, python: str) -> str:
    with pytest.raises(PlanError) as caught:
        read(path, python)
    return str(caught.value).replace(f"{path}:", "")


def options(inside: str) -> str:
    return f"\n      class: steps_of_a_team:Avatars\n      options:\n        {inside}"


def test_a_class_is_named_alone_or_with_its_options(path: Path) -> None:
    assert read(path, "steps_of_a_team:Bare").name == "files"
    assert read(path, "steps_of_a_team:Delegating").name == "files"
    step = read(path, options("root: /srv/${STAGE}\n        token: hunter22"), {"STAGE": "eu"})
    given = step.options  # type: ignore[attr-defined]
    assert (step.name, given.root, given.size) == ("files", "/srv/eu", 10)
    assert given.token == SecretStr("hunter22")


def test_options_are_not_printed(path: Path) -> None:
    inside = "root: mongodb://reader:hunter22@x/"
    path.write_text(f"service: avatars\nsteps:\n  - name: files\n    python: {options(inside)}\n")
    assert "hunter22" not in repr(read_plan(path, {}))


@pytest.mark.parametrize("inside", ["size: SECRET", "root: [SECRET]", "root: a\n        b: SECRET"])
def test_no_message_repeats_a_value(path: Path, inside: str) -> None:
    said = refused(path, options(inside.replace("SECRET", "mongodb://reader:hunter22@x/")))
    assert "hunter22" not in said


CLASS = "steps.0.python.class: "
OPTIONS = "steps.0.python.options"


@pytest.mark.proves("wrong-step")
@pytest.mark.parametrize(
    ("python", "fault"),
    [
        ("steps_of_a_team", f"4: {CLASS}expected package.module:Class"),
        ("[a]", "4: steps.0.python: expected fields"),
        ("{class: 3}", f"4: {CLASS}expected package.module:Class"),
        ("{options: {}}", f"4: {CLASS}expected, but it is missing"),
        ("{class: 'steps_of_a_team:Bare', extra: 1}", "4: steps.0.python.extra: not a known field"),
        ("nowhere_at_all:Step", f"4: {CLASS}the module nowhere_at_all cannot be imported: No mod"),
        ("broken_at_import:Step", f"4: {CLASS}the module broken_at_import cannot be imported: div"),
        ("a_program:Step", f"4: {CLASS}the module a_program cannot be imported: 3 (SystemExit)"),
        ("no_python:Step", f"4: {CLASS}the module no_python cannot be imported: "),
        (
            "steps_of_a_team:Gone",
            f"4: {CLASS}expected Gone in the module steps_of_a_team, f",
        ),
        ("steps_of_a_team:function", f"4: {CLASS}expected a class, found function"),
        ("steps_of_a_team:NoDelete", f"4: {CLASS}NoDelete cannot be a step: it has no method del"),
        ("steps_of_a_team:NoReadBack", "it has no method is_empty"),
        ("steps_of_a_team:NoGenerator", "expected `delete` to be an async generator"),
        ("steps_of_a_team:Blocking", "expected `delete` to be an async generator"),
        ("steps_of_a_team:SaysAtOnce", "expected `is_empty` to be `async def`"),
        ("steps_of_a_team:NoCursor", "expected delete(bot_id, cursor): too many positional"),
        ("steps_of_a_team:NoName", "expected a constructor that takes (name): too many"),
        ("steps_of_a_team:NoOptions", "expected a constructor that takes (name, options): too"),
        ("steps_of_a_team:PlainOptions", "expected its `Options` to be a pydantic model"),
        ("{class: 'steps_of_a_team:Bare', options: {a: 1}}", f"4: {OPTIONS}: expected none, becau"),
        ("steps_of_a_team:Avatars", f"4: {OPTIONS}.root: expected, but it is missing"),
        (options("rot: /srv"), f"6: {OPTIONS}.root: expected, but it is missing"),
        (options("rot: /srv"), f"7: {OPTIONS}.rot: not a known field"),
        (options("root: /srv\n        size: 0"), f"8: {OPTIONS}.size: Input should be greater"),
        (options("root: /nowhere"), f"6: {OPTIONS}: the disk is gone (RuntimeError)"),
        (options("root: /broken"), "step files: cannot be made, no such folder (OSError)"),
        (options("root: /other"), "step files: expected the step to have the name it is made with"),
    ],
)
def test_what_is_wrong_is_named_with_the_line_of_the_plan_file(
    path: Path, python: str, fault: str
) -> None:
    assert fault in refused(path, python)


@pytest.mark.proves("wrong-step")
def test_a_module_beside_the_plan_file_replaces_no_other(path: Path) -> None:
    sys.modules.pop("colorsys", None)
    (path.parent / "colorsys.py").write_text("1 / 0")
    with pytest.raises(PlanError, match="expected Gone in the module colorsys"):
        read(path, "colorsys:Gone")


@pytest.mark.proves("wrong-step")
def test_the_command_says_it_in_a_sentence_and_exits_as_for_misuse(path: Path) -> None:
    path.write_text("service: avatars\nsteps:\n  - {name: files, python: 'no_python:Step'}\n")
    command = [sys.executable, "-m", "botdel.cli", "plan", "check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"botdel: {path}:3: steps.0.python.class: the module no_python")
    assert "Traceback" not in done.stderr
