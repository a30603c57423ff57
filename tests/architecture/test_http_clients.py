"""Clients of real servers are made by `unproxied`, which closes idle connections before servers do.

A request that is sent while the server closes the connection gets no answer.
"""

import ast
from pathlib import Path

from tests.support.paths import ROOT, TESTS, sources

EXEMPT = {
    "deletion/adapters/unproxied.py": "defines it",
    "deletion/process/signing_keys.py": "each client makes one request, and may need a proxy",
}


def clients(path: Path) -> list[int]:
    """The lines of the calls that create an httpx client without a `transport` of its own."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"httpx.AsyncClient", "httpx.Client"}
        and all(keyword.arg != "transport" for keyword in node.keywords)
    ]


def test_every_client_of_a_server_is_unproxied() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in [*sources(), *TESTS.rglob("*.py")]}
    assert {file for file, path in files.items() if clients(path)} == EXEMPT.keys()
