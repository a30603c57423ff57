"""The contract as Python code: `python -m tests.schema.generate` writes it.

`protoc` comes with grpcio-tools. The generated code carries the release of protobuf it was made
for and refuses to be imported by an older one, hence the pinned grpcio-tools.
"""

import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

from tests.support.paths import ROOT

SOURCES: Final = ROOT / "proto"
GENERATED: Final = ROOT / "deletion/events/generated"


def generate(target: Path) -> None:
    """Write the modules, their stubs and the packages around them into the folder `target`."""
    target.mkdir(parents=True, exist_ok=True)
    _protoc(f"--python_out={target}", f"--pyi_out={target}")
    for folder in {parent for module in target.rglob("*_pb2.py") for parent in module.parents}:
        if folder.is_relative_to(target):
            (folder / "__init__.py").touch()


def describe() -> FileDescriptorSet:
    """The descriptors of `proto/` as it stands, together with what it imports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "descriptor.binpb")
        _protoc(f"--descriptor_set_out={path}", "--include_imports")
        return FileDescriptorSet.FromString(path.read_bytes())


def _protoc(*options: str) -> None:
    well_known = resources.files("grpc_tools") / "_proto"
    files = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    if protoc.main(["protoc", f"-I{SOURCES}", f"-I{well_known}", *options, *files]) != 0:
        raise SystemExit("protoc refuses the contract; its reason stands above")


if __name__ == "__main__":
    generate(GENERATED)
