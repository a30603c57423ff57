"""The console, which shows text from outside literally.

Failures, cursors, plans, log lines and a broker's messages come from outside. This text is not read
as markup, and it cannot move the cursor, set colours or a title, or hide other text. `Terminal` is
therefore the only console of this project, which an architecture test checks. Text with a style is
a `rich.text.Text`.
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
"""Characters in a line when the output is not a terminal."""


class Terminal(Console):
    """A console without markup. Strings are shown `escaped`, with their line breaks and tabs.

    A `Text` keeps its style; control characters in it are left out.
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
        """Return the string as literal text. Rich passes every string through here."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(escaped(text, keep="\n\t"), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Remove control characters. Rich passes everything else through here, nested parts too."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=_without_controls(segment.text))


class Bars(Progress):
    """Progress bars that count `unit`, below whatever is printed to `out`."""

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
    """Return a console on standard output, wide if that is not a terminal: ids are never cut."""
    return Terminal(width=None if sys.stdout.isatty() else WIDE)


def printable(text: str, *, keep: str = "") -> Text:
    """Return `text` with control characters escaped, but for those in `keep`.

    Without its line breaks, one field of a record never looks like two.
    """
    return Text(escaped(text, keep=keep))


@contextmanager
def waiting(what: str, out: Terminal | None = None) -> Iterator[Callable[[str], None]]:
    """Show on standard error, if it is a terminal, what the command waits for.

    Yields a function that changes the line.
    """
    out = out or Terminal(stderr=True)
    if not out.is_terminal:
        yield lambda _: None
        return
    with out.status(printable(what)) as status:
        yield lambda text: status.update(printable(text))


def _without_controls(text: str) -> str:
    """Remove all characters of Unicode's categories C* (control, format, surrogate) but `\\n`."""
    return "".join(c for c in text if c == "\n" or not unicodedata.category(c).startswith("C"))
