"""Checks the indexes: the pipeline's own, those that let records expire, and those that the steps
of each plan need.
"""

from collections.abc import Iterable, Sequence

from pymongo import IndexModel

from botdel.doctor.findings import failed, guarded, ok, together
from deletion.adapters.mongo import dead_letters, jobs, operator_actions, requests, sweeps
from deletion.adapters.mongo.connection import Collection, Database, translated
from deletion.adapters.mongo.indexes import Described, Indexes, gap
from deletion.adapters.mongo.listed_indexes import listed_indexes
from deletion.adapters.mongo.retention import (
    COMPLETE_JOBS,
    SETTLED_REQUESTS,
    Retention,
    RetentionDifference,
    retention_difference,
)
from deletion.doctor import Finding
from deletion.plan import Plan, Provisioned, Step
from deletion.process.settings import load
from deletion.process.store_settings import RetentionSettings

COLLECTIONS: Indexes = {
    **{
        module.COLLECTION: module.INDEXES
        for module in (jobs, dead_letters, operator_actions, sweeps, requests)
    },
    operator_actions.PREVIEWS: operator_actions.PREVIEW_INDEXES,
}

PROVIDE = "if the step is right, `botdel topology apply --plan FILE` creates it"


async def index_findings(database: Database, plans: Iterable[Plan]) -> list[Finding]:
    """Return the findings for each collection, for the retention, and for each step of `plans`."""
    settings = retentions(load(RetentionSettings))
    return await together(
        *(
            guarded(f"indexes of {name}", _indexes(database[name], indexes))
            for name, indexes in COLLECTIONS.items()
        ),
        *(guarded(_kept(kept), _retention(database, kept, days)) for kept, days in settings),
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
        found = await listed_indexes(collection)
    return [index_finding(collection.name, indexes, found.built)]


def retentions(settings: RetentionSettings) -> list[tuple[Retention, int | None]]:
    """Each kind of record that may expire, with the days that are set for it."""
    return [
        (COMPLETE_JOBS, settings.keep_complete_days),
        (SETTLED_REQUESTS, settings.keep_settled_days),
    ]


async def _retention(database: Database, kept: Retention, days: int | None) -> list[Finding]:
    difference = await retention_difference(database, kept, days)
    with translated():
        found = await database[kept.collection].index_information()
    return [retention_finding(kept, days, difference, exists=kept.index in found)]


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
    kept: Retention, days: int | None, difference: RetentionDifference | None, *, exists: bool
) -> Finding:
    """Check that the records are kept for `days`, or for ever if that is None.

    `difference` comes from `deletion.adapters.mongo.retention`; `exists` says whether there is a
    TTL index.
    """
    check = _kept(kept)
    if difference:
        return failed(check, difference.what, difference.remedy)
    if days is None:
        return ok(check, f"they are kept for ever: {kept.setting} is not set")
    if not exists:
        detail = f"{kept.setting} is {days}, and no index deletes them"
        return failed(check, detail, "run `botdel topology apply`")
    return ok(check, f"they are deleted {days} days after their end")


def _kept(kept: Retention) -> str:
    return f"retention of {kept.records}"


def _label(service: str, step: Step) -> str:
    return f"step {service}/{step.name}"
