"""The embedded MongoDB, which says how many documents a query reads.

What it explains as `totalDocsExamined` is a guess from its plan. Started by this module, it counts
the documents that it takes from its storage engine, and explains that number instead.
"""

import sys
from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from threading import local
from typing import Any

from secantus import cli, commands, storage

from botdel.local.database import EmbeddedMongo


class CountingMongo(EmbeddedMongo):
    """The database as a process that counts."""

    def command(self, port: int) -> list[str | Path]:
        _program, *arguments = super().command(port)
        return [sys.executable, "-m", __name__, *arguments]


class Documents(local):
    """Those that the command of a thread has read: until now, and during its last query."""

    read = 0
    by_query = 0


def count() -> None:
    """Make the server of this process count."""
    documents = Documents()
    take, find = storage._unframe_doc_value, storage.Storage.find_matching
    explain = commands._HANDLERS["explain"]

    @wraps(take)
    def counted(value: bytes) -> tuple[bytes, bytes]:
        documents.read += 1
        taken: tuple[bytes, bytes] = take(value)
        return taken

    @wraps(find)
    def found(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        before = documents.read
        matching: list[dict[str, Any]] = find(*arguments, **options)
        documents.by_query = documents.read - before
        return matching

    def explained(command: Mapping[str, Any], context: object) -> dict[str, Any]:
        answer: dict[str, Any] = explain(command, context)
        if "executionStats" in answer:
            answer["executionStats"]["totalDocsExamined"] = documents.by_query
        return answer

    storage._unframe_doc_value, storage.Storage.find_matching = counted, found
    commands._HANDLERS["explain"] = explained


if __name__ == "__main__":
    count()
    sys.exit(cli.main())
