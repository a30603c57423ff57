"""What keeps the embedded broker from starting, and what it says to do."""

import errno
import inspect
import sqlite3
from pathlib import Path

import pytest

from botdel.commands import local
from botdel.local.broker.command import THIS_MACHINE, loopback
from botdel.local.broker.journal import FILE, Journal
from botdel.local.broker.refusals import Refused
from botdel.local.broker.remedies import (
    CHECK_DISK,
    IN_USE,
    MAKE_ROOM,
    NO_FOLDER,
    NOT_OURS,
    WRITABLE,
    of_folder,
)
from botdel.local.installation import default_ports
from deletion.errors import ConfigurationError


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
    ],
)
def test_an_address_of_this_machine_alone_is_taken(host: str, address: str) -> None:
    assert loopback(host) == address


@pytest.mark.parametrize("host", ["", "x", "example.com", "[::1", "127.0.0.1:80", "[]"])
def test_what_is_no_address_is_said_to_be_none(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--host .*: expected a loopback") as refused:
        loopback(host)
    assert refused.value.remedy == THIS_MACHINE


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "[::]"])
def test_an_address_that_others_reach_is_refused_with_the_reason(host: str) -> None:
    with pytest.raises(ConfigurationError, match="has no authentication") as refused:
        loopback(host)
    assert refused.value.remedy == THIS_MACHINE


def test_the_default_port_is_no_other_process_of_this_machine() -> None:
    port = inspect.signature(local.local_pubsub).parameters["port"].default
    assert port not in default_ports().values()
    assert port not in range(8080, 8090), "of services that are plugged in"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (sqlite3.SQLITE_FULL, MAKE_ROOM),
        (sqlite3.SQLITE_CORRUPT, NOT_OURS),
        (sqlite3.SQLITE_CORRUPT_VTAB, NOT_OURS),
        (sqlite3.SQLITE_NOTADB, NOT_OURS),
        (sqlite3.SQLITE_READONLY, WRITABLE),
        (sqlite3.SQLITE_READONLY_DIRECTORY, WRITABLE),
        (sqlite3.SQLITE_CANTOPEN, WRITABLE),
        (sqlite3.SQLITE_IOERR_WRITE, CHECK_DISK),
        (sqlite3.SQLITE_BUSY, IN_USE),
    ],
)
def test_each_error_of_the_file_has_its_own_remedy(code: int, remedy: str) -> None:
    error = sqlite3.OperationalError("refused")
    error.sqlite_errorcode = code
    with pytest.raises(ConfigurationError) as refused, Journal().usable():
        raise error
    assert refused.value.remedy == remedy
    kept = f"not be kept on disk: refused; {remedy}"
    with pytest.raises(Refused, match=kept), Journal().transaction():
        raise error


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EEXIST, NO_FOLDER),
        (errno.ENOTDIR, NO_FOLDER),
        (errno.ENOSPC, MAKE_ROOM),
        (errno.EACCES, WRITABLE),
        (errno.EROFS, WRITABLE),
    ],
)
def test_each_error_of_the_folder_has_its_own_remedy(number: int, remedy: str) -> None:
    assert of_folder(OSError(number, "refused")) == remedy


@pytest.mark.parametrize("version", [0, 2])
def test_a_database_of_another_program_or_version_is_refused_and_stays_as_it_was(
    version: int, tmp_path: Path
) -> None:
    file = tmp_path / FILE
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE theirs (id)")
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match=f"found version {version}") as refused:
        Journal(tmp_path)
    assert refused.value.remedy == NOT_OURS
    assert file.read_bytes() == before
