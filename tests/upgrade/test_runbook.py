"""What the runbook of an upgrade says of releases, collections, fields and settings is true."""

import json
import re
from collections.abc import Iterator
from os.path import relpath
from pathlib import Path

from botdel.doctor.indexes import COLLECTIONS
from botdel.local.database import EmbeddedMongo
from deletion import __version__
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.indexes import gap
from deletion.adapters.mongo.spec import PIPELINE_COLLECTIONS
from tests.architecture.documents import table
from tests.schema.release import releases as contracts
from tests.support.kubernetes import COMPONENT, KUBERNETES, Manifest, kustomized
from tests.upgrade.goldens import WITHIN, Documents, documents_of, golden_folder, read_goldens
from tests.upgrade.releases import HOME, TODAY, Code, Release, releases
from tests.upgrade.rolling import Installation
from tests.upgrade.runbook import PAGE


def words(cell: str) -> set[str]:
    """The names in a cell, which a comma stands between."""
    return {name for name in cell.removeprefix("also ").split(", ") if name}


def rows() -> list[dict[str, str]]:
    return table(PAGE, "release", "event contract")


def added(before: Documents, after: Documents) -> set[str]:
    """The fields that records have only `after`, as `collection.field`."""
    return {
        f"{name}.{field}"
        for name, documents in before.items()
        for was, document in zip(documents, after[name], strict=True)
        for field in document.keys() - was.keys()
    }


def test_each_release_is_in_the_table_with_its_contract() -> None:
    kept = [release.version for release in releases()]
    assert [row["release"] for row in rows()] == [*kept, __version__]
    said = {row["event contract"] for row in rows()}
    assert said == {contract.folder.name for contract in contracts()}, "releases may share one"
    assert rows()[-1]["event contract"] == contracts()[-1].folder.name


def test_each_collection_is_in_the_table(last_release: Release) -> None:
    *earlier, now = (words(row["collections"]) for row in rows())
    before = set[str]().union(*earlier)
    assert before == set(read_goldens(golden_folder(last_release)))
    assert before | now == PIPELINE_COLLECTIONS
    assert sum(map(len, [*earlier, now])) == len(PIPELINE_COLLECTIONS), "each is in one row"


async def test_each_field_that_is_added_is_in_the_table_and_nothing_else_changes(
    last_release: Release, mongo: EmbeddedMongo, database_name: str
) -> None:
    goldens = read_goldens(golden_folder(last_release))

    written = await documents_of(TODAY, mongo.uri, database_name)

    new = added(goldens, written)
    assert words(rows()[-1]["fields that it adds to records of earlier ones"]) == new
    for name in new:
        collection, field = name.split(".")
        for document in written[collection]:
            document.pop(field, None)
    assert written == goldens


async def test_each_index_that_is_added_to_an_earlier_collection_is_in_the_table(
    old: Code, mongo: EmbeddedMongo, client: Client, database_name: str
) -> None:
    stood = await documents_of(old, mongo.uri, database_name)
    gaps = {
        name: gap(wanted, await client[database_name][name].index_information())
        for name, wanted in COLLECTIONS.items()
        if name in stood
    }
    assert not any(each.differing for each in gaps.values()), "it would have to be dropped"
    missing = {f"{name}.{index}" for name, each in gaps.items() for index in each.missing}
    assert words(rows()[-1]["indexes that it adds to collections of earlier ones"]) == missing


def said(cell: str, lines: list[str]) -> bool:
    """Whether the command has said what the cell quotes, up to an ellipsis."""
    return any(line.startswith(cell.split("…", maxsplit=1)[0].strip()) for line in lines)


async def test_the_index_that_deletes_what_the_ledger_needs_is_named_and_replaced(
    installation: Installation, old: Code
) -> None:
    installation.pipeline.settings["BOTDEL_KEEP_COMPLETE_DAYS"] = "31"
    await installation.apply(old)
    [quoted, *_] = [row["what it says"] for row in table(PAGE, "what it says")]

    assert said(quoted, await installation.apply(TODAY, expected=1))
    await installation.pipeline.jobs.drop_index("complete_finished_ttl")
    assert not said(quoted, await installation.apply(TODAY))
    assert said("differs", await installation.apply(old, expected=1)), "as after a rollback"
    await installation.apply(TODAY)


async def surface(code: Code) -> set[str]:
    """What users of this version rely on."""
    async with code.python("surface", str(HOME / "surface.py"), env={}) as process:
        status = await process.wait(WITHIN)
    assert status == 0, list(process.lines)
    return set(json.loads(process.lines[-1]))


async def test_no_setting_command_or_option_of_the_last_release_is_gone(old: Code) -> None:
    before, now = await surface(old), await surface(TODAY)

    assert {"BOTDEL_TOPIC", "GOOGLE_CLOUD_PROJECT", "botdel jobs list --bot"} <= before
    assert before <= now


def gone_back(folder: Path) -> list[Manifest]:
    """The overlay for production with what the page adds to it for the last release."""
    back = PAGE.read_text(encoding="utf-8").partition("**Rolling back to ")[2].partition("\n## ")[0]
    added = "".join(re.findall(r"^```yaml\n(.*?)^```$", back, re.MULTILINE | re.DOTALL))
    base = relpath(KUBERNETES / "overlays" / "production", folder.resolve())
    (folder / "kustomization.yaml").write_text(f"resources: [{base}]\n{added}", encoding="utf-8")
    parts = {"gateway", "recovery", "cron", "consumer"}
    return [
        each
        for each in kustomized(folder)
        if each["metadata"].get("labels", {}).get(COMPONENT) in parts
    ]


def started(manifest: Manifest) -> Iterator[list[str]]:
    """The arguments of each container that the manifest starts."""
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]["template"]["spec"]
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        yield container["args"]


async def test_what_goes_back_on_kubernetes_is_started_as_the_last_release_knows_it(
    old: Code, tmp_path: Path
) -> None:
    known = await surface(old)
    commands = [each for manifest in gone_back(tmp_path) for each in started(manifest)]
    assert len(commands) >= 4
    for arguments in commands:
        paths = [" ".join(["botdel", *arguments[:length]]) for length in (2, 1)]
        path = next(path for path in paths if path in known and "--" not in path)
        options = {f"{path} {each}" for each in arguments if each.startswith("--")}
        assert options <= known, arguments
