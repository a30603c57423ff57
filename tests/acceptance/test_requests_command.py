"""What an operator sees of requests and services, and decides about them."""

from uuid import uuid4

import pytest

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.clock import SystemClock
from tests.support.commands import botdel, output_of
from tests.support.factories import a_deletion_request
from tests.support.indexed import indexed
from tests.support.pipeline import SERVICE, Pipeline

OTHER = "analytics"


@pytest.fixture(autouse=True)
def operator(pipeline: Pipeline) -> None:
    pipeline.settings |= {"GOOGLE_CLOUD_PROJECT": "", "BOTDEL_OPERATOR": "ada"}


async def test_a_share_is_waived_once_and_who_did_it_and_why_is_on_record(
    pipeline: Pipeline, client: Client
) -> None:
    store = await indexed(MongoRequestStore, client, pipeline.database)
    now = SystemClock().now()
    request, other = (a_deletion_request(SERVICE, OTHER, now=now) for _ in range(2))
    await store.record([request, other])
    listed = await output_of(pipeline, "requests", "list", "--owed-by", SERVICE)
    assert {each["event_id"] for each in listed} == {request.id, other.id}

    why = ("--why", "it never had any of its data")
    done = await output_of(pipeline, "requests", "waive", request.id.upper(), SERVICE, *why)
    assert done == {"waived": [request.id], "refused": {}, "dry_run": False}
    code, lines = await botdel(pipeline, "requests", "waive", request.id, SERVICE, *why)
    assert (code, lines[-1]) == (1, "0 waived, 1 refused")
    assert "it is waived already" in lines[-2]

    shown = await output_of(pipeline, "requests", "show", request.id)
    assert (shown["state"], shown["bot_id"]) == ("open", request.bot_id)
    owed, waived = shown["services"]
    assert (owed["service"], owed["settled_at"]) == (OTHER, None)
    assert waived["waiver"] == {"by": "ada", "reason": why[1]}
    (left,) = await output_of(pipeline, "requests", "list", "--owed-by", SERVICE)
    assert left["event_id"] == other.id

    actions = await output_of(pipeline, "actions", "list", "--kind", "waive")
    assert sorted((each["done"], each["refused"]) for each in actions) == [(0, 1), (1, 0)]
    assert [each["options"] for each in actions] == [{"service": SERVICE}] * 2
    assert {each["reason"] for each in actions} == {why[1]}


async def test_a_request_that_is_not_there_and_options_that_are_wrong_are_refused(
    pipeline: Pipeline,
) -> None:
    unknown = str(uuid4())
    code, lines = await botdel(pipeline, "requests", "waive", unknown, SERVICE, "--why", "why")
    assert (code, "there is no record with this id" in lines[-2]) == (1, True), lines
    for arguments, said in (
        (("show", unknown), f"there is no request {unknown}"),
        (("show", "no id"), "expected a UUID"),
        (("waive", unknown, SERVICE, "--why", " "), "--why: expected text"),
        (("list", "--state", "late"), "--state: expected one of open, overdue, settled"),
    ):
        code, lines = await botdel(pipeline, "requests", *arguments)
        assert (code, said in lines[-1]) == (2, True), lines


async def test_a_service_is_retired_once_and_that_is_on_record(
    pipeline: Pipeline, client: Client
) -> None:
    store = MongoServiceStore(client, pipeline.database)
    await store.register([SERVICE, OTHER], SystemClock().now())
    command = ("services", "retire", OTHER, "--why", "it was switched off")
    code, lines = await botdel(pipeline, *command)
    assert (code, lines[-1]) == (0, f"{OTHER} is retired")
    code, lines = await botdel(pipeline, *command)
    assert (code, "is refused: no service of this name is in use" in lines[-1]) == (1, True)
    retired, kept = await output_of(pipeline, "services", "list")
    assert (retired["service"], retired["retired_by"]) == (OTHER, "ada")
    assert retired["reason"] == "it was switched off"
    assert (kept["service"], kept["retired_at"]) == (SERVICE, None)
    code, lines = await botdel(pipeline, "services", "list")
    assert (code, any(OTHER in line and "switched off" in line for line in lines)) == (0, True)
    actions = await output_of(pipeline, "actions", "list", "--kind", "retire")
    assert sorted((each["done"], each["refused"]) for each in actions) == [(0, 1), (1, 0)]
