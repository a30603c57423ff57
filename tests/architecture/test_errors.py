"""Errors carry data: no source takes the message of one apart."""

import ast
from collections.abc import Iterator

import pytest

from deletion import errors
from tests.support.paths import ROOT, sources

PARSING = {
    "find",
    "index",
    "partition",
    "removeprefix",
    "removesuffix",
    "rpartition",
    "rsplit",
    "split",
    "splitlines",
}
OURS = {name for name, value in vars(errors).items() if isinstance(value, type)}


def errors_of(tree: ast.AST) -> set[str]:
    """The names that an `except` binds, and those of parameters whose type is an error's."""
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)}
    given = {
        node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arg)
        and node.annotation
        and ast.unparse(node.annotation).endswith(("Error", "Exception"))
    }
    return {name for name in caught | given if name}


def messages(tree: ast.AST) -> set[str]:
    """The expressions that give the message of an error, and the names that one is assigned to."""
    errors = errors_of(tree)
    texts = {text for name in errors for text in (f"str({name})", f"f'{{{name}}}'")}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ) if ast.unparse(value) in texts:
                texts.add(name)
    return texts


def parsed_messages(source: str) -> Iterator[int]:
    """The lines that take `str(error)` apart; `split()` alone folds white space."""
    tree = ast.parse(source)
    texts = messages(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=text, attr="split"), args=[]):
                continue
            case ast.Call(func=ast.Attribute(value=text, attr=attr)) if attr in PARSING:
                if ast.unparse(text) in texts:
                    yield node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=args):
                if texts.intersection(map(ast.unparse, args)):
                    yield node.lineno


def test_no_source_takes_the_message_of_an_error_apart() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        for line in parsed_messages(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("taken", "lines"),
    [
        ('what, _, remedy = str(error).partition(": ")', [4]),
        ('what = str(error).split(": ")[0]', [4]),
        ("lines = str(error).splitlines()[1:]", [4]),
        ('found = re.search("line ([0-9]+)", str(error))', [4]),
        ('what = f"{error}".partition(": ")[0]', [4]),
        ('text = str(error); what = text.split(":")[0]', [4]),
        ('what = text.split(":") if (text := str(error)) else []', [4]),
        ('what = " ".join(str(error).split())', []),
        ('what = str(other).partition(": ")', []),
        ("what = str(error)", []),
    ],
)
def test_a_message_taken_apart_is_found(taken: str, lines: list[int]) -> None:
    source = f"try:\n    pass\nexcept OSError as error:\n    {taken}\n"
    assert list(parsed_messages(source)) == lines


def sentences(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each error that is written out; `…` is what is filled in."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in OURS:
                if literal(first):
                    yield node.lineno, "; ".join(filter(None, map(literal, node.args)))


def literal(node: ast.expr) -> str:
    """The text of a string; empty for any other expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(literal(part) or "…" for part in parts)
    return ""


def test_an_error_is_one_sentence_with_a_colon_at_most() -> None:
    """The colon precedes the cause. A longer chain would have to be read backwards."""
    chains = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sources()
        for line, text in sentences(path.read_text(encoding="utf-8"))
        if text.count(": ") > 1
    ]
    assert chains == []


def test_a_chain_of_colons_is_found() -> None:
    source = 'raise PlanError(f"{path}: cannot be read: {error}", "look: there")\n'
    assert list(sentences(source)) == [(1, "…: cannot be read: …; look: there")]
