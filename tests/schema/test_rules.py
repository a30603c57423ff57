"""The contract keeps the rules, and each rule is seen to catch what breaks it."""

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from tests.schema.generate import describe
from tests.schema.release import Release, releases
from tests.schema.rules import breaking, lint

Change = Callable[[FileDescriptorProto], object]


@pytest.fixture(scope="module")
def today() -> FileDescriptorSet:
    return describe()


def test_the_contract_keeps_the_conventions(today: FileDescriptorSet) -> None:
    assert lint(today) == []


@pytest.mark.proves("breaking-change")
@pytest.mark.parametrize("release", releases(), ids=lambda release: release.folder.name)
def test_the_contract_breaks_no_released_version(
    today: FileDescriptorSet, release: Release
) -> None:
    assert breaking(release.schema, today) == []


def changed(schema: FileDescriptorSet, change: Change) -> FileDescriptorSet:
    copy = FileDescriptorSet()
    copy.CopyFrom(schema)
    change(next(file for file in copy.file if file.package == "bot_deletion.v1"))
    return copy


def subject(file: FileDescriptorProto) -> DescriptorProto:
    return file.message_type[0]


def field(file: FileDescriptorProto, name: str) -> FieldDescriptorProto:
    return next(field for field in subject(file).field if field.name == name)


def remove(file: FileDescriptorProto, name: str) -> None:
    subject(file).field.remove(field(file, name))


def enum(file: FileDescriptorProto) -> EnumDescriptorProto:
    return file.enum_type[0]


SUBJECT = "bot_deletion.v1.BotDeletionSubject"

BREAKING: dict[str, tuple[Change, str]] = {
    "a field is removed": (
        lambda file: remove(file, "bot_id"),
        f"field 4 of {SUBJECT}: was optional TYPE_STRING bot_id (oneof: none), is now gone",
    ),
    "a field is renumbered": (
        lambda file: setattr(field(file, "bot_id"), "number", 6),
        f"field 4 of {SUBJECT}: was optional TYPE_STRING bot_id (oneof: none), is now gone",
    ),
    "a field is renamed": (
        lambda file: setattr(field(file, "bot_id"), "name", "robot_id"),
        "is now optional TYPE_STRING robot_id",
    ),
    "a field gets another scalar type": (
        lambda file: setattr(field(file, "version"), "type", FieldDescriptorProto.TYPE_SINT32),
        "is now optional TYPE_SINT32 version",
    ),
    "a field gets another message type": (
        lambda file: setattr(field(file, "timestamp"), "type_name", f".{SUBJECT}"),
        f"is now optional .{SUBJECT} timestamp",
    ),
    "a field becomes repeated": (
        lambda file: setattr(field(file, "bot_id"), "label", FieldDescriptorProto.LABEL_REPEATED),
        "is now repeated TYPE_STRING bot_id",
    ),
    "a field moves into a oneof": (
        lambda file: setattr(field(file, "bot_id"), "oneof_index", 0),
        "is now optional TYPE_STRING bot_id (oneof: event)",
    ),
    "a field moves out of its oneof": (
        lambda file: field(file, "request_placed").ClearField("oneof_index"),
        f"is now optional .{SUBJECT}.RequestPlaced request_placed (oneof: none)",
    ),
    "a field of a nested message is removed": (
        lambda file: subject(file).nested_type[0].field.pop(1),
        f"field 2 of {SUBJECT}.RequestPlaced: was",
    ),
    "a nested message is removed": (
        lambda file: subject(file).nested_type.pop(0),
        f"message {SUBJECT}.RequestPlaced: was proto3, is now gone",
    ),
    "an enum is removed": (
        lambda file: file.enum_type.pop(0),
        "enum bot_deletion.v1.EventType: was proto3, is now gone",
    ),
    "an enum value is removed": (
        lambda file: enum(file).value.pop(1),
        "EVENT_TYPE_REQUEST_PLACED of bot_deletion.v1.EventType: was 1, is now gone",
    ),
    "a number is reserved no more": (
        lambda file: subject(file).reserved_range.pop(0),
        f"numbers from 11 of {SUBJECT}: was reserved to 12, is now gone",
    ),
    "a name is reserved no more": (
        lambda file: subject(file).reserved_name.remove("resume_requested"),
        f"name resume_requested of {SUBJECT}: was reserved, is now gone",
    ),
    "a number of an enum is reserved no more": (
        lambda file: enum(file).reserved_range.pop(0),
        "numbers from 2 of bot_deletion.v1.EventType: was reserved to 2, is now gone",
    ),
    "a name of an enum is reserved no more": (
        lambda file: enum(file).reserved_name.remove("EVENT_TYPE_RESUME_REQUESTED"),
        "name EVENT_TYPE_RESUME_REQUESTED of bot_deletion.v1.EventType: was reserved, is now gone",
    ),
    "an enum value is renamed": (
        lambda file: setattr(enum(file).value[1], "name", "EVENT_TYPE_PLACED"),
        "EVENT_TYPE_REQUEST_PLACED of bot_deletion.v1.EventType: was 1, is now gone",
    ),
    "an enum value is renumbered": (
        lambda file: setattr(enum(file).value[1], "number", 7),
        "EVENT_TYPE_REQUEST_PLACED of bot_deletion.v1.EventType: was 1, is now 7",
    ),
    "the package is renamed": (
        lambda file: setattr(file, "package", "bot_deletion.v2"),
        f"message {SUBJECT}: was proto3, is now gone",
    ),
    "the syntax changes": (
        lambda file: setattr(file, "syntax", "proto2"),
        f"message {SUBJECT}: was proto3, is now proto2",
    ),
}


