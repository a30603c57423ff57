"""Releasing a schema records it once and for good."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.schema.generate import describe
from tests.schema.release import ReleaseError, release, releases
from tests.schema.samples import SAMPLES, as_json


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_release_records_the_schema_and_an_event_of_every_type(tmp_path: Path) -> None:
    schema = describe()

    released = release(schema, 1, tmp_path)

    assert releases(tmp_path) == [released]
    assert released.schema == schema
    assert [meaning for _, meaning in released.golden()] == [
        as_json(sample) for _, sample in sorted(SAMPLES.items())
    ]


def test_releases_are_listed_by_number(tmp_path: Path) -> None:
    for version, revision in ((10, 0), (9, 10), (9, 2), (9, 0)):
        release(describe(), version, tmp_path, revision)

    assert [each.number for each in releases(tmp_path)] == [(9, 0), (9, 2), (9, 10), (10, 0)]


def test_a_released_version_is_never_overwritten(tmp_path: Path) -> None:
    folder = release(describe(), 1, tmp_path).folder
    (folder / "descriptor.binpb").write_bytes(b"as it was released")
    before = contents(folder)

    with pytest.raises(ReleaseError, match="v1 is released"):
        release(describe(), 1, tmp_path)
    assert contents(folder) == before


def without_a_field(schema: FileDescriptorSet) -> None:
    schema.file[-1].message_type[0].field.pop(0)


def with_an_ugly_field(schema: FileDescriptorSet) -> None:
    schema.file[-1].message_type[0].field.add(name="theReason", number=6, type=9, label=1)


@pytest.mark.parametrize(
    ("change", "reason"), [(without_a_field, "is now gone"), (with_an_ugly_field, "snake_case")]
)
def test_a_schema_that_breaks_a_rule_is_not_released(
    tmp_path: Path, change: Callable[[FileDescriptorSet], None], reason: str
) -> None:
    release(describe(), 1, tmp_path)
    schema = describe()
    change(schema)

    with pytest.raises(ReleaseError, match=reason):
        release(schema, 2, tmp_path)
    assert [each.version for each in releases(tmp_path)] == [1]
