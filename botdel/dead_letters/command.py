"""`botdel dead-letters list|show|replay|discard`."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from botdel.dead_letters.text import as_dict, described, in_full, row, tabulate
from botdel.listing import note_cut_off
from botdel.options import ids_or_filters, object_id, one_of
from botdel.store import opened, present, recorded, with_actions
from botdel.summary import Wording, carry_out
from botdel.terminal import console
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.pubsub.publisher import GroupingPublisher
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.operating.acting import Act, Tally, act_on, attempt_of
from deletion.operating.dead_letters import Choice, Discard, Replay, looks_of_letter
from deletion.operating.kinds import FORCE
from deletion.operating.ports import ActionStore
from deletion.operating.record import ActionKind, Order
from deletion.ports import DeadLetterStore
from deletion.process.bus import connected_bus
from deletion.process.settings import load
from deletion.process.store_settings import ActingSettings, JobsSettings, OperatorSettings

REPLAYED: Final = Wording(
    "replayed", "`botdel jobs list --bot BOT_ID` shows the job; a letter that fails is new again"
)
DISCARDED: Final = Wording("discarded")


async def show_list(choice: Choice, limit: int, *, as_json: bool) -> None:
    """Print the newest `limit` letters that match, and note on standard error if there are more."""
    records, rows = [], []
    async with opened(MongoDeadLetterStore, load(JobsSettings)) as store:
        async for page in choice.matching(store):
            records += [as_dict(letter) for letter in page]
            rows += [row(letter) for letter in page]
            if len(records) > limit:
                break
    if as_json:
        print(json.dumps(records[:limit]))
    else:
        tabulate(rows[:limit], console())
    if len(records) > limit:
        note_cut_off(limit)


async def show_one(letter_id: str, *, as_json: bool) -> None:
    """Print one letter. Raises `ConfigurationError` if it does not exist or cannot be read."""
    async with opened(MongoDeadLetterStore, load(JobsSettings)) as store:
        found = await store.get(object_id(letter_id, "ID"))
    letter = present("dead letter", letter_id, found, shown_by="botdel dead-letters list")
    if as_json:
        print(json.dumps(in_full(letter)))
    else:
        console().print(described(letter))


async def replay(choice: Choice, why: str, *, force: bool, dry_run: bool, as_json: bool) -> int:
    """Replay the chosen letters, each to its own service, and record who did, and why.

    Returns 1 if one is refused, else 0.
    """
    settings = load(OperatorSettings)
    options = {FORCE: "yes"} if force else {}
    order = Order(ActionKind.REPLAY, settings.who, why, choice.words, options)
    async with (
        opened(with_actions(MongoDeadLetterStore), settings) as (store, actions),
        _replaying(settings, store, force=force) as action,
    ):
        acting = _Acting(action, order, store, actions)
        return await _act(acting, choice, REPLAYED, dry_run=dry_run, as_json=as_json)


async def discard(choice: Choice, why: str, *, dry_run: bool, as_json: bool) -> int:
    """Mark the chosen letters as discarded, and record who did, and why.

    Returns 1 if one is refused, else 0.
    """
    settings = load(ActingSettings)
    order = Order(ActionKind.DISCARD, settings.who, why, choice.words)
    async with opened(with_actions(MongoDeadLetterStore), settings) as (store, actions):
        acting = _Acting(Discard(store), order, store, actions)
        return await _act(acting, choice, DISCARDED, dry_run=dry_run, as_json=as_json)


def filtered(
    service: str | None, reason: str | None, status: str | None, limit: int | None = None
) -> Choice:
    """Return the choice of what the filters match. Raises `ConfigurationError` for a wrong one."""
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
    filters = {"--service": service, "--reason": reason}
    if checked := ids_or_filters(ids, filters, limit, everything=everything):
        return Choice(checked)
    return filtered(service, reason, DeadLetterStatus.NEW, limit)


@dataclass(frozen=True, slots=True)
class _Acting:
    """What is done to the letters of `store`, by which order, and where that is recorded."""

    action: Act[DeadLetter]
    order: Order
    store: DeadLetterStore
    actions: ActionStore


async def _act(
    acting: _Acting, choice: Choice, wording: Wording, *, dry_run: bool, as_json: bool
) -> int:
    attempt = attempt_of(acting.action, dry_run=dry_run)

    async def act(tally: Tally, progress: Callable[[], None]) -> None:
        async with recorded(
            acting.order, tally, looks_of_letter, acting.actions, dry_run=dry_run
        ) as before:
            await act_on(
                choice.pages(acting.store),
                attempt,
                tally,
                limit=choice.limit,
                before=before,
                progress=progress,
            )

    return await carry_out(act, wording, dry_run=dry_run, as_json=as_json)


@asynccontextmanager
async def _replaying(
    settings: OperatorSettings, store: DeadLetterStore, *, force: bool
) -> AsyncIterator[Replay]:
    async with connected_bus(settings) as bus:
        publisher = GroupingPublisher(bus.publisher, settings.names.topic)
        yield Replay(store, publisher, bus.topology.require_attached, force=force)
