"""The wheel and the source distribution contain what they must, and nothing else."""

from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deletion import __version__
from tests.release.distributions import Distributions, build, tracked
from tests.support.paths import PACKAGES


@pytest.fixture(scope="module")
def distributions() -> Iterator[Distributions]:
    with TemporaryDirectory() as folder:
        yield build(Path(folder))


@pytest.fixture
def metadata(distributions: Distributions) -> Message:
    return Parser().parsestr(distributions.read(".dist-info/METADATA"))


def of_packages(files: set[str]) -> set[str]:
    return {name for name in files if name.partition("/")[0] in PACKAGES}


def test_the_wheel_has_every_file_of_the_packages(distributions: Distributions) -> None:
    expected = of_packages(tracked())
    assert {Path(name).suffix for name in expected} >= {".html", ".css", ".yaml", ".pyi", ".py"}
    assert of_packages(distributions.in_wheel()) == expected


def test_every_package_is_typed(distributions: Distributions) -> None:
    assert distributions.in_wheel() >= {f"{name}/py.typed" for name in PACKAGES}


def test_the_wheel_has_nothing_else(distributions: Distributions) -> None:
    info = f"bot_deletion_pipeline-{__version__}.dist-info"
    others = distributions.in_wheel() - of_packages(distributions.in_wheel())
    names = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    assert others == {f"{info}/{name}" for name in names}
    assert distributions.wheel.name == f"bot_deletion_pipeline-{__version__}-py3-none-any.whl"


def test_the_source_distribution_has_what_the_wheel_and_its_generated_code_are_made_of(
    distributions: Distributions,
) -> None:
    made = {name for name in distributions.in_source() if ".egg-info/" not in name}
    assert made - {"PKG-INFO", "setup.cfg"} == tracked()
    assert distributions.source.name == f"bot_deletion_pipeline-{__version__}.tar.gz"


def test_the_metadata_says_what_it_is(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("bot-deletion-pipeline", __version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_all("Provides-Extra") == ["local", "testing", "objects", "traces", "dev"]
    pythons = [name for name in metadata.get_all("Classifier", []) if "Python :: 3." in name]
    assert [name.rpartition(" ")[2] for name in pythons] == ["3.11", "3.12", "3.13"]


def test_its_command_is_botdel(distributions: Distributions) -> None:
    assert "botdel = botdel.cli:main" in distributions.read("entry_points.txt")
