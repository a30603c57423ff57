"""The lock of an installation's folder, which `botdel local up` holds while it runs there.

`python -m botdel.local.lock` checks the folders that `make clean` removes. If a process holds the
lock of one, it names the process and exits with 1; otherwise it prints nothing and exits with 0. It
needs only the standard library.
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
"""The folders that `make clean` removes, in which a broker may keep its messages."""


class AlreadyRuns(BotDeletionError):
    """Another process holds the lock; the message has its pid."""


UP_RUNS: Final = "`make up` already runs here"
USE_IT: Final = "stop it with Ctrl-C, or use it after `. {folder}/env`"


@contextmanager
def locked(folder: Path, held: str = UP_RUNS, remedy: str = USE_IT) -> Iterator[None]:
    """Hold the lock of `folder`, which is created if missing.

    If another process holds it, raises AlreadyRuns: `held` says what that means, `remedy` what to
    do. The kernel releases the lock when the process ends, however it ends; no child inherits it.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRuns(f"{held} (pid {file.read()})", remedy.format(folder=folder)) from None
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
    """Exit with an error if one of the locks is held."""
    try:
        for folder in _locked_before():
            held = UP_RUNS if folder == FOLDER else f"a broker keeps its messages in {folder}"
            with locked(folder, held, USE_IT if folder == FOLDER else "stop it first"):
                pass
    except AlreadyRuns as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
