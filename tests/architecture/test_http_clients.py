"""Clients of real servers are made by `unproxied`, which uses no connection that its server may be
closing.

A request that is sent while the server closes the connection gets no answer.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT, TESTS, sources

EXEMPT = {
    "deletion/adapters/unproxied.py": ["AsyncClient"],  # defines it
    "deletion/adapters/http_api/client.py": ["AsyncHTTPTransport"],  # without a client's cookies
    "deletion/process/signing_keys.py": ["AsyncClient"],  # one request, through a proxy if need be
    "tests/conformance/test_step_conformance.py": ["AsyncHTTPTransport"],  # fails on purpose
}
MAKERS = {
    *("AsyncClient", "AsyncHTTPTransport", "Client", "HTTPTransport"),
    *("delete", "get", "head", "options", "patch", "post", "put", "request", "stream"),
}


def clients(source: str) -> list[str]:
    """What makes a client in `source`, if its `transport` is not an application in this process, a
    function, or one that the caller gives.
    """
    tree = ast.parse(source)
    types = {id(node) for each in _annotations(tree) for node in ast.walk(each)}
    fine = {id(call.func) for call in _calls(tree) if _has_its_own_transport(call)}
    return [
        name
        for node in ast.walk(tree)
        if id(node) not in types | fine
        for name in _named(node)
        if name in MAKERS
    ]


def _annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if annotation := getattr(node, field, None):
                yield annotation


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _has_its_own_transport(call: ast.Call) -> bool:
    transports = [keyword.value for keyword in call.keywords if keyword.arg == "transport"]
    return any(
        isinstance(value, ast.Name | ast.Attribute)
        or ast.unparse(value).startswith(("httpx.ASGITransport(", "httpx.MockTransport("))
        for value in transports
    )


def _named(node: ast.AST) -> list[str]:
    """The names of httpx that a node uses; all of them if it gives httpx another name."""
    match node:
        case ast.Attribute(value=ast.Name(id="httpx"), attr=name):
            return [name]
        case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "httpx":
            named = [each.name for each in names]
            return named if all(name[0].isalpha() for name in named) else sorted(MAKERS)
        case ast.Import(names=names) if any(
            each.name.startswith("httpx.") or (each.name == "httpx" and each.asname)
            for each in names
        ):
            return sorted(MAKERS)
    return []


def test_every_client_of_a_server_is_unproxied() -> None:
    paths = {path.relative_to(ROOT).as_posix(): path for path in [*sources(), *TESTS.rglob("*.py")]}
    found = {file: clients(path.read_text()) for file, path in paths.items()}
    assert {file: names for file, names in found.items() if names} == EXEMPT


@pytest.mark.parametrize(
    "source",
    [
        "from httpx import AsyncClient",
        "from httpx import *",
        "from httpx._client import AsyncClient",
        "from httpx import _client",
        "import httpx._client",
        "import httpx as hx",
        "httpx.AsyncClient(transport=httpx.AsyncHTTPTransport())",
        "httpx.AsyncClient(transport=None)",
        "make = httpx.AsyncClient",
        "httpx.get(url)",
    ],
)
def test_another_way_to_make_a_client_is_found(source: str) -> None:
    assert clients(source)


@pytest.mark.parametrize(
    "source",
    [
        "def get(http: httpx.AsyncClient) -> httpx.Client: ...",
        "httpx.AsyncClient(transport=httpx.ASGITransport(app))",
        "httpx.AsyncClient(transport=transport)",
        "httpx.Response(200)",
    ],
)
def test_what_makes_no_connection_is_not_found(source: str) -> None:
    assert not clients(source)
