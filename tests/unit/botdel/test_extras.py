"""A command whose packages are not installed says which extra has them."""

import pytest

from botdel.extras import imported_from
from deletion.errors import ConfigurationError
from tests.support.commands import python

WITHOUT = """
import sys
sys.modules["moto"] = None
sys.argv = ["botdel", *{arguments}]
from botdel.cli import main
main()
"""


@pytest.mark.parametrize("typed", ["demo", "demo --console", "local up"])
def test_without_its_packages_a_command_names_the_extra_on_one_line(typed: str) -> None:
    ended = python(WITHOUT.format(arguments=typed.split()))
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("botdel: the package moto is not installed; install the extra")
    assert "pip install 'bot-deletion-pipeline[local]'" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_module_of_the_pipeline_itself_is_no_extra() -> None:
    with pytest.raises(ModuleNotFoundError), imported_from("local"):
        raise ModuleNotFoundError("No module named 'botdel.x'", name="botdel.x")


def test_the_package_is_named_and_not_its_module() -> None:
    with pytest.raises(ConfigurationError, match="the package moto is"), imported_from("local"):
        raise ModuleNotFoundError("No module named 'moto.x'", name="moto.x")
