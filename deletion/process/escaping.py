"""Text of others, made safe for a terminal and for a line of a log."""


def escaped(text: str, *, keep: str = "") -> str:
    """`text` with every character that is not printable, unless in `keep`, as a Python escape."""
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
