"""`botdel plan check` and `botdel plan preview`: inspect a plan without changing anything."""

import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager

from botdel.doctor.findings import (
    could_not,
    failed,
    guarded,
    ok,
    skipped,
    together,
    warning,
    within,
)
from botdel.doctor.indexes import step_findings
from botdel.doctor.report import show
from botdel.listing import show as show_rows
from botdel.options import object_id
from botdel.terminal import console
from deletion.adapters.http_api.shared import opened_alone
from deletion.adapters.http_api.verified_step import VerifiedHttpStep
from deletion.adapters.plan_source import PlanSource
from deletion.adapters.spec import StepConnections
from deletion.doctor import Finding, Verdict
from deletion.plan import Doubted, Permitted, Plan, Previewed, Step
from deletion.process.database import connected_clients
from deletion.process.run import FAILED
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings

COUNT_SECONDS = 600.0
"""Seconds for a preview to count one step; a bot may have millions of items."""
START_SECONDS = 10.0
"""Seconds for each look at a step's data before a consumer starts."""
READS_BACK = "its read-back answers as the plan says"


async def check(source: PlanSource, *, as_json: bool, start: bool = False) -> int:
    """Print whether each step's data can be reached, is indexed, may be deleted, and looks as the
    plan says, and whether each step before the point of no return can be undone.

    Returns 1 if something is wrong, otherwise 0. With `start`, only an index or a right that is
    missing or cannot be looked up is wrong, because every job needs it. One odd document, or an API
    that is down, is only a warning then: it concerns some jobs, which are retried.
    """
    async with _opened(source) as plan:
        findings = await together(
            step_findings([plan]),
            *(guarded(_rights_label(plan, step), _check_rights(plan, step)) for step in plan.steps),
            _as_warnings(_in_turn(_checks(plan, START_SECONDS)))
            if start
            else _in_turn(_checks(plan)),
        )
    show(findings, as_json=as_json)
    return FAILED if any(finding.status is Verdict.FAILED for finding in findings) else 0


async def preview(source: PlanSource, bot: str, *, as_json: bool) -> int:
    """Print how many items each step would delete now, in the order of the plan.

    Returns 1 if counting a step failed, otherwise 0.
    """
    bot_id = object_id(bot, "BOT_ID")
    counts: dict[str, int | None] = {}
    failures: dict[str, str] = {}
    async with _opened(source) as plan:
        for step in plan.steps:  # one after another, as in `_in_turn`
            counts[step.name] = None
            try:
                if isinstance(step, Previewed):
                    async with within(COUNT_SECONDS):
                        counts[step.name] = await step.count(bot_id)
            except Exception as error:  # noqa: BLE001 - see `guarded`
                failures[step.name] = could_not(step.name, error).detail
    if as_json:
        seen = {"service": plan.service, "bot_id": bot_id, "steps": counts, "failures": failures}
        print(json.dumps(seen))
    else:
        rows = [(name, _would_delete(n, failures.get(name))) for name, n in counts.items()]
        columns = ("step", "would delete")
        show_rows(console(), columns, rows, whole=columns, spare=(), nothing="")
    return FAILED if failures else 0


def _would_delete(count: int | None, failure: str | None) -> str:
    if failure:
        return f"not known: {failure}"
    return "not known: this step cannot be counted" if count is None else f"{count:,}"


@asynccontextmanager
async def _opened(source: PlanSource) -> AsyncIterator[Plan]:
    settings = load(JobsSettings)
    own = settings.mongodb_database
    async with opened_alone() as http, connected_clients(settings) as clients:
        yield source.build(StepConnections(clients.get, own_database=own, http=http))


def _checks(plan: Plan, longest: float | None = None) -> Iterator[Awaitable[Sequence[Finding]]]:
    """The checks of data and compensations, each bounded to `longest` seconds."""
    for step in plan.steps:
        yield guarded(_data_label(plan, step), _check_data(plan, step), longest=longest)
    for name in _undoable(plan):
        check = _compensation_label(plan, name)
        yield guarded(check, _check_compensation(plan, name), longest=longest)


async def _as_warnings(looking: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    """Return what `looking` finds, with each failure turned into a warning."""
    return [
        warning(each.check, each.detail, each.remedy) if each.status is Verdict.FAILED else each
        for each in await looking
    ]


async def _in_turn(checks: Iterator[Awaitable[Sequence[Finding]]]) -> Sequence[Finding]:
    """Await the checks one after another, and return what they find.

    Several steps may call one API, which takes few calls at a time; any check beyond these would be
    parked. Each check is created when its turn comes, so that after a cancellation no coroutine is
    left that nobody awaits.
    """
    return [finding for check in checks for finding in await check]


async def _check_data(plan: Plan, step: Step) -> Sequence[Finding]:
    check = _data_label(plan, step)
    if not isinstance(step, Previewed):
        return [skipped(check, "this step cannot be sampled")]
    faults = await step.faults()
    if faults is None:
        later = (
            "check again once there is data: a wrong collection or prefix in the plan looks "
            "the same"
        )
        return [warning(check, "there is no data here to check", later)]
    remedy = f"correct step {step.name} of the plan, or the data"
    failures = [failed(check, fault, remedy) for fault in faults]
    found = failures or await _check_doubts(check, step)
    is_asked = isinstance(step, VerifiedHttpStep)  # an API is asked about a bot that is not there
    return found or [ok(check, READS_BACK if is_asked else "the sampled data agrees with the plan")]


async def _check_doubts(check: str, step: Step) -> Sequence[Finding]:
    doubts = await step.doubts() if isinstance(step, Doubted) else ()
    return [warning(check, doubt.what, doubt.remedy) for doubt in doubts]


def _undoable(plan: Plan) -> Sequence[str]:
    """Return the names of the steps before the point of no return, which a job may undo."""
    names = [step.name for step in plan.steps]
    return names[: names.index(plan.point_of_no_return)] if plan.point_of_no_return else ()


async def _check_compensation(plan: Plan, name: str) -> Sequence[Finding]:
    check, undo = _compensation_label(plan, name), plan.compensations.get(name)
    if undo is None:
        stays = "it has no compensation: a rollback does not undo this step"
        remedy = "fine if the step has nothing to undo; otherwise give it a `compensation`"
        return [warning(check, stays, remedy)]
    if not isinstance(undo, Previewed):
        return [skipped(check, "this compensation cannot be sampled")]
    remedy = f"correct the compensation of step {name}"
    failures = [failed(check, fault, remedy) for fault in await undo.faults() or ()]
    found = failures or await _check_doubts(check, undo)
    return found or [ok(check, READS_BACK)]


async def _check_rights(plan: Plan, step: Step) -> Sequence[Finding]:
    check = _rights_label(plan, step)
    if not isinstance(step, Permitted):
        return [skipped(check, "this step cannot report its rights")]
    missing = await step.forbidden()
    if missing is None:
        return [skipped(check, "the server does not report the rights of this identity")]
    if missing:
        remedy = (
            "grant them to the identity that the step uses (for MongoDB the user of "
            "BOTDEL_MONGODB_URI, or of the plan's `uri`)"
        )
        return [failed(check, f"not permitted: {', '.join(missing)}", remedy)]
    return [ok(check, "this identity has all the rights it needs")]


def _rights_label(plan: Plan, step: Step) -> str:
    return f"rights of step {plan.service}/{step.name}"


def _data_label(plan: Plan, step: Step) -> str:
    return f"data of step {plan.service}/{step.name}"


def _compensation_label(plan: Plan, name: str) -> str:
    return f"compensation of step {plan.service}/{name}"
