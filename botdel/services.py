"""`botdel services list|retire`: which services owe the requests that are received."""

import json
from typing import Final

from botdel.listing import note, show
from botdel.options import said
from botdel.store import opened, with_actions
from botdel.terminal import console, printable
from deletion.adapters.mongo.services import FORGET, MOST_RECORDED, RETIRE, MongoServiceStore
from deletion.clock import SystemClock, rfc3339
from deletion.ledger import Service
from deletion.operating.services import retire_service
from deletion.process.run import FAILED
from deletion.process.settings import load
from deletion.process.store_settings import ActingSettings, JobsSettings
from deletion.request import MAX_SERVICES

COLUMNS: Final = ("service", "registered", "retired", "by", "why")


async def show_list(*, as_json: bool) -> None:
    """Print all services, retired ones too, and note on standard error if there are too many."""
    async with opened(MongoServiceStore, load(JobsSettings)) as store:
        services = await store.first(MOST_RECORDED + 1)
    listed = services[:MOST_RECORDED]
    if as_json:
        print(json.dumps([_as_dict(service) for service in listed]))
    else:
        rows = [_row(service) for service in listed]
        nothing = "no service is registered: run `botdel topology apply --plan FILE`"
        spare = ("why", "by", "registered")
        show(console(), COLUMNS, rows, whole=("service",), spare=spare, nothing=nothing)
    if len(services) > MOST_RECORDED:
        note(f"there are more than these {MOST_RECORDED:,} services: {FORGET}")
    if sum(service.retired_at is None for service in listed) > MAX_SERVICES:
        note(f"more than {MAX_SERVICES} services are in use, so no other is registered: {RETIRE}")


async def retire(name: str, why: str) -> int:
    """Retire a service, on record. Returns 1 if that is refused, else 0."""
    settings, reason = load(ActingSettings), said("--why", why)
    async with opened(with_actions(MongoServiceStore), settings) as (services, actions):
        refusal = await retire_service(
            name,
            by=settings.who,
            reason=reason,
            services=services,
            actions=actions,
            clock=SystemClock(),
        )
    console().print(printable(f"{name} is refused: {refusal}" if refusal else f"{name} is retired"))
    return FAILED if refusal else 0


def _as_dict(service: Service) -> dict[str, object]:
    return {
        "service": service.name,
        "registered_at": rfc3339(service.registered_at),
        "retired_at": rfc3339(service.retired_at) if service.retired_at else None,
        "retired_by": service.retired_by,
        "reason": service.reason,
    }


def _row(service: Service) -> tuple[str, ...]:
    return (
        service.name,
        f"{service.registered_at:%Y-%m-%d %H:%M:%S}",
        f"{service.retired_at:%Y-%m-%d %H:%M:%S}" if service.retired_at else "",
        service.retired_by or "",
        service.reason or "",
    )
