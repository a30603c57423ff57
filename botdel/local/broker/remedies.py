"""What to do when the broker cannot use its folder or file, by the system's or SQLite's error."""

import errno
import sqlite3
from typing import Final

NO_FOLDER: Final = "move the file at that path away, or name another folder with --folder"
WRITABLE: Final = "name a folder that this user may write to with --folder"
MAKE_ROOM: Final = "make room on the disk, or name a folder on another one with --folder"
CHECK_DISK: Final = "check the disk, or name a folder on another one with --folder"
NOT_OURS: Final = (
    "it is damaged, or belongs to another program or version, so move it away or name another "
    "folder with --folder"
)
IN_USE: Final = "end the program that has the file open"

_SYSTEM: Final = {
    errno.EEXIST: NO_FOLDER,
    errno.ENOTDIR: NO_FOLDER,
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
}
_SQLITE: Final = {
    sqlite3.SQLITE_ERROR: NOT_OURS,  # tables are missing, or differ
    sqlite3.SQLITE_CORRUPT: NOT_OURS,
    sqlite3.SQLITE_NOTADB: NOT_OURS,
    sqlite3.SQLITE_BUSY: IN_USE,
    sqlite3.SQLITE_FULL: MAKE_ROOM,
    sqlite3.SQLITE_IOERR: CHECK_DISK,
}
_PRIMARY: Final = 0xFF
"""The bits of a result code that tell its kind: https://www.sqlite.org/rescode.html"""


def of_folder(error: OSError) -> str:
    """Return what to do when a folder cannot be created or locked."""
    return _SYSTEM.get(error.errno or 0, WRITABLE)


def of_file(error: sqlite3.Error) -> str:
    """Return what to do when SQLite cannot open, read or write the file."""
    return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY, WRITABLE)
