"""`botdel actions list` and `show`: what operators did, for people and for machines."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from botdel import actions
from botdel.actions import describe, in_full, show_list, show_one
from deletion.clock import rfc3339
from deletion.errors import ConfigurationError
from deletion.operating.record import (
    SILENCE,
    ActionKind,
    Entries,
    OperatorAction,
    Order,
    Outcome,
    Run,
    Target,
    WholeAction,
)
from deletion.ports import Unreadable
from tests.support.clock import START
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.memory_actions import MemoryActionStore

ORDER = Order(ActionKind.RETRY, "ada@desk", "the API is back", {"service": "billing"})
TARGETS = tuple(Target(f"{n:024x}", {"attempt": 5, "lastModifiedAt": START}) for n in range(4))


def an_action(order: Order = ORDER, action_id: str = "1" * 24, **values: Any) -> OperatorAction:
    run = Run(order.by, START, "claim")
    return replace(OperatorAction.started(action_id, order, run, frozen=len(TARGETS)), **values)


def a_whole(order: Order = ORDER) -> WholeAction:
    """One done, one refused, one begun, one not; then it failed."""
    outcomes = (Outcome(TARGETS[0].id), Outcome(TARGETS[1].id, "it has changed"))
    action = an_action(order).added(Entries(outcomes=outcomes), START, begun=3)
    return WholeAction(action.ended(START, "Pub/Sub is away"), TARGETS, outcomes)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryActionStore:
    store = MemoryActionStore()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[MemoryActionStore]:
        yield store

    monkeypatch.setattr(actions, "opened", opened)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    return store


async def put(store: MemoryActionStore, count: int, **changes: Any) -> list[str]:
    ids = [store.new_id() for _ in range(count)]
    for each in ids:
        await store.insert(an_action(replace(ORDER, **changes), each))
    return ids


def test_an_action_for_machines_says_who_did_what_when_why_to_what_and_what_came_of_it() -> None:
    shown = in_full(a_whole())
    at = rfc3339(START)
    assert shown == {
        "_id": "1" * 24,
        "kind": "retry",
        "by": "ada@desk",
        "reason": "the API is back",
        "choice": {"service": "billing"},
        "options": {},
        "status": "failed",
        "started_at": at,
        "finished_at": at,
        "failure": "Pub/Sub is away",
        "runs": [{"by": "ada@desk", "at": at}],
        "continues": None,
        "total": 4,
        "done": 1,
        "refused": 1,
        "targets": [{"_id": each.id, "attempt": 5, "lastModifiedAt": at} for each in TARGETS],
        "outcomes": [
            {"_id": TARGETS[0].id, "refusal": None},
            {"_id": TARGETS[1].id, "refusal": "it has changed"},
        ],
    }
    assert json.loads(json.dumps(shown)) == shown


def test_an_action_for_people_has_a_line_for_each_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    describe(a_whole())
    said = capsys.readouterr().out
    for line in (
        f"action {'1' * 24}  retry, failed",
        f"by ada@desk, at {rfc3339(START)}",
        "why: the API is back",
        "to: service billing",
        "ended because: Pub/Sub is away",
        "1 done, 1 refused of 4",
    ):
        assert line in said
    table = [line.split("│")[1:3] for line in said.splitlines() if line.startswith("│")]
    assert [(each[0].strip(), each[1].strip()) for each in table] == [
        (TARGETS[0].id, "done"),
        (TARGETS[1].id, "it has changed"),
        (TARGETS[2].id, "begun"),
        (TARGETS[3].id, "not begun"),
    ]


def test_its_options_its_runs_and_what_it_continues_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = replace(ORDER, reason="", choice={}, options={"force": "yes"})
    taken = an_action(order, continues="2" * 24).taken_over(Run("bob@desk", START, "claim"))
    describe(WholeAction(taken, TARGETS, ()))
    said = capsys.readouterr().out
    for line in (
        "why: not said",
        "to: all",
        "with: force yes",
        f"gone on with by bob@desk, at {rfc3339(START)}",
        f"continues action {'2' * 24}",
        "retry, silent",
    ):
        assert line in said


def test_one_whose_process_died_is_shown_as_silent() -> None:
    now = datetime.now(UTC)
    for at, status in ((now, "running"), (now - 2 * SILENCE, "silent")):
        action = an_action(last_modified_at=at)
        assert in_full(WholeAction(action, (), ()))["status"] == status


def test_text_of_others_does_not_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    whole = a_whole(Order(ActionKind.RETRY, HOSTILE, HOSTILE, {"bot": HOSTILE}))
    describe(replace(whole, outcomes=(Outcome(TARGETS[0].id, HOSTILE),)))
    said = capsys.readouterr().out
    assert f"by {SHOWN}" in said
    assert f"why: {SHOWN}" in said
    assert harmless(said)


async def test_the_list_filters_and_says_when_it_is_cut_off(
    store: MemoryActionStore, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = await put(store, 2)
    others = await put(store, 1, by=HOSTILE, kind=ActionKind.REPLAY)

    async def listed(by: str | None, kind: str | None, limit: int = 9) -> list[str]:
        await show_list(by, kind, limit, as_json=True)
        return [each["_id"] for each in json.loads(capsys.readouterr().out)]

    assert await listed(None, None) == [*others, *mine[::-1]]
    assert await listed("ada@desk", None) == mine[::-1]
    assert await listed(None, "replay") == others
    with pytest.raises(ConfigurationError, match="--kind: expected one of retry"):
        await listed(None, "undo")
    await show_list(None, None, 2, as_json=False)
    said = capsys.readouterr()
    assert "more than these 2: raise --limit" in said.err
    assert all(each in said.out for each in (others[0], mine[1], "replay", "service billing"))
    assert harmless(said.out)
    await show_list("nobody", None, 2, as_json=False)
    assert capsys.readouterr().out == "no action matches\n"


async def test_one_is_shown_by_its_id(
    store: MemoryActionStore, capsys: pytest.CaptureFixture[str]
) -> None:
    (action_id,) = await put(store, 1)
    await show_one(action_id, as_json=True)
    assert json.loads(capsys.readouterr().out)["_id"] == action_id
    await show_one(action_id, as_json=False)
    assert action_id in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="there is no action ffff"):
        await show_one("f" * 24, as_json=False)
    with pytest.raises(ConfigurationError, match="24 hex digits"):
        await show_one("no id", as_json=False)


async def test_one_that_cannot_be_read_hides_no_other(
    store: MemoryActionStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (sound,) = await put(store, 1)
    odd = Unreadable("e" * 24, f"damaged {HOSTILE}")

    async def find(**_: object) -> list[OperatorAction | Unreadable]:
        return [odd, store.actions[sound].action]

    async def get(_: str) -> Unreadable:
        return odd

    monkeypatch.setattr(store, "find", find)
    monkeypatch.setattr(store, "get", get)
    await show_list(None, None, 9, as_json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert first == {"_id": odd.id, "unreadable": odd.reason}
    assert second["_id"] == sound
    await show_list(None, None, 9, as_json=False)
    said = capsys.readouterr().out
    assert harmless(said)
    assert odd.id in said
    assert sound in said
    with pytest.raises(ConfigurationError, match="it cannot be read: damaged"):
        await show_one(odd.id, as_json=False)
