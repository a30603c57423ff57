"""The documentation, read as a reader sees it."""

import re
from functools import cache
from pathlib import Path

from tests.support.paths import DOCS, ROOT

README = ROOT / "README.md"
REFERENCE = DOCS / "reference"


def table(document: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of the only table whose header begins with `columns`, without its backquotes."""
    lines = iter(document.read_text(encoding="utf-8").splitlines())
    header = next(cells for cells in map(_cells, lines) if cells[: len(columns)] == list(columns))
    assert set("".join(_cells(next(lines)))) == {"-"}
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(header, _cells(line), strict=True)))
    assert rows, f"the table {columns} of {document.name} is empty"
    return rows


@cache
def anchors(page: Path) -> set[str]:
    """Those of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
