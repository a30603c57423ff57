"""Checks that the services of the plans owe requests: that each is registered, and not retired."""

from collections.abc import Mapping, Sequence
from typing import Final

from pymongo.errors import PyMongoError

from botdel.doctor.findings import failed, guarded, ok, together
from deletion.clock import rfc3339
from deletion.doctor import Finding
from deletion.errors import BotDeletionError
from deletion.ledger import Service, ServiceStore

SERVICES: Final = "services"
APPLY: Final = "`botdel topology apply --plan FILE`"


async def service_findings(services: ServiceStore, planned: Sequence[str]) -> list[Finding]:
    """Return a finding for each service with a plan here, or one if they cannot be read."""
    return await together(guarded(SERVICES, _services(services, planned)))


async def _services(services: ServiceStore, planned: Sequence[str]) -> list[Finding]:
    if not planned:
        return []
    known = {service.name: service for service in await services.all()}
    return [service_finding(name, known) for name in dict.fromkeys(planned)]


def service_finding(name: str, known: Mapping[str, Service]) -> Finding:
    """Return the finding about one service; `known` are all services by name."""
    check, service = f"service {name}", known.get(name)
    if service is None:
        detail = "it is not registered: no request waits for it"
        return failed(check, detail, f"run {APPLY}, which registers it")
    if service.retired_at is None:
        return ok(check, f"it owes each request since {rfc3339(service.registered_at)}")
    by, why = service.retired_by or "somebody", service.reason or "for no reason that is recorded"
    detail = f"{by} retired it at {rfc3339(service.retired_at)} ({why}): it owes no request since"
    remedy = f"if it still has data, run {APPLY}, which takes it back; if not, take its plan away"
    return failed(check, detail, remedy)


async def retired_services(services: ServiceStore | None) -> set[str]:
    """Return the names of the retired services; none if they cannot be read."""
    try:
        known = await services.all() if services else []
    except (BotDeletionError, PyMongoError):
        return set()  # another finding says what is wrong
    return {each.name for each in known if each.retired_at is not None}
