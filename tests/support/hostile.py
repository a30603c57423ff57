"""Text that somebody else wrote, and how it must look on a terminal."""

from typing import Final

HOSTILE: Final = "[/v1/files] [bold]b[/] :bomb: \x1b[2J\x1b]0;title\x07\u202e"
SHOWN: Final = r"[/v1/files] [bold]b[/] :bomb: \x1b[2J\x1b]0;title\x07\u202e"


def harmless(output: str) -> bool:
    """Whether `output` does nothing on a terminal but print and break lines."""
    return output.replace("\n", "").isprintable()
