"""`botdel actions list|show`: who did what, when, why, to what, and what came of it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rich.table import Table

from botdel.listing import Cell, note_cut_off, show
from botdel.options import object_id, one_of
from botdel.store import opened, present
from botdel.terminal import console, printable
from deletion.adapters.mongo.operator_actions import MongoActionStore
from deletion.clock import SystemClock, rfc3339
from deletion.operating.record import ActionKind, Looks, OperatorAction, WholeAction
from deletion.ports import Unreadable
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings

COLUMNS: Final = ("action", "kind", "by", "started", "status", "done", "refused", "records", "why")
WHOLE: Final = ("action", "kind", "status", "done", "refused")
SPARE: Final = ("why", "by", "started", "records")
"""The columns that a narrow terminal leaves out, beginning with the last."""


async def show_list(by: str | None, kind: str | None, limit: int, *, as_json: bool) -> None:
    """Print the newest `limit` actions that match, and note on standard error if there are more.

    Raises `ConfigurationError` for an invalid kind.
    """
    wanted = one_of(ActionKind, "--kind", kind)
    async with opened(MongoActionStore, load(JobsSettings)) as store:
        found = await store.find(by=by, kind=wanted, limit=limit + 1)
    if as_json:
        print(json.dumps([as_dict(action) for action in found[:limit]]))
    else:
        rows = [_row(action) for action in found[:limit]]
        nothing = "no action matches"
        shown = "botdel actions show ID"
        show(console(), COLUMNS, rows, whole=WHOLE, spare=SPARE, nothing=nothing, in_full=shown)
    if len(found) > limit:
        note_cut_off(limit)


async def show_one(action_id: str, *, as_json: bool) -> None:
    """Print one action. Raises `ConfigurationError` if it does not exist or cannot be read."""
    async with opened(MongoActionStore, load(JobsSettings)) as store:
        found = await store.get(object_id(action_id, "ID"))
    whole = present("action", action_id, found, shown_by="botdel actions list")
    if as_json:
        print(json.dumps(in_full(whole)))
    else:
        describe(whole)


def as_dict(action: OperatorAction | Unreadable) -> dict[str, object]:
    """Return the action for machines, with times as RFC 3339."""
    if isinstance(action, Unreadable):
        return {"_id": action.id, "unreadable": action.reason}
    return {
        "_id": action.id,
        "kind": str(action.order.kind),
        "by": action.order.by,
        "reason": action.order.reason,
        "choice": dict(action.order.choice),
        "options": dict(action.order.options),
        "status": _status(action),
        "started_at": rfc3339(action.started_at),
        "finished_at": rfc3339(action.finished_at) if action.finished_at else None,
        "failure": action.failure,
        "runs": [{"by": run.by, "at": rfc3339(run.at)} for run in action.runs],
        "continues": action.continues,
        "total": action.total,
        "done": action.done,
        "refused": action.refused,
    }


def in_full(whole: WholeAction) -> dict[str, object]:
    """Return the action for machines, with its targets as they looked, and what came of each."""
    targets = [{"_id": target.id, **_plain(target.looks)} for target in whole.targets]
    outcomes = [{"_id": each.id, "refusal": each.refusal} for each in whole.outcomes]
    return {**as_dict(whole.action), "targets": targets, "outcomes": outcomes}


def describe(whole: WholeAction) -> None:
    """Print the action for a person."""
    out, action = console(), whole.action
    order = action.order
    out.print(printable(f"action {action.id}  {order.kind}, {_status(action)}"))
    out.print(printable(f"by {order.by}, at {rfc3339(action.started_at)}"))
    out.print(printable(f"why: {order.reason or 'not said'}"))
    out.print(printable(f"to: {_words(order.choice) or 'all'}"))
    if order.options:
        out.print(printable(f"with: {_words(order.options)}"))
    for run in action.runs[1:]:
        out.print(printable(f"gone on with by {run.by}, at {rfc3339(run.at)}"))
    if action.continues:
        out.print(printable(f"continues action {action.continues}"))
    if action.failure:
        out.print(printable(f"ended because: {action.failure}"))
    out.print(f"{action.done:,} done, {action.refused:,} refused of {action.total:,}")
    out.print(_outcomes(whole))


def _outcomes(whole: WholeAction) -> Table:
    """Return a line for each record, those without an outcome at the end."""
    table = Table("record", "outcome")
    for outcome in whole.outcomes:
        table.add_row(printable(outcome.id), printable(outcome.refusal or "done"))
    for place, target in whole.left:
        is_begun = place < whole.action.begun
        table.add_row(printable(target.id), "begun" if is_begun else "not begun")
    return table


def _row(action: OperatorAction | Unreadable) -> tuple[Cell, ...]:
    if isinstance(action, Unreadable):
        return action.id, "", "", "", "unreadable", "", "", "", action.reason
    return (
        action.id,
        str(action.order.kind),
        action.order.by,
        f"{action.started_at:%Y-%m-%d %H:%M:%S}",
        _status(action),
        f"{action.done:,}",
        f"{action.refused:,}",
        _words(action.order.choice) or "all",
        action.order.reason,
    )


def _status(action: OperatorAction) -> str:
    return "silent" if action.is_silent(SystemClock().now()) else str(action.status)


def _words(choice: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in choice.items())


def _plain(looks: Looks) -> dict[str, object]:
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in looks.items()
    }
