"""Names of things in Python that a person writes: `package.module:Name`."""

import importlib
import re
import sys
from pathlib import Path
from typing import Final

_REFERENCE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_reference(text: str) -> bool:
    """Whether `text` has the form of a reference."""
    return _REFERENCE.fullmatch(text) is not None


def imported(reference: str, folder: Path) -> object:
    """What `reference` names; its module may stand in `folder`, which is searched last.

    Raises `ValueError`, which says why there is no such thing.
    """
    module, _, name = reference.partition(":")
    if (path := str(folder.resolve())) not in sys.path:
        sys.path.append(path)  # not first: nothing in the folder may replace another module
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        if error.name == name:
            raise ValueError(f"expected {name} in the module {module}, found nothing") from None
        raise ValueError(_said(module, error)) from error
    except (Exception, SystemExit) as error:  # a program, perhaps, that ends when it is imported
        raise ValueError(_said(module, error)) from error


def _said(module: str, error: BaseException) -> str:
    return f"the module {module} cannot be imported: {type(error).__name__}: {error}"
