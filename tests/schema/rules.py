"""The rules a schema is held to, checked on its descriptors.

`lint` is about one schema: the parts of `buf lint`'s standard rules that concern this contract.
`breaking` compares two: nothing a peer may rely on is ever removed or altered, only added.
Both return their findings as sentences, none when all is well.
"""

import re
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*").fullmatch
_PASCAL = re.compile(r"([A-Z][a-z0-9]*)+").fullmatch
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.v[1-9][0-9]*").fullmatch


def lint(schema: FileDescriptorSet) -> list[str]:
    """What breaks the conventions in the files of this project, imported ones left out."""
    ours = (file for file in schema.file if not file.name.startswith("google/"))
    return [finding for file in ours for finding in _lint_file(file)]


def breaking(released: FileDescriptorSet, today: FileDescriptorSet) -> list[str]:
    """What a peer that knows `released` can no longer rely on in `today`."""
    now = facts(today)
    return [
        f"{place}: was {was}, is now {now.get(place, 'gone')}"
        for place, was in facts(released).items()
        if now.get(place) != was
    ]


def facts(schema: FileDescriptorSet) -> dict[str, str]:
    """All that peers may rely on: where it stands, and what stands there."""
    return {place: fact for file in schema.file for place, fact in _facts_of_file(file)}


def _facts_of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for name, message in _messages(file):
        yield f"message {name}", file.syntax
        for field in message.field:
            yield f"field {field.number} of {name}", _describe(field, message)
        yield from _reserved(name, message)
    for name, enum in _enums(file):
        yield f"enum {name}", file.syntax
        for value in enum.value:
            yield f"{value.name} of {name}", str(value.number)
        yield from _reserved(name, enum)


def _reserved(name: str, found: DescriptorProto | EnumDescriptorProto) -> Iterator[tuple[str, str]]:
    for each in found.reserved_range:
        yield f"numbers from {each.start} of {name}", f"reserved to {each.end}"
    for word in found.reserved_name:
        yield f"name {word} of {name}", "reserved"


def _describe(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    label = FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower()
    kind = field.type_name or FieldDescriptorProto.Type.Name(field.type)
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else "none"
    return f"{label} {kind} {field.name} (oneof: {oneof})"


def _lint_file(file: FileDescriptorProto) -> Iterator[str]:
    if file.syntax != "proto3":
        yield f"{file.name}: syntax is {file.syntax or 'proto2'}, not proto3"
    if not _PACKAGE(file.package):
        yield f"{file.name}: package {file.package} does not end in its version"
    if file.name.rpartition("/")[0] != file.package.replace(".", "/"):
        yield f"{file.name}: its folder is not that of package {file.package}"
    for name, message in _messages(file):
        yield from _lint_message(name, message)
    for name, enum in _enums(file):
        yield from _lint_enum(name, enum)


def _lint_message(name: str, message: DescriptorProto) -> Iterator[str]:
    if not _PASCAL(message.name):
        yield f"{name}: a message is named in PascalCase"
    for inside in [each.name for each in message.field] + [
        each.name for each in message.oneof_decl
    ]:
        if not _SNAKE(inside):
            yield f"{name}.{inside}: fields and oneofs are named in lower_snake_case"


def _lint_enum(name: str, enum: EnumDescriptorProto) -> Iterator[str]:
    if not _PASCAL(enum.name):
        yield f"{name}: an enum is named in PascalCase"
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    for value in enum.value:
        if not value.name.startswith(prefix):
            yield f"{name}.{value.name}: the values of this enum start with {prefix}"
        if value.number == 0 and value.name != f"{prefix}UNSPECIFIED":
            yield f"{name}.{value.name}: the value 0 is {prefix}UNSPECIFIED"


def _messages(file: FileDescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    def below(scope: str, found: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
        name = f"{scope}.{found.name}"
        yield name, found
        for nested in found.nested_type:
            yield from below(name, nested)

    for message in file.message_type:
        yield from below(file.package, message)


def _enums(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}", enum
    for name, message in _messages(file):
        for enum in message.enum_type:
            yield f"{name}.{enum.name}", enum
