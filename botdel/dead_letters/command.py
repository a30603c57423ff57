"""`botdel dead-letters list|show|replay|discard`."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from botdel.dead_letters.actions import (
    Action,
    Choice,
    Discard,
    DryRun,
    Replay,
    Tally,
    act_on,
    unreadable,
    why_not_discarded,
)
from botdel.dead_letters.text import as_dict, described, in_full, row, tabulate
from botdel.listing import note_cut_off
from botdel.options import object_id, one_of
from botdel.store import opened
from botdel.terminal import console, printable, waiting
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import ConfigurationError
from deletion.ports import DeadLetterStore, Unreadable
from deletion.process.bus import connected_bus
from deletion.process.run import FAILED
from deletion.process.settings import load
from deletion.process.store_settings import JobsSettings, OperatorSettings
from deletion.replay import refusal

REPLAYED: Final = "replayed"
"""The outcome in the summary of a replay."""
DRY: Final = "to be"
"""The beginning of the outcome in the summary of a dry run."""


async def show_list(choice: Choice, limit: int, *, as_json: bool) -> None:
    """Print the newest `limit` letters that match, and note on standard error if there are more."""
    records, rows = [], []
    async with opened(MongoDeadLetterStore, load(JobsSettings)) as store:
        async for page in replace(choice, limit=limit + 1).pages(store):
            records += [as_dict(letter) for letter in page]
            rows += [row(letter) for letter in page]
    if as_json:
        print(json.dumps(records[:limit]))
    else:
        tabulate(rows[:limit], console())
    if len(records) > limit:
        note_cut_off(limit)


async def show_one(letter_id: str, *, as_json: bool) -> None:
    """Print one letter. Raises `ConfigurationError` if it does not exist or cannot be read."""
    async with opened(MongoDeadLetterStore, load(JobsSettings)) as store:
        letter = await store.get(object_id(letter_id))
    if letter is None:
        raise ConfigurationError(
            f"there is no dead letter {letter_id}", "`botdel dead-letters list` shows them"
        )
    if isinstance(letter, Unreadable):
        raise ConfigurationError(f"dead letter {letter_id}: {unreadable(letter)}")
    if as_json:
        print(json.dumps(in_full(letter)))
    else:
        console().print(described(letter))


async def replay(choice: Choice, *, force: bool, dry_run: bool, as_json: bool) -> int:
    """Replay the chosen letters, each to its own service. Returns 1 if one is refused, else 0."""
    settings = load(OperatorSettings)
    async with opened(MongoDeadLetterStore, settings) as store:
        if dry_run:
            action: Action = DryRun(lambda letter: refusal(letter, force=force))
            return await _carry_out(action, choice, store, f"{DRY} {REPLAYED}", as_json=as_json)
        async with _replaying(settings, store, force=force) as action:
            return await _carry_out(action, choice, store, REPLAYED, as_json=as_json)


async def discard(choice: Choice, *, dry_run: bool, as_json: bool) -> int:
    """Mark the chosen letters as discarded. Returns 1 if one is refused, else 0."""
    async with opened(MongoDeadLetterStore, load(JobsSettings)) as store:
        if dry_run:
            action: Action = DryRun(why_not_discarded)
            return await _carry_out(action, choice, store, f"{DRY} discarded", as_json=as_json)
        return await _carry_out(Discard(store), choice, store, "discarded", as_json=as_json)


def listed(
    service: str | None, reason: str | None, status: str | None, limit: int | None = None
) -> Choice:
    """Return the choice of `list`. Raises `ConfigurationError` for an invalid filter."""
    return Choice(
        service=service,
        reason=one_of(Reason, "--reason", reason),
        status=one_of(DeadLetterStatus, "--status", status),
        limit=limit,
    )


def chosen(
    ids: Sequence[str],
    service: str | None,
    reason: str | None,
    limit: int | None,
    *,
    everything: bool,
) -> Choice:
    """Return the choice of an action: ids, or the new letters that match the filters.

    Raises `ConfigurationError` unless the options give either ids or filters.
    """
    filters = any((service, reason, everything))
    if bool(ids) == filters or (ids and limit):
        raise ConfigurationError(
            "expected either ids, or at least one of --service, --reason and --all"
        )
    if ids:
        return Choice(ids=[*dict.fromkeys(map(object_id, ids))])
    return listed(service, reason, DeadLetterStatus.NEW, limit)


async def _carry_out(
    action: Action, choice: Choice, store: DeadLetterStore, done: str, *, as_json: bool
) -> int:
    """Run `action`, and report what was done, even if it raises an error."""
    tally = Tally()
    try:
        with waiting(_sum(tally, done)) as say:
            await act_on(choice, store, action, tally, lambda: say(_sum(tally, done)))
    finally:
        _report(tally, done, as_json=as_json)
    return FAILED if tally.refused else 0


def _report(tally: Tally, done: str, *, as_json: bool) -> None:
    if as_json:
        refused = [{"_id": letter_id, "why": why} for letter_id, why in tally.refused.items()]
        print(json.dumps({done.replace(" ", "_"): tally.done, "refused": refused}))
        return
    out = console()
    for letter_id, why in tally.refused.items():
        out.print(printable(f"{letter_id} is refused: {why}"), soft_wrap=True)
    if done.startswith(DRY):
        for letter_id in tally.done:
            out.print(f"  {letter_id}")
    out.print(_sum(tally, done))
    if tally.done and done == REPLAYED:
        out.print("`botdel jobs list --bot BOT_ID` shows the job; a letter that fails is new again")


def _sum(tally: Tally, done: str) -> str:
    return f"{len(tally.done):,} {done}, {len(tally.refused):,} refused"


@asynccontextmanager
async def _replaying(
    settings: OperatorSettings, store: DeadLetterStore, *, force: bool
) -> AsyncIterator[Replay]:
    async with connected_bus(settings) as bus:
        publisher = GroupingPublisher(bus.publisher, settings.names.topic)
        yield Replay(store, publisher, bus.topology.require_attached, force=force)
