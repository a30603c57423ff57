"""The Terraform module of `deploy/terraform`, read without Terraform.

`Module` knows as much of the language as that module needs, and raises `CannotRead` for anything
else, so that no difference is overlooked. An attribute is evaluated when somebody asks for it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import hcl2

from tests.support.paths import ROOT

MODULE: Final = ROOT / "deploy" / "terraform"

_REFERENCE = re.compile(r"((?:data\.)?google_\w+)\.(\w+)(?:\[(?:0|(each\.key))\])?\.(\w+)")
_MERGED = re.compile(r'merge\(var\.labels, \{\s*([\w-]+)\s*=\s*"(\w+)"\s*,?\s*\}\)')
_CHOICE = re.compile(r"var\.(\w+) == null \? (.+) : (.+)")
_SET = re.compile(r"toset\(\[(.*)\]\)")


_CONSTANTS: Final[Mapping[str, Any]] = {"null": None, "toset([])": [], "0": 0, "1": 1}


class CannotRead(Exception):
    """The module uses more of the language than `Module` can read."""


@dataclass(frozen=True)
class Instance:
    """One instance of a resource, for `key` of its `for_each`."""

    module: "Module"
    type: str
    name: str
    key: str
    body: Mapping[str, Any]

    def __getitem__(self, attribute: str) -> Any:
        """The value of an attribute; None if it is not set."""
        return self.module.value(self.body.get(attribute), self.key)

    def block(self, name: str) -> "Instance | None":
        """The only block of that name, if there is one."""
        blocks = self.body.get(name, [])
        if len(blocks) > 1:
            raise CannotRead(f"{self.type}.{self.name}: {len(blocks)} blocks {name}")
        parts = (self.module, self.type, self.name, self.key)
        return Instance(*parts, blocks[0]) if blocks else None


@dataclass(frozen=True)
class Module:
    """The module with `given` variables, and the defaults of the others."""

    given: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=lambda: texts(MODULE))

    @cached_property
    def _parsed(self) -> list[dict[str, Any]]:
        return [_parsed(text) for text in self.texts.values()]

    @cached_property
    def locals(self) -> dict[str, Any]:
        """As written."""
        blocks = [block for parsed in self._parsed for block in parsed.get("locals", [])]
        return {name: value for block in blocks for name, value in block.items()}

    @cached_property
    def variables(self) -> dict[str, Any]:
        """Those given, and the defaults of the others."""
        found = {
            _bare(name): self.value(body.get("default"), "")
            for parsed in self._parsed
            for block in parsed.get("variable", [])
            for name, body in block.items()
        }
        if unknown := self.given.keys() - found:
            raise CannotRead(f"there are no variables {sorted(unknown)}")
        return found | dict(self.given)

    @cached_property
    def resources(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Their bodies by type and name."""
        return {
            (_bare(type_), _bare(name)): body
            for parsed in self._parsed
            for block in parsed.get("resource", [])
            for type_, named in block.items()
            for name, body in named.items()
        }

    def instances(self, type_: str) -> Iterator[Instance]:
        """All instances of all resources of the type."""
        for (found, name), body in self.resources.items():
            if found == type_:
                for key in self._keys(body):
                    yield Instance(self, type_, name, key, body)

    def _keys(self, body: Mapping[str, Any]) -> list[str]:
        if "count" in body:
            return [""] * int(self.value(body["count"], ""))
        if "for_each" in body:
            return sorted(self.value(body["for_each"], ""))
        return [""]

    def value(self, written: Any, key: str) -> Any:
        """What is written, evaluated for the instance of `key`."""
        if isinstance(written, list):
            return [self.value(each, key) for each in written]
        if isinstance(written, dict):
            return {_bare(name): self.value(each, key) for name, each in written.items()}
        if not isinstance(written, str):
            return written
        if written.startswith('"'):
            return self._template(written[1:-1], key)
        if written.startswith("${"):
            return self._expression(written[2:-1].strip(), key)
        return None if written == "null" else written

    def _template(self, text: str, key: str) -> str:
        parts = re.split(r"\$\{([^}]*)\}", text)
        parts[1::2] = [str(self._expression(each, key)) for each in parts[1::2]]
        return "".join(parts).replace('\\"', '"')

    def _expression(self, text: str, key: str) -> Any:
        constants = {**_CONSTANTS, "each.key": key}
        if text in constants:
            return constants[text]
        if text.startswith('"'):
            return self._template(text[1:-1], key)
        if found := _CHOICE.fullmatch(text):
            is_null = self.variables[found[1]] is None
            return self._expression(found[2] if is_null else found[3], key)
        if found := _SET.fullmatch(text):
            return [_bare(each.strip()) for each in found[1].split(",")]
        if found := _MERGED.fullmatch(text):
            return {**self.variables["labels"], found[1]: found[2]}
        return self._named(text, key)

    def _named(self, text: str, key: str) -> Any:
        """An attribute of a resource, a variable or a local."""
        if found := _REFERENCE.fullmatch(text):
            return self._reference(found[1], found[2], found[4], key if found[3] else "")
        kind, _, path = text.partition(".")
        name, *attributes = path.split(".")
        if kind == "var" and name in self.variables:
            value = self.variables[name]
        elif kind == "local" and name in self.locals:
            value = self.value(self.locals[name], key)
        else:
            raise CannotRead(text)
        for attribute in attributes:
            value = value[attribute]
        return value

    def _reference(self, type_: str, name: str, attribute: str, key: str) -> str:
        """The attribute of the instance `key` of another resource; of an account, its name."""
        if type_ == "data.google_project":
            return "123456789012"
        if (type_, name) not in self.resources:
            raise CannotRead(f"there is no {type_}.{name}")
        if type_ == "google_service_account":
            return f"{name.removesuffix('_service')}-{key}" if key else name
        value = self.value(self.resources[type_, name]["name"], key)
        if attribute == "name":
            return str(value)
        if attribute == "id" and type_ == "google_pubsub_topic":
            return f"projects/{self.variables['project_id']}/topics/{value}"
        raise CannotRead(f"{type_}.{name}.{attribute}")


def texts(folder: Path) -> dict[str, str]:
    """The files of a module by their names."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf"))}


@cache
def _parsed(text: str) -> dict[str, Any]:
    return hcl2.loads(text)


def _bare(text: str) -> str:
    return text.strip('"')
