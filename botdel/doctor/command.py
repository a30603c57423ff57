"""`botdel doctor`: connects as the settings say, and runs all checks side by side."""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from google.api_core.exceptions import GoogleAPICallError
from pymongo.errors import PyMongoError

from botdel.doctor import canary
from botdel.doctor.bots import bot_findings, twice_findings
from botdel.doctor.breakers import BREAKERS, breaker_findings
from botdel.doctor.environment import environment_findings
from botdel.doctor.findings import (
    DATABASE_SECONDS,
    LOOK_SECONDS,
    Finding,
    Status,
    could_not,
    guarded,
    together,
    warning,
)
from botdel.doctor.grants import PUBLISHER, grant_command, grant_findings
from botdel.doctor.indexes import index_findings
from botdel.doctor.report import show
from botdel.doctor.site import Bus, Store, connected_bus, connected_store
from botdel.doctor.timing import HEARTBEAT, grace_findings, lease_findings
from botdel.doctor.topology import topology_findings
from botdel.terminal import waiting
from deletion.adapters.plan_source import PlanSource
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.adapters.pubsub.subscription import PullSubscription
from deletion.clock import SystemClock
from deletion.dead_letter import CANARY_PREFIX
from deletion.errors import BotDeletionError, ConfigurationError
from deletion.process.run import FAILED

SUBSCRIPTIONS = "subscriptions"
Say = Callable[[str], None]
T = TypeVar("T")


async def doctor(
    plans: Sequence[PlanSource], canary_seconds: float | None, *, as_json: bool
) -> int:
    """Print what every check found. Returns 1 when one failed, and 0 otherwise.

    Sends a canary if `canary_seconds` is set; it has to be recorded within that time.
    """
    with waiting("looking") as say:
        findings = await examine(plans, canary_seconds, say)
    show(findings, as_json=as_json)
    return FAILED if any(finding.status is Status.FAILED for finding in findings) else 0


async def examine(
    plans: Sequence[PlanSource], canary_seconds: float | None, say: Say
) -> list[Finding]:
    """All findings. When one side cannot be connected, that is a finding; the other is checked."""
    findings = environment_findings()
    async with AsyncExitStack() as stack:
        bus = await _entered(stack, "Pub/Sub", connected_bus(), findings)
        store = await _entered(stack, "MongoDB", connected_store(plans), findings)
        planned = [plan.service for plan in plans]
        findings += twice_findings(planned)
        services = await _services(bus, planned, findings) if bus else planned
        looks = list(_looks(bus, store, services, planned))
        if bus and store and canary_seconds:
            flight = _canary(bus, store, canary_seconds, say)
            looks.append(
                guarded(
                    canary.CHECK,
                    flight,
                    seconds=canary_seconds + DATABASE_SECONDS,
                    longest=canary_seconds + LOOK_SECONDS,
                )
            )
        return findings + await together(*looks)


async def _entered(
    stack: AsyncExitStack,
    check: str,
    side: AbstractAsyncContextManager[T],
    findings: list[Finding],
) -> T | None:
    try:
        return await stack.enter_async_context(side)
    except (ConfigurationError, PyMongoError) as error:
        findings.append(could_not(check, error))
        return None


async def _services(bus: Bus, planned: Sequence[str], findings: list[Finding]) -> list[str]:
    """The services with a plan, and those that have a subscription but no plan here."""
    try:
        found = await bus.topology.services()
    except (BotDeletionError, GoogleAPICallError) as error:
        findings.append(could_not(SUBSCRIPTIONS, error))
        return list(planned)
    if not found:
        lost = "no service has one: what the gateway publishes reaches nobody"
        each = "run `botdel topology apply --plan FILE` with the plan of each service"
        findings.append(warning(SUBSCRIPTIONS, lost, each))
    return [*planned, *(service for service in found if service not in planned)]


def _looks(
    bus: Bus | None, store: Store | None, services: Sequence[str], planned: Sequence[str]
) -> Iterator[Awaitable[Sequence[Finding]]]:
    if bus:
        yield topology_findings(bus.topology, services, planned)
    if bus and not bus.is_emulated:
        yield grant_findings(bus.publisher, bus.names, services)
    if store:
        yield index_findings(store.database, store.plans)
        yield guarded(BREAKERS, breaker_findings(store.breakers))
        yield bot_findings(store.plans)
        yield guarded(HEARTBEAT, lease_findings(store.database, SystemClock(), store.lease))
    if bus and store:
        yield grace_findings(store.jobs, services, bus.grace)


async def _canary(bus: Bus, store: Store, seconds: float, say: Say) -> list[Finding]:
    names, service = bus.names, f"{CANARY_PREFIX}{secrets.token_hex(8)}"
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
