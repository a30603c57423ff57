"""Packages that only some commands need, and that may not be installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deletion.errors import ConfigurationError

OWN: Final = {"botdel", "console", "consumers", "deletion", "gateway", "recovery"}


@contextmanager
def imported_from(extra: str) -> Iterator[None]:
    """Put this around imports. Raises a `ConfigurationError` that names `extra` if a package of it
    is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in OWN:
            raise
        raise ConfigurationError(
            f"the package {missing} is not installed",
            f"install the extra that has it with pip install 'bot-deletion-pipeline[{extra}]', or "
            f"in a checkout with pip install -e '.[{extra}]'",
        ) from None
