"""`botdel requests list` and `show`: where a request stands, and who owes it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from botdel import requests, services
from botdel.requests import as_dict, describe, show_list
from deletion.ledger import Service
from deletion.ports import Unreadable
from deletion.request import MAX_SERVICES, DeletionRequest, Waiver
from tests.support.clock import START
from tests.support.factories import SERVICE, a_deletion_request
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.memory_requests import MemoryRequestStore, MemoryServiceStore

OTHER, JOB = "analytics", "a" * 24
AT = "2025-03-30T01:59:59.250Z"


def a_request() -> DeletionRequest:
    """One service is done, one is waived, one still owes it."""
    request = a_deletion_request(SERVICE, OTHER, "files")
    request = request.completed(SERVICE, JOB, START)
    return request.waived("files", Waiver(HOSTILE, HOSTILE), START)


def test_a_request_for_machines_says_what_settled_each_share() -> None:
    shown = as_dict(a_request(), START)
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["state"], shown["received_at"], shown["settled_at"]) == ("open", AT, None)
    none = {"settled_at": None, "job_id": None, "waiver": None, "republished": 0}
    settled = none | {"settled_at": AT}
    assert shown["services"] == [
        {"service": OTHER, **none},
        {"service": SERVICE, **settled, "job_id": JOB},
        {"service": "files", **settled, "waiver": {"by": HOSTILE, "reason": HOSTILE}},
    ]
    assert as_dict(a_request(), START + timedelta(days=40))["state"] == "overdue"


def test_a_request_for_people_says_the_same_and_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = replace(a_request(), requested_by=HOSTILE)
    shares = [*request.shares[1:], replace(request.shares[0], republished=2)]
    describe(replace(request, shares=tuple(shares)), START)
    said = capsys.readouterr().out
    assert f"requested by {SHOWN}" in said
    assert f"job {JOB}" in said
    assert "published again 2 times" in said
    assert "waived by" in said
    assert harmless(said)


async def test_the_list_says_when_it_is_cut_off_and_one_that_is_damaged_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryRequestStore()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[MemoryRequestStore]:
        yield store

    monkeypatch.setattr(requests, "opened", opened)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    await show_list(None, None, None, 9, as_json=False)
    assert capsys.readouterr().out == "no request matches\n"
    sound = a_request()
    damaged = Unreadable("11111111-1111-4111-8111-111111111111", f"damaged {HOSTILE}")

    async def find(*_: object, limit: int) -> list[DeletionRequest | Unreadable]:
        found: list[DeletionRequest | Unreadable] = [damaged, sound]
        return found[:limit]

    monkeypatch.setattr(store, "find", find)
    await show_list(None, None, None, 1, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out) == [{"event_id": damaged.id, "unreadable": damaged.reason}]
    assert "more than these 1" in said.err
    await show_list(None, None, None, 2, as_json=False)
    said = capsys.readouterr()
    assert all(text in said.out for text in (damaged.id, sound.id, OTHER, "unreadable"))
    assert harmless(said.out)


def test_80_columns_have_room_for_who_owes_a_request_and_its_deadline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("botdel.terminal.WIDE", 80)
    owed = ("7d6f8c52-9a0b-4c1d-8e2f-3a4b5c6d7e8f", "a" * 24, "overdue", "2025-03-30 01:59:59")
    requests.tabulate([(*owed, "2025-04-29", "analytics, conversations", "portal")])
    said = capsys.readouterr()
    assert all(whole in said.out for whole in (owed[0], "2025-04-29", "analytics, conversations"))
    left_out = "columns left out: bot, received, requested by; "
    assert said.err.startswith(f"{left_out}a wider terminal, `--json` or `botdel requests show ID`")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryServiceStore:
    """The services that the commands read."""
    store = MemoryServiceStore()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[MemoryServiceStore]:
        yield store

    monkeypatch.setattr(services, "opened", opened)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    return store


async def test_without_a_service_the_list_says_how_one_is_registered(
    store: MemoryServiceStore, capsys: pytest.CaptureFixture[str]
) -> None:
    await services.show_list(as_json=False)
    assert "run `botdel topology apply --plan FILE`" in capsys.readouterr().out
    await store.register([SERVICE], START)
    await store.retire(SERVICE, HOSTILE, HOSTILE, START)
    await services.show_list(as_json=False)
    said = capsys.readouterr().out
    assert SERVICE in said
    assert harmless(said)


async def test_when_too_many_services_are_in_use_they_are_listed_so_that_one_can_be_retired(
    store: MemoryServiceStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(MAX_SERVICES):
        store.services[f"s-{number:03}"] = Service(f"s-{number:03}", START)
    await services.show_list(as_json=True)
    assert capsys.readouterr().err == ""
    store.services["zebra"] = Service("zebra", START)
    await services.show_list(as_json=True)
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == MAX_SERVICES + 1
    assert "more than 500 services are in use" in said.err
    monkeypatch.setattr(services, "MOST_RECORDED", 2)
    await services.show_list(as_json=True)
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 2
    assert "there are more than these 2 services" in said.err
