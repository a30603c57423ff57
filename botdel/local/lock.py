"""The lock of a folder's installation, which the `botdel local up` that runs there holds.

`python -m botdel.local.lock` says who holds that of a folder that `make clean` removes, and exits
with 1, or is silent and exits with 0. It needs nothing but the standard library.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deletion.errors import BotDeletionError

FOLDER: Final = Path(".local")
"""Data and credentials of this installation, below the working directory."""


REMOVED: Final = (FOLDER, Path("build"))
"""What `make clean` removes, of what a broker may have been told to keep its messages in."""


class AlreadyRuns(BotDeletionError):
    """Another process holds the lock; the message has its pid."""


UP_RUNS: Final = "`make up` already runs here"
USE_IT: Final = "stop it with Ctrl-C, or use it after `. {folder}/env`"


@contextmanager
def locked(folder: Path, held: str = UP_RUNS, remedy: str = USE_IT) -> Iterator[None]:
    """Hold the lock of `folder`, which is created when missing. Raises AlreadyRuns, which says
    what it means that it is `held`, and the `remedy`.

    The lock ends with the process, however it ends: the kernel holds it, and no child inherits it.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRuns(
                f"{held} (pid {file.read()}): {remedy.format(folder=folder)}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _locked_before() -> Iterator[Path]:
    """Every folder that `make clean` removes and that has a lock, held or not."""
    for folder in REMOVED:
        for file in folder.rglob("lock"):
            if file.is_file():
                yield file.parent


def main() -> None:
    """Exit with what `locked` says, if a lock is held."""
    try:
        for folder in _locked_before():
            held = UP_RUNS if folder == FOLDER else f"a broker keeps its messages in {folder}"
            with locked(folder, held, USE_IT if folder == FOLDER else "stop it first"):
                pass
    except AlreadyRuns as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
