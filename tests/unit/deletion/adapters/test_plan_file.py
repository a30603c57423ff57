"""A plan file is read as it is meant, or refused with line, field and what was expected."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from botdel.doctor.indexes import COLLECTIONS
from deletion.adapters.http_api.step import HttpStep
from deletion.adapters.mongo.breakers import COLLECTION as BREAKERS
from deletion.adapters.mongo.doctor_results import COLLECTION as EXAMINATIONS
from deletion.adapters.mongo.jobs import WRITE_CHECKS
from deletion.adapters.mongo.services import COLLECTION as SERVICES
from deletion.adapters.mongo.spec import PIPELINE_COLLECTIONS, MongoSpec
from deletion.adapters.mongo.step import MongoStep
from deletion.adapters.plan_file import PlanFile, StepSpec, read_plan
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError
from tests.support.sample_steps import Resume
from tests.unit.deletion.adapters.clients import clients

GOOD = """\
service: conversations
steps:
  - name: messages
    mongo:
      database: chat
      collection: messages
      field: bot_id
  - name: drafts
    mongo:
      database: chat
      collection: drafts.v2
      field: bot.id
      field_type: string
      batch_size: 50
      uri: ${CHAT_URI}
"""
URI = "mongodb://reader:hunter22@chat.example/"
ENVIRONMENT = {"CHAT_URI": URI}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


def read(path: Path, text: str, environ: Mapping[str, str] = ENVIRONMENT) -> PlanFile:
    path.write_text(text, encoding="utf-8")
    return read_plan(path, environ)


def refused(path: Path, text: str, environ: Mapping[str, str] = ENVIRONMENT) -> str:
    """What the refusal says, without the name of the file."""
    with pytest.raises(PlanError) as caught:
        read(path, text, environ)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).replace(str(path), "")


def test_a_good_file_becomes_a_plan(path: Path) -> None:
    asked: list[str | None] = []
    plan = read(path, GOOD).build(StepConnections(clients(asked)))
    first, second = plan.steps
    assert isinstance(first, MongoStep)
    assert isinstance(second, MongoStep)
    assert plan.service == "conversations"
    assert (first.name, first.field, first.field_type, first.batch_size) == (
        "messages",
        "bot_id",
        "objectid",
        1000,
    )
    assert (second.name, second.field, second.field_type, second.batch_size) == (
        "drafts",
        "bot.id",
        "string",
        50,
    )
    assert asked == [None, URI], "the default database, and one of the step's own"


UNDO = '    compensation: {python: "tests.support.sample_steps:Resume"}\n'
SAGA = """\
service: billing
steps:
  - name: pause
    python: "tests.support.sample_steps:Pause"
    compensation: {python: "tests.support.sample_steps:Resume"}
  - name: invoices
    point_of_no_return: true
    mongo: {database: billing, collection: invoices, field: bot}
  - name: account
    mongo: {database: billing, collection: accounts, field: bot}
