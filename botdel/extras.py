"""Packages that only some commands need, and that an installation may lack."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deletion.errors import ConfigurationError

OWN: Final = {"botdel", "console", "consumers", "deletion", "gateway", "recovery"}


@contextmanager
def imported_from(extra: str) -> Iterator[None]:
    """Around imports: raise `ConfigurationError`, which names the extra, when a package of it is
    not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in OWN:
            raise
        raise ConfigurationError(
            f"the package {missing} is not installed",
            f"install the extra that has it: pip install 'bot-deletion-pipeline[{extra}]', in a "
            f"checkout pip install -e '.[{extra}]'",
        ) from None
