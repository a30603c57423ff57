"""`botdel doctor`: connects as the settings say, and runs all checks side by side."""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.api_core.exceptions import GoogleAPICallError
from pymongo.errors import PyMongoError

from botdel.doctor import canary
from botdel.doctor.bots import bot_findings, duplicate_plan_findings
from botdel.doctor.breakers import BREAKERS, breaker_findings
from botdel.doctor.environment import environment_findings
from botdel.doctor.findings import (
    DATABASE_SECONDS,
    LOOK_SECONDS,
    could_not,
    guarded,
    together,
    warning,
)
from botdel.doctor.grants import PUBLISHER, grant_command, grant_findings
from botdel.doctor.indexes import index_findings
from botdel.doctor.keeping import kept
from botdel.doctor.plan_checks import build_plans, read_plans
from botdel.doctor.report import show
from botdel.doctor.services import service_findings
from botdel.doctor.site import Store, connected_pubsub, connected_store
from botdel.doctor.timing import HEARTBEAT, grace_findings, lease_findings
from botdel.doctor.topology import topology_findings
from botdel.terminal import waiting
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.clock import SystemClock
from deletion.dead_letter import CANARY_PREFIX
from deletion.doctor import Finding, Verdict
from deletion.errors import BotDeletionError, ConfigurationError
from deletion.plan import Plan
from deletion.process.bus import Bus
from deletion.process.run import FAILED
from deletion.process.settings import PubSubSettings, load

SUBSCRIPTIONS = "subscriptions"
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GivenPlans:
    """All known services, those with a plan here (`planned`), and the plans that could be built.

    `unread` says that a plan could not be read, so that its service is not known.
    """

    services: Sequence[str]
    planned: Sequence[str]
    plans: Sequence[Plan]
    unread: bool

    @property
    def is_all(self) -> bool:
        """Whether there is a plan here for every service."""
        return not self.unread and set(self.services) <= set(self.planned)


async def doctor(plans: Sequence[Path], canary_seconds: float | None, *, as_json: bool) -> int:
    """Print what every check found. Returns 1 if one failed, otherwise 0.

    Sends a canary if `canary_seconds` is set; it must be recorded within that time.
    """
    with waiting("checking") as say:
        findings = await examine(plans, canary_seconds, say)
    show(findings, as_json=as_json)
    return FAILED if any(finding.status is Verdict.FAILED for finding in findings) else 0


async def examine(plans: Sequence[Path], canary_seconds: float | None, say: Say) -> list[Finding]:
    """Return all findings.

    A side that cannot be connected, or a plan that cannot be used here, is a finding;
    everything else is still checked. What was found is kept for the console.
    """
    findings = environment_findings()
    sources = read_plans(plans, findings)
    async with AsyncExitStack() as stack:
        bus = await _entered(stack, "Pub/Sub", connected_pubsub(), findings)
        store = await _entered(stack, "MongoDB", connected_store(), findings)
        planned = [source.service for source in sources.values()]
        findings += duplicate_plan_findings(planned)
        services = await _services(bus, planned, findings) if bus else planned
        built = build_plans(sources, store.connections, findings) if store else []
        given = GivenPlans(services, planned, built, unread=len(sources) < len(set(plans)))
        checks = list(_checks(bus, store, given))
        if bus and store and canary_seconds:
            checks.append(_guarded_canary(bus, store, canary_seconds, say))
        findings += await together(*checks)
        unkept = await kept(findings, store.results, SystemClock()) if store else []
        return [*findings, *unkept]


async def _entered(
    stack: AsyncExitStack,
    check: str,
    side: AbstractAsyncContextManager[T],
    findings: list[Finding],
) -> T | None:
    """Connect a side until `stack` closes. If it cannot be connected, add a finding and return
    None.
    """
    try:
        return await stack.enter_async_context(side)
    except (ConfigurationError, PyMongoError) as error:
        findings.append(could_not(check, error))
        return None


async def _services(bus: Bus, planned: Sequence[str], findings: list[Finding]) -> list[str]:
    """Return the services with a plan here, and those that only have a subscription."""
    try:
        found = await bus.topology.services()
    except (BotDeletionError, GoogleAPICallError) as error:
        findings.append(could_not(SUBSCRIPTIONS, error))
        return list(planned)
    if not found:
        lost = "no service has a subscription: what the gateway publishes reaches nobody"
        each = "run `botdel topology apply --plan FILE` with the plan of each service"
        findings.append(warning(SUBSCRIPTIONS, lost, each))
    return [*planned, *(service for service in found if service not in planned)]


def _checks(
    bus: Bus | None, store: Store | None, given: GivenPlans
) -> Iterator[Awaitable[Sequence[Finding]]]:
    services, plans = given.services, given.plans
    if bus:
        # an unread plan may be the plan of a service that looks unused
        jobs = store.jobs if store and not given.unread else None
        registered = store.services if store else None
        yield topology_findings(bus.topology, services, given.planned, jobs, registered)
    if bus and not bus.is_emulated:
        yield grant_findings(bus.publisher, bus.topology.names, services)
    if store:
        yield index_findings(store.database, plans)
        yield service_findings(store.services, given.planned)
        yield guarded(BREAKERS, breaker_findings(store.breakers))
        yield bot_findings(plans, is_all=bus is not None and given.is_all)
        yield guarded(HEARTBEAT, lease_findings(store.database, SystemClock(), store.lease))
    if bus and store:
        grace = load(PubSubSettings).shutdown_grace_seconds
        yield grace_findings(store.jobs, services, grace)


def _guarded_canary(
    bus: Bus, store: Store, seconds: float, say: Say
) -> Awaitable[Sequence[Finding]]:
    return guarded(
        canary.CHECK,
        _canary(bus, store, seconds, say),
        seconds=seconds + DATABASE_SECONDS,
        longest=seconds + LOOK_SECONDS,
    )


async def _canary(bus: Bus, store: Store, seconds: float, say: Say) -> list[Finding]:
    names, service = bus.topology.names, f"{CANARY_PREFIX}{secrets.token_hex(8)}"
    grant = grant_command(names.project, "topic", names.dead_letter_topic, PUBLISHER)
    async with bus.topology.canary(service) as path:
        flying = canary.Canary(
            service,
            publisher=GroupingPublisher(bus.publisher, names.topic),
            subscription=PullSubscription(bus.subscriber, path),
            letters=store.letters,
            clock=SystemClock(),
            grant="" if bus.is_emulated else grant,
            say=say,
        )
        return [await flying.fly(seconds)]
