"""Imports point one way, and the inner core needs nothing but Python."""

import importlib.util
import pkgutil
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

import deletion
from tests.support.commands import python
from tests.support.paths import PACKAGES, ROOT

CORE = {each.name for each in pkgutil.iter_modules(deletion.__path__)} - {"adapters", "process"}
WITH_LIBRARIES = {
    *("due_window", "events", "gate", "lease", "operating", "permits", "pressure", "retry"),
    *("runner", "silence", "testing", "turns"),
}
"""Modules of the core that need more than Python: tenacity or structlog, protobuf, pytest."""
FRAMEWORKS = ("fastapi", "grpc", "motor", "pydantic", "pymongo", "bson", "uvicorn", "httpx")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.proves("gateway-without-data")
def test_every_import_contract_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("contract", "modules"),
    [("standard-library-only", CORE - WITH_LIBRARIES), ("core-without-frameworks", CORE)],
)
def test_a_contract_names_every_module_that_it_is_about(contract: str, modules: set[str]) -> None:
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    named = contracts[f"importlinter:contract:{contract}"]["source_modules"].split()
    assert sorted(named) == sorted(f"deletion.{module}" for module in modules)


VIOLATIONS = {
    "the gateway reads jobs": ("gateway/app.py", "import deletion.adapters.mongo.jobs"),
    "the gateway knows what a job is": ("gateway/requests.py", "import deletion.job"),
    "the gateway has a database driver": ("gateway/app.py", "import pymongo"),
    "a job knows its database": ("deletion/job/record.py", "import pymongo"),
    "a port knows an adapter": ("deletion/ports.py", "import deletion.adapters.mongo"),
    "the runner knows an adapter": ("deletion/runner/run.py", "import deletion.adapters.plan_file"),
    "what an operator does knows an adapter": (
        "deletion/operating/jobs.py",
        "import deletion.adapters.mongo.jobs",
    ),
    "an adapter knows a process's settings": (
        "deletion/adapters/alerts/webhook.py",
        "import deletion.process.alert_settings",
    ),
    "the core knows a process": ("deletion/process/serving.py", "import consumers.main"),
    "a process knows the tests": ("consumers/intake.py", "import deletion.testing"),
    "the suite of steps knows a driver": ("deletion/testing/rig.py", "import pymongo"),
    "the suite of steps knows an adapter": (
        "deletion/testing/conformance.py",
        "import deletion.adapters.spec",
    ),
    "one process knows another": ("consumers/intake.py", "import recovery.sweeper"),
    "a process knows the console": ("recovery/sweeper.py", "import console"),
}


@pytest.mark.parametrize(("path", "line"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_contract_breaks_when(tmp_path: Path, path: str, line: str) -> None:
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    with (tmp_path / path).open("a") as module:
        module.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert " 0 broken" not in done.stdout
    assert "BROKEN" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("module", sorted(CORE - WITH_LIBRARIES))
def test_the_innermost_modules_need_nothing_but_python(module: str) -> None:
    done = python(f"import deletion.{module}", "-I", "-S")
    assert done.returncode == 0, done.stderr


def test_without_installed_packages_there_really_are_none() -> None:
    done = python("import structlog", "-I", "-S")
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_loads_no_framework(module: str) -> None:
    done = python(f"import deletion.{module}\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint(FRAMEWORKS)
    assert "deletion" in loaded


def test_the_cron_client_loads_no_broker_and_no_database() -> None:
    done = python("import recovery.client, recovery.settings\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"grpc", "motor", "pymongo"})
    assert "recovery.client" in loaded


def test_the_folder_of_the_contract_is_no_package() -> None:
    """`proto` is the import name of proto-plus, which google-cloud-pubsub needs."""
    assert [*(ROOT / "proto").rglob("*.proto")]
    assert [*(ROOT / "proto").rglob("*.py")] == []
    found = importlib.util.find_spec("proto")
    assert found is not None
    assert found.origin is not None
    assert ROOT not in Path(found.origin).parents or "site-packages" in found.origin
