"""The generated code in the repository is the contract's."""

from pathlib import Path

from tests.schema.generate import GENERATED, generate


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def test_the_generated_code_is_what_protoc_makes_of_the_contract(tmp_path: Path) -> None:
    generate(tmp_path)

    assert files(GENERATED) == files(tmp_path), "out of date: python -m tests.schema.generate"


def test_the_contract_folder_never_shadows_the_package_proto_that_pubsub_needs() -> None:
    contract = GENERATED.parents[2] / "proto"

    assert list(contract.rglob("*.proto"))
    assert not list(contract.rglob("*.py"))
