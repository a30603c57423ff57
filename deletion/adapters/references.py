"""References to Python objects, written as `package.module:Name`."""

import importlib
import re
import sys
from pathlib import Path
from typing import Final

from deletion.errors import with_type

_REFERENCE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_reference(text: str) -> bool:
    """Whether `text` has the form of a reference."""
    return _REFERENCE.fullmatch(text) is not None


def imported(reference: str, folder: Path) -> object:
    """Import and return what `reference` names. Its module may be in `folder`, searched last.

    Raises `ValueError`, which says why the import failed.
    """
    module, _, name = reference.partition(":")
    if (path := str(folder.resolve())) not in sys.path:
        sys.path.append(path)  # last, so that nothing in the folder replaces another module
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        if error.name == name:
            raise ValueError(f"expected {name} in the module {module}, found nothing") from None
        raise ValueError(_said(module, error)) from error
    except (Exception, SystemExit) as error:  # a script may exit when it is imported
        raise ValueError(_said(module, error)) from error


def _said(module: str, error: BaseException) -> str:
    return f"the module {module} cannot be imported: {with_type(error)}"