"""


def test_a_saga_has_its_point_of_no_return_and_its_compensations(path: Path) -> None:
    plan = read(path, SAGA).build(StepConnections(clients([])))
    assert plan.point_of_no_return == "invoices"
    [(name, compensation)] = plan.compensations.items()
    assert (name, compensation.name, type(compensation)) == ("pause", "pause", Resume)


def test_a_compensation_takes_no_404_for_done(path: Path) -> None:
    """A misspelt path answers 404, which is good news of a deletion only."""
    undo = 'compensation: {http: {method: POST, url: "https://x.example/{bot_id}/resume"}}'
    text = SAGA.replace(UNDO.strip(), undo)
    step = read(path, text).build(StepConnections(clients([]))).compensations["pause"]
    assert isinstance(step, HttpStep)
    assert step.endpoint.gone == frozenset()
    deletes = text.replace(
        'python: "tests.support.sample_steps:Pause"', 'http: {url: "https://x.example/{bot_id}"}'
    )
    first, *_ = read(path, deletes).build(StepConnections(clients([]))).steps
    assert isinstance(first, HttpStep)
    assert first.endpoint.gone == {404, 410}


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (
            "    point_of_no_return: true\n",
            "",
            ":2: steps: expected compensations before the point of no return only",
        ),
        (
            "  - name: account\n",
            "  - name: account\n    point_of_no_return: true\n",
            ":2: steps: expected one point of no return, found invoices and account",
        ),
        (
            'compensation: {python: "tests.support.sample_steps:Resume"}',
            "compensation: {}",
            ":5: steps.0.compensation: expected one of",
        ),
        (
            'compensation: {python: "tests.support.sample_steps:Resume"}',
            "compensation: {method: POST}",
            ":5: steps.0.compensation.method: not a known field, a compensation has one of http, p",
        ),
        (
            "    point_of_no_return: true\n",
            f"    point_of_no_return: true\n{UNDO}",
            ":2: steps: expected compensations before the point of no return only",
        ),
    ],
)
def test_a_saga_that_breaks_a_rule_is_refused(
    path: Path, before: str, after: str, fault: str
) -> None:
    assert before in SAGA
    assert fault in refused(path, SAGA.replace(before, after, 1))


@pytest.mark.parametrize("uri", ["", "      uri: ${CHAT_URI}\n"])
@pytest.mark.parametrize("collection", [*COLLECTIONS, WRITE_CHECKS, BREAKERS, EXAMINATIONS])
def test_no_plan_is_built_over_a_collection_of_the_pipeline(
    path: Path, collection: str, uri: str
) -> None:
    """Not on another server either: two URIs may name one server."""
    text = GOOD.replace("      field: bot_id\n", f"      field: bot_id\n{uri}")
    plan = read(path, text.replace("collection: messages", f"collection: {collection}"))
    named = f"plan.yaml:3: plan of conversations, step messages: {collection} in chat"
    with pytest.raises(PlanError, match=named):
        plan.build(StepConnections(clients([]), own_database="chat"))
    assert len(plan.build(StepConnections(clients([]), own_database="bot_deletion")).steps) == 2


def test_what_only_the_built_plan_shows_is_named_with_file_and_line(path: Path) -> None:
    step = '  - {name: account, expect: nonzero, http: {url: "https://x.example/{bot_id}"}}\n'
    plan = read(path, f"service: chat\nsteps:\n{step}")
    named = r"plan.yaml:2: plan of chat, steps: expected account to have a `verify`"
    with pytest.raises(PlanError, match=named):
        plan.build(StepConnections(clients([])))


def test_the_records_of_the_pipeline_are_those_that_it_makes_indexes_for_or_writes_to_check() -> (
    None
):
    assert {*COLLECTIONS, WRITE_CHECKS, BREAKERS, SERVICES, EXAMINATIONS} == PIPELINE_COLLECTIONS


def test_a_variable_is_filled_in_inside_any_text(path: Path) -> None:
    text = GOOD.replace("database: chat", "database: chat-${STAGE}")
    kind = read(path, text, {**ENVIRONMENT, "STAGE": "eu"}).steps[0].kind
    assert isinstance(kind, MongoSpec)
    assert kind.database == "chat-eu"


def test_what_a_variable_holds_is_not_expanded_again(path: Path) -> None:
    said = refused(path, GOOD, {"CHAT_URI": "${OTHER}", "OTHER": URI})
    assert "steps.1.mongo.uri" in said


FAULTS = [
    ("service: conversations\n", "", ":1: service: expected, but it is missing"),
    ("service: conversations", "service: Chat", ":1: service: expected 3 to 63 characters"),
    ("service: conversations", "service: chat-", ":1: service: expected 3 to 63 characters"),
    ("service: conversations", "service: dead-letter", ":1: service: expected a name of 3 to 63"),
    ("service: conversations", "service: [chat]", ":1: service: Input should be a valid string"),
    ("name: messages", "name: drafts", ":2: steps: expected unique names, found 'drafts'"),
    ("name: messages", "name: 'a b'", ":3: steps.0.name: expected at most 120 letters"),
    ("      field: bot_id\n", "", ":4: steps.0.mongo.field: expected, but it is missing"),
    ("field: bot_id", "feild: bot_id", ":7: steps.0.mongo.feild: not a known field"),
    (
        "    mongo:\n      database: chat\n      collection: messages",
        "    redis:\n      database: chat\n      collection: messages",
        ":4: steps.0.redis: not a known field, a step has one of mongo, objects, http, python, "
        "and name, pace, expect, point_of_no_return, compensation",
    ),
    ("field_type: string", "field_type: number", ":13: steps.1.mongo.field_type: Input should be"),
    ("batch_size: 50", "batch_size: 0", ":14: steps.1.mongo.batch_size: Input should be greater"),
    ("batch_size: 50", "batch_size: 100001", ":14: steps.1.mongo.batch_size: Input should be less"),
    (
        "batch_size: 50",
        "batch_size: '50'",
        ":14: steps.1.mongo.batch_size: Input should be a valid",
    ),
    (
        "    mongo:\n      database: chat\n      collection: messages\n      field: bot_id\n",
        "",
        f":3: steps.0: expected one of {', '.join(StepSpec.KINDS)}; found none",
    ),
    ("database: chat", "database: a/b", ":5: steps.0.mongo.database: String should match"),
    (
        "collection: messages",
        "collection: system.users",
        ":6: steps.0.mongo.collection: expected a collection of the service",
    ),
    *(
        (
            "database: chat",
            f"database: {name}",
            f":5: steps.0.mongo.database: expected a database of the service, '{name}'",
        )
        for name in ("admin", "config", "local")
    ),
    (
        "database: chat",
        "database: ${NO}",
        ":5: steps.0.mongo.database: the environment variable NO",
    ),
    (
        "uri: ${CHAT_URI}",
        "uri: ${NO}",
        ":15: steps.1.mongo.uri: the environment variable NO is not",
    ),
    (
        "uri: ${CHAT_URI}",
        "uri: http://x",
        ":15: steps.1.mongo.uri: expected a URI that begins with",
    ),
    ("uri: ${CHAT_URI}", "uri: ''", ":15: steps.1.mongo.uri: expected a URI that begins with"),
    ("service: conversations", "service: conversations\nextra: 1", ":2: extra: not a known field"),
    ("service: conversations", "service: [", ":3: not valid YAML"),
    ("service: conversations", "service: a\nservice: b", ":2: not valid YAML, found duplicate key"),
    ("service: conversations", "service: \a", ": not valid YAML"),
]


@pytest.mark.parametrize(
    ("before", "after", "fault"), FAULTS, ids=[after for _, after, _ in FAULTS]
)
def test_a_fault_is_named_with_line_field_and_what_was_expected(
    path: Path, before: str, after: str, fault: str
) -> None:
    assert before in GOOD
    assert fault in refused(path, GOOD.replace(before, after, 1))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", ":1: file: expected fields, each with its value"),
        ("- messages\n", ":1: file: expected fields, each with its value"),
        ("service: chat\nsteps: 3\n", ":2: steps: expected a list"),
        ("service: chat\nsteps: []\n", ":2: steps: expected at least one"),
        ("service: chat\nsteps:\n  - messages\n", ":3: steps.0: expected fields"),
    ],
)
def test_a_file_of_the_wrong_form_is_refused(path: Path, text: str, fault: str) -> None:
    assert fault in refused(path, text)


def test_every_fault_gets_a_line_of_its_own(path: Path) -> None:
    text = GOOD.replace("field: bot_id", "feild: bot_id").replace("batch_size: 50", "batch_size: 0")
    said = refused(path, text).splitlines()
    assert [line.split(":")[1] for line in said] == ["4", "7", "14"]


def test_an_empty_variable_never_means_the_default_database(path: Path) -> None:
    assert "steps.1.mongo.uri" in refused(path, GOOD, {"CHAT_URI": ""})


@pytest.mark.parametrize(
    "fault",
    [
        "uri: http://reader:hunter22@chat.example/",
        "uri: [mongodb://reader:hunter22@chat.example/]",
        "uri: mongodb://reader:hunter22@chat.example/\n      uri: mongodb://reader:hunter22@x/",
        "uri: ${CHAT_URI}\n      extra: mongodb://reader:hunter22@x/",
        "batch_size: mongodb://reader:hunter22@x/",
        "uri: mongodb://reader:hunter22@x/ : [",
    ],
)
def test_no_message_repeats_a_secret(path: Path, fault: str) -> None:
    assert "hunter22" not in refused(path, GOOD.replace("uri: ${CHAT_URI}", fault))


def test_a_plan_does_not_print_its_secrets(path: Path) -> None:
    assert "hunter22" not in repr(read(path, GOOD))


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(path)


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every `OSError` comes from the operating system, with its text."""

    def unreadable(*_: object, **__: object) -> str:
        raise OSError("the mount is gone")

    monkeypatch.setattr(Path, "read_text", unreadable)
    with pytest.raises(PlanError, match="cannot be read: the mount is gone"):
        read_plan(path)


def test_a_file_that_is_not_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00service")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(path)
