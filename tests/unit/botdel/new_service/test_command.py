"""`botdel new-service` writes what works at once, and never over what is there."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from botdel.new_service.command import TEMPLATES, new_service
from deletion import __version__
from deletion.adapters.mongo.connection import Client
from deletion.adapters.plan_file import read_plan
from deletion.adapters.spec import StepConnections
from deletion.clock import SystemClock
from deletion.errors import ConfigurationError
from deletion.plan import Sized
from deletion.turns import Pacers
from tests.support.paths import ROOT

FILES = ["Dockerfile", "my_avatars_step.py", "plan.yaml", "pytest.ini", "test_my_avatars_step.py"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a service written there."""
    new_service("my-avatars", tmp_path / "service")
    return tmp_path / "service"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_file_is_written_and_filled_in(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert len(FILES) == len(TEMPLATES)
    for path in folder.iterdir():
        assert not re.search(r"\{\{|\}\}", path.read_text()), path


@pytest.mark.proves("further-service")
def test_its_tests_pass_at_once_and_exercise_everything(folder: Path) -> None:
    done = run(folder, "pytest", "-q", "-rs", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.M), done.stdout
    assert "Warning" not in done.stdout + done.stderr


def test_what_is_said_next_warns_of_the_consumer_before_it_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_service("avatars", tmp_path / "service")
    said = capsys.readouterr().out
    assert said.index("deletes as soon as it starts") < said.index("botdel consumer")


def test_its_step_is_named_after_it(folder: Path) -> None:
    """So that a job tells the plans of two services apart, if both take the name of one."""
    plan = read_plan(folder / "plan.yaml", {"MY_AVATARS_ROOT": "/srv"})
    assert [step.name for step in plan.steps] == ["my-avatars-files"]


def test_the_size_of_its_batches_follows_its_pace(folder: Path) -> None:
    plan = read_plan(folder / "plan.yaml", {"MY_AVATARS_ROOT": "/srv"}).build(
        StepConnections(no_client)
    )
    [step] = plan.steps
    assert isinstance(step, Sized)
    assert step.batch_size == 100
    Pacers(plan, SystemClock(), asyncio.Event())
    assert step.batch_size == plan.pace(step).min_batch == 10, "it begins with the smallest"


def no_client(_: str | None) -> Client:
    raise AssertionError("a step over files connects to no database")


def test_what_is_written_has_the_form_of_the_code_here(folder: Path) -> None:
    settings = ("--isolated", "--no-cache", "--line-length", "100")
    checked = run(folder, "ruff", "check", *settings, "--select", "E,F,I,B,UP,RUF,ASYNC", ".")
    assert checked.returncode == 0, checked.stdout
    formatted = run(folder, "ruff", "format", *settings, "--diff", ".")
    assert formatted.returncode == 0, formatted.stdout


def test_the_image_is_that_of_the_pipeline_with_the_plan_and_the_step(folder: Path) -> None:
    lines = (folder / "Dockerfile").read_text().splitlines()
    assert f"ARG PIPELINE=bot-deletion-pipeline:{__version__}" in lines
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM ${PIPELINE}"]
    assert 'CMD ["consumer", "--plan", "plan.yaml"]' in lines, "no shell in between"
    [copied] = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    assert set(copied) < set(FILES)
    for step in re.findall(r"class: (\w+):", (folder / "plan.yaml").read_text()):
        assert f"{step}.py" in copied


@pytest.mark.proves("no-overwriting")
@pytest.mark.parametrize("there", FILES)
def test_nothing_is_written_over_what_is_there(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigurationError, match=rf"exists: \S+{re.escape(there)}$"):
        new_service("my-avatars", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.proves("no-overwriting")
def test_a_folder_of_something_else_gets_no_files_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the folder `gateway` of this repository, for a service of that name."""
    monkeypatch.chdir(tmp_path)
    theirs = Path("gateway")
    theirs.mkdir()
    (theirs / "app.py").write_text("theirs")
    with pytest.raises(ConfigurationError, match=r"gateway is not empty.*--directory"):
        new_service("gateway", None)
    assert [path.name for path in theirs.iterdir()] == ["app.py"]
    new_service("gateway", theirs)
    assert (theirs / "plan.yaml").exists()


def test_an_empty_folder_of_its_name_is_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("avatars").mkdir()
    new_service("avatars", None)
    assert Path("avatars/plan.yaml").exists()


@pytest.mark.parametrize("below", ["", "service"])
def test_a_file_in_place_of_the_folder_is_named_and_stays(tmp_path: Path, below: str) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="expected a folder to write to, found a file"):
        new_service("my-avatars", tmp_path / "mine" / below)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["Avatars", "../avatars", "ledger", "doctor", "a", "", "7up"])
def test_a_name_that_is_none_of_a_service_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="service: expected a name of 3 to 63"):
        new_service(name, tmp_path / "service")
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_to_do_next_and_where_it_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    new_service("my-avatars", None)
    said = capsys.readouterr().out
    for name in FILES:
        assert f"wrote my-avatars/{name}" in said
    for command in (
        "cd my-avatars",
        "python -m pytest",
        "export MY_AVATARS_ROOT=",
        "botdel topology apply --plan plan.yaml",
        "botdel consumer --plan plan.yaml",
    ):
        assert f"\n  {command}" in said
    assert "if it is `in place`, see the guide" in said


def test_the_templates_are_in_the_package() -> None:
    patterns = re.search(r'^"\*" = (\[.*\])$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert patterns is not None
    assert '"*.template"' in patterns[1]
