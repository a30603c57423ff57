"""Whether the steps of the plans name the same bots.

A wrong field of the right type looks right by itself: documents are there, and hold ids. But no
other step knows these ids, and they are those of none of its bots.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from botdel.doctor.findings import Finding, failed, guarded, ok, skipped, together, warning
from deletion.plan import Plan, Sampled, Step

FROM_EACH: Final = 20
"""Bots that are taken from each step, at most."""
IN_EACH: Final = 200
"""Bots of the other steps that are looked for in each step, at most: 100 services name
thousands."""


@dataclass(frozen=True, slots=True)
class Known:
    """A step, and some of the bots that have data in it."""

    plan: Plan
    step: Step
    bots: Sequence[str]

    @property
    def check(self) -> str:
        return f"bots of step {self.plan.service}/{self.step.name}"


def twice_findings(services: Sequence[str]) -> list[Finding]:
    """A service has one plan: consumers with two of them would take each other's jobs."""
    twice = sorted(service for service, times in Counter(services).items() if times > 1)
    remedy = "correct `service` in all but one of them"
    return [
        failed("plans", f"more than one plan names the service {name}", remedy) for name in twice
    ]


async def bot_findings(plans: Iterable[Plan]) -> list[Finding]:
    """For each step whose data names bots, whether any other step of `plans` knows them."""
    steps = [(plan, step) for plan in plans for step in plan.steps if isinstance(step, Sampled)]
    sampled: list[Known] = []

    async def sample(plan: Plan, step: Step, bots: Sampled) -> Sequence[Finding]:
        sampled.append(Known(plan, step, list(await bots.bots())[:FROM_EACH]))
        return []

    unread = await together(
        *(guarded(Known(plan, step, ()).check, sample(plan, step, step)) for plan, step in steps)
    )
    order = {id(step): place for place, (_, step) in enumerate(steps)}
    sampled.sort(key=lambda known: order[id(known.step)])
    return unread + await together(*(guarded(each.check, _look(each, sampled)) for each in sampled))


async def _look(known: Known, sampled: Sequence[Known]) -> Sequence[Finding]:
    others = [each for each in sampled if each is not known]
    named = _spread(sorted({bot for each in others for bot in each.bots}), IN_EACH)
    if not named:
        alone = "no other step names bots, so there is nothing to compare: give other plans too"
        return [skipped(known.check, alone)]
    if await _has_any(known.step, named):
        return [ok(known.check, "it has data of bots that other steps name")]
    if not known.bots:
        return await _empty(known, others)
    for each in others:
        if await _has_any(each.step, known.bots):
            return [ok(known.check, "other steps have data of the bots that it names")]
    return [
        failed(
            known.check,
            f"none of {len(named)} bots that other steps know has data here, and no other step "
            f"knows any of the {len(known.bots)} ids that were looked at",
            f"correct step {known.step.name}, or the step that it was compared with: most likely "
            "`field`, `collection` or `database` is wrong",
        )
    ]


async def _empty(known: Known, others: Sequence[Known]) -> Sequence[Finding]:
    """A step without data: a fault when no step of its plan has any, although other services have
    bots.
    """
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
    """At most `most` of `bots`, spread evenly over them."""
    return bots[:: -(-len(bots) // most) or 1]


async def _has_any(step: Step, bots: Collection[str]) -> bool:
    for bot in bots:
        if not await step.is_empty(bot):
            return True
    return False
