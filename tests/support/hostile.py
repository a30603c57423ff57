"""Text that attacks a terminal, and a check that printing it does no harm."""

from typing import Final

HOSTILE: Final = "[/v1/files] [bold]b[/] :bomb: \x1b[2J\x1b]0;title\x07\u202e"
SHOWN: Final = r"[/v1/files] [bold]b[/] :bomb: \x1b[2J\x1b]0;title\x07\u202e"


def harmless(output: str) -> bool:
    """Whether `output` only prints text and line breaks on a terminal."""
    return output.replace("\n", "").isprintable()