@pytest.mark.proves("breaking-change")
@pytest.mark.parametrize("how", BREAKING)
def test_the_check_reports_a_schema_in_which(today: FileDescriptorSet, how: str) -> None:
    change, finding = BREAKING[how]

    assert finding in "\n".join(breaking(today, changed(today, change)))


ADDITIONS: dict[str, Change] = {
    "a field": lambda file: subject(file).field.add(name="reason", number=6, type=9, label=1),
    "a member of the oneof": lambda file: subject(file).field.add(
        name="request_withdrawn", number=13, type=9, label=1, oneof_index=0
    ),
    "a message": lambda file: file.message_type.add(name="BotArchived"),
    "an enum value": lambda file: enum(file).value.add(name="EVENT_TYPE_ARCHIVED", number=4),
}


@pytest.mark.parametrize("what", ADDITIONS)
def test_a_schema_may_gain(today: FileDescriptorSet, what: str) -> None:
    tomorrow = changed(today, ADDITIONS[what])

    assert breaking(today, tomorrow) == []
    assert lint(tomorrow) == []
    assert breaking(tomorrow, today) != [], "the addition is invisible to the check"


UNCONVENTIONAL: dict[str, tuple[Change, str]] = {
    "a package without a version": (
        lambda file: setattr(file, "package", "bot_deletion"),
        "package bot_deletion does not end in its version",
    ),
    "a file outside the folder of its package": (
        lambda file: setattr(file, "name", "bot_deletion/bot_deletion_subject.proto"),
        "its folder is not that of package bot_deletion.v1",
    ),
    "another syntax": (lambda file: setattr(file, "syntax", ""), "syntax is proto2, not proto3"),
    "a field in camel case": (
        lambda file: setattr(field(file, "bot_id"), "name", "botId"),
        f"{SUBJECT}.botId: fields and oneofs are named in lower_snake_case",
    ),
    "a oneof in camel case": (
        lambda file: setattr(subject(file).oneof_decl[0], "name", "theEvent"),
        f"{SUBJECT}.theEvent: fields and oneofs are named in lower_snake_case",
    ),
    "a nested message in snake case": (
        lambda file: setattr(subject(file).nested_type[0], "name", "request_placed"),
        f"{SUBJECT}.request_placed: a message is named in PascalCase",
    ),
    "an enum in snake case": (
        lambda file: setattr(enum(file), "name", "event_type"),
        "bot_deletion.v1.event_type: an enum is named in PascalCase",
    ),
    "a nested enum's value without its prefix": (
        lambda file: subject(file).enum_type.add(name="Why").value.add(name="ASKED", number=1),
        f"{SUBJECT}.Why.ASKED: the values of this enum start with WHY_",
    ),
    "an enum value without its prefix": (
        lambda file: setattr(enum(file).value[1], "name", "REQUEST_PLACED"),
        "EventType.REQUEST_PLACED: the values of this enum start with EVENT_TYPE_",
    ),
    "an enum whose zero means something": (
        lambda file: setattr(enum(file).value[0], "name", "EVENT_TYPE_NONE"),
        "EventType.EVENT_TYPE_NONE: the value 0 is EVENT_TYPE_UNSPECIFIED",
    ),
}


@pytest.mark.parametrize("what", UNCONVENTIONAL)
def test_the_conventions_refuse(today: FileDescriptorSet, what: str) -> None:
    change, finding = UNCONVENTIONAL[what]

    assert finding in "\n".join(lint(changed(today, change)))
