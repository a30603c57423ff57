"""Lists of records on a terminal: ids stay whole, and columns that do not fit are left out."""

from collections.abc import Collection, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from botdel.terminal import Terminal, printable

LEAST: Final = 10
"""Characters that a wrapping column keeps at least, unless its content is shorter."""
LEAST_SERVICE: Final = 20
"""The same for the names of services, of which few are longer."""

Cell = str | Text


def show(
    out: Terminal,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    whole: Collection[str],
    spare: Sequence[str],
    nothing: str,
    in_full: str | None = None,
) -> None:
    """Print `rows`, or the text `nothing` if there are none.

    Columns in `whole` are never wrapped or cut, and the others wrap. Columns in `spare` are left
    out, beginning with the last, until the others fit the terminal. The note about them names
    `in_full`, the command that shows one record.
    """
    if not rows:
        out.print(nothing)
        return
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = {
        name: _width(name, [row[at] for row in cells], is_whole=name in whole)
        for at, name in enumerate(columns)
    }
    shown, dropped = list(columns), []
    for name in reversed(spare):
        if _needed(widths, shown) > out.width:
            shown.remove(name)
            dropped.append(name)
    needed = _needed(widths, shown)
    table = Table(
        *(
            Column(name, no_wrap=name in whole, min_width=widths[name], overflow="fold")
            for name in shown
        ),
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        width=needed if needed > out.width else None,
    )
    for row in cells:
        table.add_row(*(cell for name, cell in zip(columns, row, strict=True) if name in shown))
    out.print(table, crop=False)
    if dropped:
        left_out = ", ".join(name for name in columns if name in dropped)
        others = f", `--json` or `{in_full}`" if in_full else " or `--json`"
        note(f"columns left out: {left_out}; a wider terminal{others} shows them")


def note(text: str) -> None:
    """Print a note about the list on standard error."""
    Terminal(stderr=True).print(printable(text), soft_wrap=True)


def note_cut_off(limit: int) -> None:
    """Note that there are more records than the `limit` listed."""
    note(f"there are more than these {limit:,}: raise --limit to see them")


def _cell(cell: Cell) -> Text:
    return printable(cell) if isinstance(cell, str) else cell


def _width(name: str, cells: Sequence[Text], *, is_whole: bool) -> int:
    longest = max((cell.cell_len for cell in cells), default=0)
    least = LEAST_SERVICE if name == "service" else LEAST
    return max(len(name), longest if is_whole else min(least, longest))


def _needed(widths: dict[str, int], shown: Sequence[str]) -> int:
    return sum(widths[name] + 1 for name in shown) - 1
