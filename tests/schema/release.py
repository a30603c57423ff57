"""Releases of the schema, and how to make one.

To release a new version: change `proto/`, regenerate (`python -m tests.schema.generate`), handle
the change in `deletion/events/codec.py` and raise `SCHEMA_VERSION` there, add a sample of it to
`tests/schema/samples.py`, then run `python -m tests.schema.release` and commit the folder it
writes, `tests/schema/released/v<SCHEMA_VERSION>`:

- `descriptor.binpb`, the schema, a FileDescriptorSet with its imports
- `<sample>.binpb`, the bytes this version writes, and `<sample>.json`, what they mean

A type of event on a topic of its own, which no reader of requests ever sees, keeps the version:
raise `REVISION` instead, whose folder is `v<SCHEMA_VERSION>.<REVISION>`.

A release is never written twice: running consumers may rely on it from then on.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from deletion.events import SCHEMA_VERSION, encode
from tests.schema.generate import describe
from tests.schema.rules import breaking, lint
from tests.schema.samples import SAMPLES

HOME: Final = Path(__file__).parent / "released"
REVISION: Final = 1
"""Of `SCHEMA_VERSION`; 1 added the completed deletion."""


class ReleaseError(Exception):
    """The schema cannot be released as it is; the message says why."""


@dataclass(frozen=True)
class Release:
    """One released version of the schema, kept in its own folder."""

    folder: Path

    @property
    def number(self) -> tuple[int, int]:
        """Version and revision."""
        version, _, revision = self.folder.name.removeprefix("v").partition(".")
        return int(version), int(revision or 0)

    @property
    def version(self) -> int:
        return self.number[0]

    @property
    def schema(self) -> FileDescriptorSet:
        return FileDescriptorSet.FromString((self.folder / "descriptor.binpb").read_bytes())

    def golden(self) -> list[tuple[bytes, dict[str, Any]]]:
        """The bytes this version wrote, each with what they mean."""
        return [
            (path.with_suffix(".binpb").read_bytes(), json.loads(path.read_text()))
            for path in sorted(self.folder.glob("*.json"))
        ]


def releases(home: Path = HOME) -> list[Release]:
    """Every released version, the oldest first."""
    return sorted((Release(folder) for folder in home.glob("v*")), key=lambda each: each.number)


def subject_class(schema: FileDescriptorSet) -> type[Message]:
    """`BotDeletionSubject` as that schema knows it, apart from the generated code."""
    pool = DescriptorPool()
    for file in schema.file:
        pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("bot_deletion.v1.BotDeletionSubject"))


def read(schema: FileDescriptorSet, data: bytes) -> dict[str, Any]:
    """What `data` means to a peer that knows only that schema, in protobuf's JSON mapping."""
    message = subject_class(schema).FromString(data)
    meaning: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return meaning


def release(
    schema: FileDescriptorSet, version: int, home: Path = HOME, revision: int = 0
) -> Release:
    """Write the folder of a new version, or of a revision of one.

    Raises:
        ReleaseError: it is released already, or the schema breaks a rule.
    """
    new = Release(home / (f"v{version}.{revision}" if revision else f"v{version}"))
    if new.folder.exists():
        raise ReleaseError(f"{new.folder.name} is released: raise SCHEMA_VERSION for a new one")
    findings = lint(schema)
    findings += [line for old in releases(home) for line in breaking(old.schema, schema)]
    if findings:
        raise ReleaseError("\n".join(findings))
    new.folder.mkdir(parents=True)
    (new.folder / "descriptor.binpb").write_bytes(schema.SerializeToString())
    for name, sample in SAMPLES.items():
        data = encode(sample)
        meaning = json.dumps(read(schema, data), indent=2)
        (new.folder / f"{name}.binpb").write_bytes(data)
        (new.folder / f"{name}.json").write_text(f"{meaning}\n")
    return new


if __name__ == "__main__":
    try:
        print(release(describe(), SCHEMA_VERSION, revision=REVISION).folder)
    except ReleaseError as refusal:
        raise SystemExit(str(refusal)) from refusal
