"""`botdel plan check` and `botdel plan preview`: a plan is looked at, and nothing is changed."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from botdel.doctor.findings import Finding, Status, failed, ok, together, told, warning
from botdel.doctor.indexes import step_findings
from botdel.doctor.report import show
from botdel.listing import show as show_rows
from botdel.options import object_id
from botdel.store import connected
from botdel.terminal import console
from deletion.adapters.http_api.http import opened_alone
from deletion.adapters.plan_source import PlanSource
from deletion.adapters.spec import Outside
from deletion.plan import Permitted, Plan, Previewed, Step
from deletion.process.run import FAILED
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings


async def check(source: PlanSource, *, as_json: bool) -> int:
    """Print whether each step's data can be reached, is indexed, may be deleted, and looks as the
    plan says.

    Returns 1 when something is wrong, and 0 otherwise.
    """
    async with _built(source) as plan:
        findings = await together(
            step_findings([plan]),
            *(told(_rights(plan, step), _permitted(plan, step)) for step in plan.steps),
            *(told(_check(plan, step), _sampled(plan, step)) for step in plan.steps),
        )
    show(findings, as_json=as_json)
    return FAILED if any(finding.status is Status.FAILED for finding in findings) else 0


async def preview(source: PlanSource, bot: str, *, as_json: bool) -> None:
    """Print how many items each step would delete now, in the order of the plan."""
    bot_id = object_id(bot)
    async with _built(source) as plan:
        steps = [step for step in plan.steps if isinstance(step, Previewed)]
        counts = await asyncio.gather(*(step.count(bot_id) for step in steps))
    found = dict(zip((step.name for step in steps), counts, strict=True))
    if as_json:
        print(json.dumps({"service": plan.service, "bot_id": bot_id, "steps": found}))
        return
    rows = [(name, f"{count:,}") for name, count in found.items()]
    columns = ("step", "would delete")
    show_rows(console(), columns, rows, whole=columns, spare=(), nothing="no step can be counted")


@asynccontextmanager
async def _built(source: PlanSource) -> AsyncIterator[Plan]:
    settings = load(JobsSettings)
    own = settings.mongodb_database
    async with opened_alone() as http:
        with connected(settings) as clients:
            yield source.build(Outside(clients.get, own_database=own, http=http))


async def _sampled(plan: Plan, step: Step) -> Sequence[Finding]:
    check = _check(plan, step)
    if not isinstance(step, Previewed):
        return [ok(check, "cannot be sampled")]
    faults = await step.faults()
    if faults is None:
        later = (
            "check again once there is data: a plan that names another collection looks the same"
        )
        return [warning(check, "there is no document to look at", later)]
    remedy = f"correct step {step.name} of the plan, or the data"
    failures = [failed(check, fault, remedy) for fault in faults]
    return failures or [ok(check, "a sample of it is as the plan says")]


async def _permitted(plan: Plan, step: Step) -> Sequence[Finding]:
    check = _rights(plan, step)
    if not isinstance(step, Permitted):
        return [ok(check, "cannot be told")]
    missing = await step.forbidden()
    if missing is None:
        return [ok(check, "the server tells of none that this identity lacks")]
    if missing:
        remedy = "grant them to the user of BOTDEL_MONGODB_URI, or of the plan's `uri`"
        return [failed(check, f"not permitted: {', '.join(missing)}", remedy)]
    return [ok(check, "it may do what it has to")]


def _rights(plan: Plan, step: Step) -> str:
    return f"rights of step {plan.service}/{step.name}"


def _check(plan: Plan, step: Step) -> str:
    return f"data of step {plan.service}/{step.name}"
