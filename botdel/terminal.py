"""The terminal, on which text from elsewhere is shown as it is.

Failures, cursors, plans, log lines and a broker's messages come from elsewhere. None of it is read
as markup, and none of it moves the cursor, sets colours or a title, or hides other text. So
`Terminal` is the only console of this project, which an architecture test checks. Text with a style
is a `rich.text.Text`.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from deletion.process.run import escaped

WIDE: Final = 160
"""Characters of a line when no terminal says how wide it is."""


class Terminal(Console):
    """A console without markup. Strings are shown `escaped`, with their line breaks and tabs.

    A `Text` is laid out by its author; control characters that it still has are left out.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
        force_terminal: bool | None = None,
    ) -> None:
        super().__init__(
            stderr=stderr, file=file, width=width, force_terminal=force_terminal, highlight=False
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is. Every string that is shown passes through here."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(escaped(text, keep="\n\t"), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Everything else passes through here, nested parts too."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=_without_controls(segment.text))


class Bars(Progress):
    """Progress bars that count `unit`, below what is printed to `out` meanwhile."""

    def __init__(self, out: Terminal, unit: str) -> None:
        super().__init__(
            TextColumn("{task.description:>22}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit.replace("{", "{{").replace("}", "}}"), markup=False),
            TimeElapsedColumn(),
            console=out,
        )


def console() -> Terminal:
    """Standard output. When it is not a terminal it is wide, so that ids are never cut."""
    return Terminal(width=None if sys.stdout.isatty() else WIDE)


def printable(text: str, *, keep: str = "") -> Text:
    """`text` on one line, `escaped`: for a field of a record, which must not look like two."""
    return Text(escaped(text, keep=keep))


@contextmanager
def waiting(what: str, out: Terminal | None = None) -> Iterator[Callable[[str], None]]:
    """Show on standard error what the command waits for; call the result to change the line.

    Only on a terminal.
    """
    out = out or Terminal(stderr=True)
    if not out.is_terminal:
        yield lambda _: None
        return
    with out.status(printable(what)) as status:
        yield lambda text: status.update(printable(text))


def _without_controls(text: str) -> str:
    """Without the characters of Unicode's categories C* (control, format, surrogate), but `\\n`."""
    return "".join(c for c in text if c == "\n" or not unicodedata.category(c).startswith("C"))
