"""Indexes: the pipeline's own, which enforce its rules, and what the steps of each plan need."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import IndexModel

from botdel.doctor.findings import Finding, failed, ok, together, told
from deletion.adapters.mongo import dead_letters, jobs
from deletion.adapters.mongo.connection import Collection, Database, translated
from deletion.plan import Plan, Provisioned, Step
from recovery import mongo_sweeps

COLLECTIONS: Mapping[str, Sequence[IndexModel]] = {
    module.COLLECTION: module.INDEXES for module in (jobs, dead_letters, mongo_sweeps)
}
IMMATERIAL = ("v", "ns", "name", "background")
"""What a server says of an index and this pipeline does not ask for."""

Described = Mapping[str, Mapping[str, Any]]
"""Indexes by name, as the driver tells them."""


async def index_findings(database: Database, plans: Iterable[Plan]) -> list[Finding]:
    """Of each collection of the pipeline, and of each step of `plans`."""
    steps = [(plan.service, step) for plan in plans for step in plan.steps]
    return await together(
        *(
            told(f"indexes of {name}", _indexes(database[name], indexes))
            for name, indexes in COLLECTIONS.items()
        ),
        *(told(_check(service, step), _step(service, step)) for service, step in steps),
    )


async def _indexes(collection: Collection, indexes: Sequence[IndexModel]) -> list[Finding]:
    with translated():
        found = await collection.index_information()
    return [index_finding(collection.name, indexes, found)]


async def _step(service: str, step: Step) -> list[Finding]:
    check = _check(service, step)
    if not isinstance(step, Provisioned):
        return [ok(check, "needs nothing to exist")]
    if missing := await step.missing():
        detail, _, cost = missing.partition(": ")
        cost, _, remedy = cost.partition("; ")
        return [failed(check, f"missing {detail}: {cost}", remedy)]
    return [ok(check, "an index serves its batches")]


def index_finding(collection: str, wanted: Sequence[IndexModel], found: Described) -> Finding:
    """Compares by name, because that is how the database tells an index that is there already."""
    check, expected = f"indexes of {collection}", [index.document for index in wanted]
    differing = [
        index["name"]
        for index in expected
        if index["name"] in found and _shape(index) != _shape(found[index["name"]])
    ]
    missing = [index["name"] for index in expected if index["name"] not in found]
    if differing:
        drops = ", ".join(f'`db.{collection}.dropIndex("{name}")`' for name in differing)
        detail = f"not as it should be: {', '.join(differing)}"
        if missing:
            detail += f"; missing: {', '.join(missing)}"
        return failed(check, detail, f"{drops}, then run `botdel topology apply`")
    if missing:
        return failed(check, f"missing: {', '.join(missing)}", "run `botdel topology apply`")
    return ok(check, f"{len(expected)} as they should be")


def _shape(index: Mapping[str, Any]) -> dict[str, object]:
    """Its keys in their order, and every option that is on."""
    key = index["key"]
    fields = list(key.items() if isinstance(key, Mapping) else key)
    options = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in index.items()
        if name not in (*IMMATERIAL, "key") and value is not False
    }
    return {"key": fields, **options}


def _check(service: str, step: Step) -> str:
    return f"step {service}/{step.name}"
