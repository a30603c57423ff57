"""Checks that the steps of all plans name the same bots.

A wrong field of the right type looks right on its own: there are documents, and they hold ids. But
no other step has data of these ids, and this step has none of the bots that others name.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from botdel.doctor.findings import failed, guarded, ok, skipped, together, warning
from deletion.doctor import Finding
from deletion.plan import AnswerOnly, Plan, Previewed, Sampled, Step

FROM_EACH: Final = 20
"""Bots taken from each step, at most."""
IN_EACH: Final = 200
"""Bots of other steps looked for in each step, at most: 100 services name thousands."""


@dataclass(frozen=True, slots=True)
class SampledStep:
    """A step, and some of the bots that have data in it."""

    plan: Plan
    step: Step
    bots: Sequence[str] = ()

    @property
    def check(self) -> str:
        return f"bots of step {self.plan.service}/{self.step.name}"

    @property
    def names_bots(self) -> bool:
        return isinstance(self.step, Sampled)


def duplicate_plan_findings(services: Sequence[str]) -> list[Finding]:
    """Fail each service with two plans: its consumers would claim each other's jobs."""
    twice = sorted(service for service, times in Counter(services).items() if times > 1)
    remedy = "correct `service` in all but one of them"
    return [
        failed("plans", f"more than one plan names the service {name}", remedy) for name in twice
    ]


async def bot_findings(plans: Iterable[Plan], *, is_all: bool = False) -> list[Finding]:
    """Check for each step of `plans` that it and the others have data of the same bots.

    A step that cannot name its bots is only asked for those that others name. A step that cannot be
    counted, or that calls an API, is skipped. `is_all` says that every service has a plan here.
    """
    steps = [(plan, step) for plan in plans for step in plan.steps]
    left_out = [
        skipped(SampledStep(plan, step).check, why)
        for plan, step in steps
        if (why := _left_out(step))
    ]
    looked_at = [SampledStep(plan, step) for plan, step in steps if not _left_out(step)]
    bots: dict[int, Sequence[str]] = {}

    async def sample(index: int, step: Step) -> Sequence[Finding]:
        """Note some bots of a step. Returns no finding: only an error becomes one."""
        bots[index] = list(await step.bots())[:FROM_EACH] if isinstance(step, Sampled) else []
        return []

    unread = await together(
        *(guarded(each.check, sample(index, each.step)) for index, each in enumerate(looked_at))
    )
    compared = [replace(looked_at[index], bots=bots[index]) for index in sorted(bots)]
    checks = (guarded(each.check, _compare(each, compared, is_all=is_all)) for each in compared)
    return left_out + unread + await together(*checks)


def _left_out(step: Step) -> str:
    """Return why the step is not compared; "" if it is."""
    if isinstance(step, AnswerOnly):
        return "it calls an API, which is not asked about bots of other steps"
    if isinstance(step, Sampled | Previewed):
        return ""
    return "it names no bots and cannot be counted, so it is not compared with other steps"


async def _compare(
    known: SampledStep, compared: Sequence[SampledStep], *, is_all: bool
) -> Sequence[Finding]:
    others = [each for each in compared if each is not known]
    named = _spread(sorted({bot for each in others for bot in each.bots}), IN_EACH)
    if await _has_any(known.step, named):
        return [ok(known.check, "it has data of bots that other steps name")]
    for each in others:
        if await _has_any(each.step, known.bots):
            return [ok(known.check, "other steps have data of the bots that it names")]
    if not named:
        alone = "no other step names bots, so there is nothing to compare"
        return [skipped(known.check, alone if is_all else f"{alone}: give other plans too")]
    if not known.names_bots:
        return [_without_names(known, len(named))]
    if not known.bots:
        return await _empty(known, others)
    return [
        failed(
            known.check,
            f"none of {len(named)} bots that other steps know has data here, and no other step "
            f"knows any of the {len(known.bots)} ids that were looked at",
            f"correct step {known.step.name}, or the step that it was compared with: most likely "
            "`field`, `collection` or `database` is wrong",
        )
    ]


def _without_names(known: SampledStep, looked_for: int) -> Finding:
    """Only warn: the step may have data of bots that no other step names."""
    return warning(
        known.check,
        f"none of {looked_for} bots that other steps know has data here",
        f"if one of them should have data, step {known.step.name} looks in the wrong place: run "
        "`botdel plan preview` with a bot that has data",
    )


async def _empty(known: SampledStep, others: Sequence[SampledStep]) -> Sequence[Finding]:
    """Warn of a step without data; fail if no step of its plan has any but other services do."""
    of_plan = [each for each in others if each.plan is known.plan]
    detail = "there is no data here that names a bot"
    if any(each.bots for each in of_plan):
        return [warning(known.check, detail, "look again once there is data")]
    return [
        failed(
            known.check,
            f"{detail}, nor in any other step of its plan, though other services have bots",
            "correct the plan; a new service that has no data yet fails this check until it has",
        )
    ]


def _spread(bots: Sequence[str], most: int) -> Sequence[str]:
    """Return at most `most` of `bots`, evenly spread."""
    every = math.ceil(len(bots) / most)
    return bots[:: max(1, every)]


async def _has_any(step: Step, bots: Collection[str]) -> bool:
    for bot in bots:
        if not await step.is_empty(bot):
            return True
    return False
