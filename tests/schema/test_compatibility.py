"""Old and new code read each other's events, in both directions."""

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from deletion.errors import InvalidEvent, UnknownEventType
from deletion.events import SCHEMA_VERSION, decode, encode
from tests.schema.generate import describe
from tests.schema.release import REVISION, Release, read, releases, subject_class
from tests.schema.rules import breaking, facts
from tests.schema.samples import SAMPLES, as_json

every_release = pytest.mark.parametrize(
    "release", releases(), ids=lambda release: release.folder.name
)


def test_every_version_since_the_first_is_on_record() -> None:
    versions = [release.version for release in releases()]
    assert sorted(set(versions)) == list(range(1, SCHEMA_VERSION + 1))
    assert releases()[-1].number == (SCHEMA_VERSION, REVISION)


def test_the_schema_is_the_one_released_under_its_version() -> None:
    assert facts(releases()[-1].schema) == facts(describe()), "not released: raise SCHEMA_VERSION"


@pytest.mark.proves("old-and-new-events")
@every_release
def test_todays_code_reads_what_a_released_version_wrote(release: Release) -> None:
    assert release.golden()
    for data, meaning in release.golden():
        assert as_json(decode(data)) == meaning


@pytest.mark.proves("old-and-new-events")
@every_release
def test_a_released_version_reads_its_own_events_when_today_writes_them(release: Release) -> None:
    assert release.golden()
    for data, meaning in release.golden():
        assert read(release.schema, encode(decode(data))) == meaning


def test_a_revision_only_adds_to_its_version_and_its_requests_are_the_same_bytes() -> None:
    """So every reader of version 1 goes on working, and needs no new version."""
    first, revised = releases()[:2]
    assert (first.number, revised.number) == ((1, 0), (1, 1))
    assert breaking(first.schema, revised.schema) == []
    assert first.golden()[0] in revised.golden()


def test_a_released_version_takes_a_completion_for_a_type_that_it_does_not_know() -> None:
    """Its consumers make it a dead letter, `too_new`, and do not run it."""
    meaning = read(releases()[0].schema, encode(SAMPLES["deletion_completed"]))
    assert meaning["event_type"] == 3
    assert "request_placed" not in meaning


@every_release
@pytest.mark.parametrize("name", SAMPLES)
def test_a_released_version_can_tell_event_and_bot_of_everything_written_today(
    release: Release, name: str
) -> None:
    meaning = read(release.schema, encode(SAMPLES[name]))

    expected = as_json(SAMPLES[name])
    assert {key: meaning[key] for key in ("event_id", "bot_id", "timestamp", "version")} == {
        key: expected[key] for key in ("event_id", "bot_id", "timestamp", "version")
    }


def tomorrow() -> FileDescriptorSet:
    """A later schema: a new field everywhere, a new event type with its member of the oneof."""
    schema = describe()
    file = next(file for file in schema.file if file.package == "bot_deletion.v1")
    subject = file.message_type[0]
    text = {"type": FieldDescriptorProto.TYPE_STRING, "label": FieldDescriptorProto.LABEL_OPTIONAL}
    subject.field.add(name="reason", number=6, **text)
    subject.field.add(name="request_withdrawn", number=13, oneof_index=0, **text)
    for nested in subject.nested_type:
        nested.field.add(name="note", number=99, **text)
    file.enum_type[0].value.add(name="EVENT_TYPE_REQUEST_WITHDRAWN", number=4)
    return schema


def written_tomorrow(name: str = "request_placed", **fields: Any) -> Message:
    message = subject_class(tomorrow()).FromString(encode(SAMPLES[name]))
    for field, value in fields.items():
        setattr(message, field, value)
    return message


@pytest.mark.proves("old-and-new-events")
@pytest.mark.parametrize("name", SAMPLES)
def test_fields_of_a_later_schema_are_survived(name: str) -> None:
    message = written_tomorrow(name, reason="moved away")
    getattr(message, name).note = "urgent"
    data = message.SerializeToString()

    assert b"moved away" in data
    assert b"urgent" in data
    assert decode(data) == SAMPLES[name]


def test_an_event_of_a_newer_version_is_read() -> None:
    assert decode(written_tomorrow(version=2).SerializeToString()).version == 2


def test_an_event_type_of_a_later_schema_is_told_apart_from_a_broken_event() -> None:
    message = written_tomorrow(event_type=4, request_withdrawn="by the client")

    with pytest.raises(UnknownEventType) as caught:
        decode(message.SerializeToString())
    assert caught.value.event_type == 4


def test_an_event_type_of_a_later_schema_is_never_run_as_the_member_that_is_set() -> None:
    with pytest.raises(UnknownEventType):
        decode(written_tomorrow(event_type=4).SerializeToString())


def test_a_known_event_type_with_a_later_member_of_the_oneof_is_invalid() -> None:
    with pytest.raises(InvalidEvent, match="request_placed"):
        decode(written_tomorrow(request_withdrawn="by the client").SerializeToString())


@pytest.mark.parametrize("field", ["event_id", "bot_id"])
def test_an_event_type_of_a_later_schema_still_needs_its_ids(field: str) -> None:
    message = written_tomorrow(event_type=4, **{field: "nonsense"})

    with pytest.raises(InvalidEvent) as caught:
        decode(message.SerializeToString())
    assert caught.value.field == field
