"""The filter of a subscription, parsed into a predicate over attributes.

    filter  = negated {"AND" negated} | negated {"OR" negated}
    negated = ["NOT" | "-"] (comparison | "(" filter ")")
    comparison = "attributes" ":" key
               | "attributes" "." key ("=" | "!=") string
               | "hasPrefix" "(" "attributes" "." key "," string ")"
    key     = letters, digits, "-" and "_", or a string

AND and OR cannot be mixed without parentheses. Operators are in capitals; NOT binds most tightly.
`!=` is also true for a message without the attribute. A string has the escapes of C.
https://cloud.google.com/pubsub/docs/subscription-message-filter
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from botdel.local.broker.refusals import invalid

Attributes = Mapping[str, str]
Predicate = Callable[[Attributes], bool]

MAX_BYTES: Final = 256
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<word>[A-Za-z0-9_][A-Za-z0-9_\-]*)
    | (?P<sign>!=|[=:.,()\-])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xX]([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL
)
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_SELF: Final = "\\\"'?`"
MAX_CODE_POINT: Final = 0x10FFFF


def everything(attributes: Attributes) -> bool:  # noqa: ARG001
    """Match every message, as a subscription without a filter does."""
    return True


def parse(text: str) -> Predicate:
    """Return the predicate. Raises `Refused` with the position of the error, counted from 1."""
    if not text:
        return everything
    if len(text.encode()) > MAX_BYTES:
        raise invalid(f"Invalid filter: it has more than {MAX_BYTES} bytes")
    return _Parser(text).whole()


class _Parser:
    """One pass over the tokens; each method reads one rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    def whole(self) -> Predicate:
        predicate = self._filter()
        if self._kind != "end":
            self._refuse("AND, OR or the end")
        return predicate

    def _filter(self) -> Predicate:
        terms = [self._negated()]
        joint = self._value if self._value in ("AND", "OR") else None
        while joint and self._accept(joint):
            terms.append(self._negated())
        if self._value in ("AND", "OR"):
            self._refuse("parentheses where AND and OR are mixed")
        if len(terms) == 1:
            return terms[0]
        join = all if joint == "AND" else any
        return lambda attributes: join(term(attributes) for term in terms)

    def _negated(self) -> Predicate:
        if self._accept("NOT") or self._accept("-"):
            term = self._term()
            return lambda attributes: not term(attributes)
        return self._term()

    def _term(self) -> Predicate:
        if self._accept("("):
            inside = self._filter()
            self._expect(")")
            return inside
        if self._accept("hasPrefix"):
            return self._prefix()
        self._expect("attributes")
        if self._accept(":"):
            key = self._key()
            return lambda attributes: key in attributes
        return self._comparison()

    def _prefix(self) -> Predicate:
        self._expect("(")
        self._expect("attributes")
        self._expect(".")
        key = self._key()
        self._expect(",")
        prefix = self._string()
        self._expect(")")
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def _comparison(self) -> Predicate:
        self._expect(".")
        key = self._key()
        is_equal = self._accept("=")
        if not is_equal:
            self._expect("!=")
        value = self._string()
        if is_equal:
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value

    def _key(self) -> str:
        if self._kind == "word":
            return self._take()
        return self._string(expected="a key")

    def _string(self, expected: str = "a string in double quotes") -> str:
        if self._kind != "string":
            self._refuse(expected)
        position = self._position
        return _unescaped(self._take()[1:-1], position)

    @property
    def _kind(self) -> str:
        return self._tokens[self._next][0]

    @property
    def _value(self) -> str:
        """The token here; "" for a string, so that a word in quotes is never an operator."""
        kind, value, _ = self._tokens[self._next]
        return "" if kind == "string" else value

    @property
    def _position(self) -> int:
        return self._tokens[self._next][2]

    def _take(self) -> str:
        value = self._tokens[self._next][1]
        self._next += 1
        return value

    def _accept(self, value: str) -> bool:
        if self._value != value:
            return False
        self._next += 1
        return True

    def _expect(self, value: str) -> None:
        if not self._accept(value):
            self._refuse(repr(value))

    def _refuse(self, expected: str) -> NoReturn:
        found = self._tokens[self._next][1]
        raise invalid(
            f"Invalid filter at position {self._position}: expected {expected}, found "
            f"{found or 'its end'!r} in {self._text}"
        )


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Return kind, text and position of each token. The last token is the end."""
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise invalid(f"Invalid filter at position {at + 1}: {text[at]!r} is not expected")
        if found.lastgroup != "space":
            tokens.append((str(found.lastgroup), found.group(), at + 1))
        at = found.end()
    return [*tokens, ("end", "", at + 1)]


def _unescaped(text: str, position: int) -> str:
    def character(found: re.Match[str]) -> str:
        short, long, byte, octal, other = found.groups()
        if other is None:
            number = int(octal, 8) if octal else int(short or long or byte, 16)
            if number <= MAX_CODE_POINT:
                return chr(number)
        elif other in _PLAIN:
            return _PLAIN[other]
        elif other in _SELF:
            return other
        raise invalid(f"Invalid filter at position {position}: no such escape: {found.group()}")

    return _ESCAPE.sub(character, text)
