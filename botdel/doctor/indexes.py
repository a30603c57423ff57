"""Checks the indexes: the pipeline's own, the one that lets complete jobs expire, and those that
the steps of each plan need.
"""

from collections.abc import Iterable, Sequence

from pymongo import IndexModel

from botdel.doctor.findings import failed, guarded, ok, together
from deletion.adapters.mongo import dead_letters, jobs, operator_actions, requests
from deletion.adapters.mongo.connection import Collection, Database, translated
from deletion.adapters.mongo.indexes import Described, Indexes, gap
from deletion.adapters.mongo.retention import FINISHED, RetentionDifference, retention_difference
from deletion.doctor import Finding
from deletion.plan import Plan, Provisioned, Step
from deletion.process.settings import load
from deletion.process.store_settings import RetentionSettings
from recovery import mongo_sweeps

COLLECTIONS: Indexes = {
    **{
        module.COLLECTION: module.INDEXES
        for module in (jobs, dead_letters, operator_actions, mongo_sweeps, requests)
    },
    operator_actions.PREVIEWS: operator_actions.PREVIEW_INDEXES,
}

RETENTION = "retention of complete jobs"
PROVIDE = "if the step is right, `botdel topology apply --plan FILE` creates it"


async def index_findings(database: Database, plans: Iterable[Plan]) -> list[Finding]:
    """Return the findings for each collection, for the retention, and for each step of `plans`."""
    return await together(
        *(
            guarded(f"indexes of {name}", _indexes(database[name], indexes))
            for name, indexes in COLLECTIONS.items()
        ),
        guarded(RETENTION, _retention(database)),
        step_findings(plans),
    )


async def step_findings(plans: Iterable[Plan]) -> list[Finding]:
    """Check that an index serves each step of `plans`."""
    steps = [(plan.service, step) for plan in plans for step in plan.steps]
    return await together(
        *(guarded(_label(service, step), _step(service, step)) for service, step in steps)
    )


async def _indexes(collection: Collection, indexes: Sequence[IndexModel]) -> list[Finding]:
    with translated():
        found = await collection.index_information()
    return [index_finding(collection.name, indexes, found)]


async def _retention(database: Database) -> list[Finding]:
    days = load(RetentionSettings).keep_complete_days
    difference = await retention_difference(database, days)
    with translated():
        found = await database[jobs.COLLECTION].index_information()
    return [retention_finding(days, difference, exists=FINISHED in found)]


async def _step(service: str, step: Step) -> list[Finding]:
    check = _label(service, step)
    if not isinstance(step, Provisioned):
        return [ok(check, "needs no index")]
    if missing := await step.missing():
        return [failed(check, f"missing {missing}", PROVIDE)]
    return [ok(check, "an index serves its batches")]


def index_finding(collection: str, wanted: Sequence[IndexModel], found: Described) -> Finding:
    """Return the finding about the indexes of one collection, with its remedy."""
    check, lacking = f"indexes of {collection}", gap(wanted, found)
    missing = f"missing: {', '.join(lacking.missing)}"
    if lacking.differing:
        drops = ", ".join(f'`db.{collection}.dropIndex("{name}")`' for name in lacking.differing)
        detail = f"not as it should be: {', '.join(lacking.differing)}"
        if lacking.missing:
            detail += f"; {missing}"
        return failed(check, detail, f"{drops}, then run `botdel topology apply`")
    if lacking.missing:
        return failed(check, missing, "run `botdel topology apply`")
    return ok(check, f"{len(wanted)} as they should be")


def retention_finding(
    days: int | None, difference: RetentionDifference | None, *, exists: bool
) -> Finding:
    """Check that complete jobs are kept for BOTDEL_KEEP_COMPLETE_DAYS (`days`).

    `difference` comes from `deletion.adapters.mongo.retention`; `exists` says whether there is a
    TTL index.
    """
    if difference:
        return failed(RETENTION, difference.what, difference.remedy)
    if days is None:
        return ok(RETENTION, "they are kept for ever: BOTDEL_KEEP_COMPLETE_DAYS is not set")
    if not exists:
        detail = f"BOTDEL_KEEP_COMPLETE_DAYS is {days}, and no index deletes them"
        return failed(RETENTION, detail, "run `botdel topology apply`")
    return ok(RETENTION, f"they are deleted {days} days after their end")


def _label(service: str, step: Step) -> str:
    return f"step {service}/{step.name}"
