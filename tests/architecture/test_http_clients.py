"""A client of a real server is `unproxied`, which closes a connection long before the server does.

What is sent on a connection at the moment when its server closes it gets no answer.
"""

import ast
from pathlib import Path

from tests.support.paths import ROOT, TESTS, sources

OTHERS = {
    "deletion/adapters/unproxied.py": "it is the function",
    "deletion/process/signing_keys.py": "one request by each client, through a proxy if need be",
}


def clients(path: Path) -> list[int]:
    """The lines that create a client of httpx for anything but an application in this process."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"httpx.AsyncClient", "httpx.Client"}
        and all(keyword.arg != "transport" for keyword in node.keywords)
    ]


def test_a_client_of_a_server_is_unproxied() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in [*sources(), *TESTS.rglob("*.py")]}
    assert {file for file, path in files.items() if clients(path)} == OTHERS.keys()
