"""What deploy/Dockerfile, .dockerignore and the files with hashes say."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic_settings import BaseSettings

from console.settings import ConsoleSettings
from consumers.settings import ConsumerSettings
from gateway.settings import GatewaySettings
from recovery.settings import RecoverySettings
from tests.image.build import required
from tests.image.stages import IGNORED, Stage, argument, context, stages, variables
from tests.support.paths import PACKAGES, ROOT

DEPLOY: Final = ROOT / "deploy"
FILES: Final = [DEPLOY / "requirements.txt", DEPLOY / "requirements-build.txt"]
LINE: Final = re.compile(
    r"[a-z0-9.-]+==[0-9][\w.]*( ; sys_platform [!=]= \"\w+\")? \\"
    r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
)
EXTRAS: Final = ("objects", "traces")
"""What production needs."""
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def image() -> Stage:
    return stages()[-1]


def named(file: Path) -> dict[str, str]:
    """The packages of a file, by the names that registries compare."""
    return {canonicalize_name(name): version for name, version in required(file).items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_line_is_a_package_with_its_version_or_a_hash(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and line[0] != "#"]
    wrong = [line for line in lines if not LINE.fullmatch(line)]
    assert wrong == [], "no index, no host, and nothing without a hash"
    for before, line in pairwise(lines):
        assert "==" not in before or "--hash" in line, before


@pytest.mark.proves("image-as-built")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_versions_are_those_that_the_tests_run_with(file: Path) -> None:
    pinned = named(ROOT / "constraints.txt")
    assert {name: pinned.get(name) for name in named(file)} == named(file)


def needed(requirements: list[str], extras: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Every package that these bring, on the platform of the tests."""
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            name = canonicalize_name(requirement.name)
            further = tuple(requirement.extras) or ("",)
            yield name
            yield from needed(requires(name) or [], further)


@pytest.mark.proves("image-as-built")
def test_the_image_installs_what_the_pipeline_needs_in_production_and_no_more() -> None:
    wanted = PROJECT["dependencies"] + [
        requirement for extra in EXTRAS for requirement in PROJECT["optional-dependencies"][extra]
    ]
    assert set(named(FILES[0])) == set(needed(wanted))


def test_the_default_base_is_the_oldest_python_that_is_supported() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert argument("BASE").startswith(f"python:{oldest}-slim-")
    assert {stage.base for stage in stages()} == {"${BASE}"}, "one base, pinned in one place"


def test_a_process_is_started_without_a_shell_and_without_root(image: Stage) -> None:
    assert image.command() == ["botdel"]
    assert image.values("CMD") == ['["--help"]']
    assert image.user() == (65532, 65532)
    assert image.values("RUN") == [], "what is built is copied"


def test_the_orchestrator_asks_for_health_because_each_process_has_its_own_port(
    image: Stage,
) -> None:
    assert image.values("HEALTHCHECK") == ["NONE"]


def test_the_image_says_which_version_and_revision_it_is(image: Stage) -> None:
    (labels,) = image.values("LABEL")
    for name in ("version", "revision"):
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in labels
    makefile = (ROOT / "Makefile").read_text()
    assert "--build-arg VERSION=$(VERSION)" in makefile
    assert "--build-arg REVISION=$(REVISION)" in makefile


@pytest.mark.parametrize(
    "settings", [GatewaySettings, ConsumerSettings, RecoverySettings, ConsoleSettings]
)
def test_each_process_listens_where_probes_reach_it(
    image: Stage, settings: type[BaseSettings]
) -> None:
    (value,) = image.values("ENV")
    env = variables(value, {"PATH": "/usr/bin"})
    (host,) = [name for name in settings.model_fields if name.endswith("_host")]
    assert env[f"BOTDEL_{host.upper()}"] == "0.0.0.0"


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".local/env",
        "compose.yaml",
        "deploy/compose.env",
        "docs/architecture.md",
        "gateway/__pycache__/app.cpython-311.pyc",
        "tests/README.md",
    ],
)
def test_docker_is_not_sent(path: str) -> None:
    assert IGNORED.match_file(path)


def test_docker_is_sent_the_product_and_what_builds_it() -> None:
    sent = {file.parts[0] for file in context()}
    assert sent == {*PACKAGES, "README.md", "deploy", "pyproject.toml"}
