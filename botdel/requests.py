"""`botdel requests list|show|waive`: who asked for which deletion, and which services owe it."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from rich.table import Table

from botdel.listing import Cell, note_cut_off, show
from botdel.options import event_id, object_id, one_of, said
from botdel.store import opened, present, recorded, with_actions
from botdel.summary import Wording, carry_out
from botdel.terminal import console, printable
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock, rfc3339
from deletion.ledger import ReadRequest, RequestFilter
from deletion.operating.acting import Tally, act_on
from deletion.operating.kinds import SERVICE
from deletion.operating.record import ActionKind, Order
from deletion.operating.requests import Choice, Waive, looks_of_request
from deletion.ports import Unreadable
from deletion.process.settings import load
from deletion.process.store_settings import ActingSettings, JobsSettings
from deletion.request import DeletionRequest, RequestState, Share

COLUMNS: Final = ("request", "bot", "state", "received", "deadline", "owed by", "requested by")
WHOLE: Final = ("request", "bot", "state", "deadline")
SPARE: Final = ("owed by", "deadline", "bot", "received", "requested by")
"""The columns that a narrow terminal leaves out, beginning with the last."""
WAIVED: Final = Wording("waived", "`botdel requests show {id}` shows what is still owed")


async def show_list(
    bot: str | None, owed_by: str | None, state: str | None, limit: int, *, as_json: bool
) -> None:
    """Print the last `limit` requests that match, and note on standard error if there are more.

    Raises `ConfigurationError` for an invalid filter.
    """
    wanted = RequestFilter(
        object_id(bot, "--bot") if bot else None, owed_by, one_of(RequestState, "--state", state)
    )
    now = SystemClock().now()
    async with opened(MongoRequestStore, load(JobsSettings)) as store:
        found = await store.find(wanted, now, limit=limit + 1)
    if as_json:
        print(json.dumps([as_dict(request, now) for request in found[:limit]]))
    else:
        tabulate([_row(request, now) for request in found[:limit]])
    if len(found) > limit:
        note_cut_off(limit)


async def show_one(text: str, *, as_json: bool) -> None:
    """Print one request. Raises `ConfigurationError` if it is not recorded or cannot be read."""
    wanted, now = event_id(text), SystemClock().now()
    async with opened(MongoRequestStore, load(JobsSettings)) as store:
        found = next(iter(await store.get([wanted])), None)
    request = present("request", wanted, found, shown_by="botdel requests list")
    if as_json:
        print(json.dumps(as_dict(request, now)))
    else:
        describe(request, now)


async def waive(text: str, service: str, why: str, *, as_json: bool) -> int:
    """Waive the share of `service`, on record. Returns 1 if that is refused, else 0."""
    choice, reason = Choice([event_id(text)]), said("--why", why)
    settings, clock = load(ActingSettings), SystemClock()
    order = Order(ActionKind.WAIVE, settings.who, reason, choice.words, {SERVICE: service})
    async with opened(with_actions(MongoRequestStore), settings) as (store, actions):
        action = Waive(store, clock, service, by=settings.who, reason=reason)

        async def act(tally: Tally, progress: Callable[[], None]) -> None:
            async with recorded(order, tally, looks_of_request, actions, dry_run=False) as before:
                pages = choice.pages(store, clock)
                await act_on(pages, action, tally, before=before, progress=progress)

        return await carry_out(act, WAIVED, dry_run=False, as_json=as_json)


def as_dict(request: ReadRequest, now: datetime) -> dict[str, object]:
    """Return the request for machines, with times as RFC 3339."""
    if isinstance(request, Unreadable):
        return {"event_id": request.id, "unreadable": request.reason}
    return {
        "event_id": request.id,
        "bot_id": request.bot_id,
        "state": str(request.state(now)),
        "placed_at": rfc3339(request.placed_at),
        "received_at": rfc3339(request.received_at),
        "deadline": rfc3339(request.deadline),
        "settled_at": _time(request.settled_at),
        "requested_by": request.requested_by,
        "services": [_share(share) for share in request.shares],
    }


def tabulate(rows: Sequence[Sequence[Cell]]) -> None:
    """Print the rows of requests, or that no request matches."""
    show(
        console(),
        COLUMNS,
        rows,
        whole=WHOLE,
        spare=SPARE,
        nothing="no request matches",
        in_full="botdel requests show ID",
    )


def describe(request: DeletionRequest, now: datetime) -> None:
    """Print the request for a person."""
    out = console()
    out.print(printable(f"request {request.id}  {request.state(now)}"))
    out.print(printable(f"bot {request.bot_id}, requested by {request.requested_by or 'unknown'}"))
    times = f"placed {rfc3339(request.placed_at)}, received {rfc3339(request.received_at)}"
    out.print(printable(f"{times}, to be done by {rfc3339(request.deadline)}"))
    table = Table("service", "settled", "how")
    for share in request.shares:
        cells = share.service, _time(share.settled_at) or "owed", _how(share)
        table.add_row(*map(printable, cells))
    out.print(table)


def _how(share: Share) -> str:
    if share.waiver:
        return f"waived by {share.waiver.by}: {share.waiver.reason}"
    if share.job_id:
        return f"job {share.job_id}"
    return f"published again {share.republished} times" if share.republished else ""


def _share(share: Share) -> dict[str, object]:
    return {
        "service": share.service,
        "settled_at": _time(share.settled_at),
        "job_id": share.job_id,
        "waiver": share.waiver and share.waiver.as_dict(),
        "republished": share.republished,
    }


def _row(request: ReadRequest, now: datetime) -> tuple[Cell, ...]:
    if isinstance(request, Unreadable):
        return request.id, "", "unreadable", "", "", "", request.reason
    return (
        request.id,
        request.bot_id,
        str(request.state(now)),
        f"{request.received_at:%Y-%m-%d %H:%M:%S}",
        f"{request.deadline:%Y-%m-%d}",
        ", ".join(request.owed),
        request.requested_by,
    )


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None
