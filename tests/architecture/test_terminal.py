"""Text of others meets one console, which reads no markup and passes on no control characters."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT, sources

TERMINAL = ROOT / "botdel" / "terminal.py"
ALLOWED = {
    "rich.box": {"SIMPLE_HEAD"},
    "rich.console": {"Group", "RenderableType"},
    "rich.progress": {"TaskID"},
    "rich.table": {"Column", "Table"},
    "rich.text": {"Text"},
}
"""What makes no console and reads no markup of its own accord."""
READERS = {"from_markup", "status", "input"}
"""Methods of consoles and texts that read markup whatever their console is set to."""


def offences(source: str) -> Iterator[str]:
    """What in `source` could show text of others otherwise than through `botdel.terminal`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names if n.name.partition(".")[0] == "rich")
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] == "rich":
                    allowed = ALLOWED.get(module, set())
                    yield from (f"{module}.{n.name}" for n in names if n.name not in allowed)
            case ast.Call(func=ast.Attribute(attr=name)) if name in READERS:
                yield f".{name}()"


def test_the_one_console_is_made_in_one_place() -> None:
    files = sources()
    assert TERMINAL in files
    found = {path: list(offences(path.read_text())) for path in files if path != TERMINAL}
    assert {str(path): why for path, why in found.items() if why} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import rich",
        "import rich.console as c",
        "from rich import print",
        "from rich.console import Console",
        "from rich.markup import escape",
        "from rich.progress import Progress",
        "from rich.panel import Panel",
        "Text.from_markup(failure)",
        "console().status(failure)",
    ],
)
def test_it_is_noticed_that_a_module_says(line: str) -> None:
    assert list(offences(f"from rich.text import Text\n{line}\n"))
