"""Every process answers as its OpenAPI document says, whatever is asked.

schemathesis makes requests from the document, valid ones and others, and compares each answer: its
status, its media type, its headers and its content. The same requests are made each time.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, Phase, given, settings
from pydantic import SecretStr
from schemathesis import Case, openapi
from schemathesis.checks import load_all_checks
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deletion.process.tokens import BearerTokens
from tests.architecture.answering import APPS, TOKEN, Parts, a_console

AnyCase = Case[Any]
AnyOperation = APIOperation[Any, Any, Any, Any]
Document = dict[str, Any]
HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES: Final = 25
"""Random requests of each kind for each operation, besides those at the edges of the document."""
BOUNDED: Final = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[*HealthCheck],
)
"""The same few requests each time. They need no shrinking: they are short."""
CONFIG: Final = SchemathesisConfig(seed=1)
EDGES: Final = GenerationConfig(deterministic=True)

load_all_checks()


def schema_of(app: FastAPI) -> BaseSchema:
    return openapi.from_asgi("/openapi.json", app, config=CONFIG)


@pytest.fixture(scope="module", params=APPS)
def schema(request: pytest.FixtureRequest) -> BaseSchema:
    return schema_of(APPS[request.param](Parts()))


def operations(schema: BaseSchema) -> Iterator[AnyOperation]:
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def at_the_edges(schema: BaseSchema, *modes: GenerationMode) -> Iterator[AnyCase]:
    for operation in operations(schema):
        yield from schema.iter_coverage_cases(
            operation, generation_modes=[*modes], generation_config=EDGES
        )


def ask(case: AnyCase) -> int:
    """The status of the answer. Raises `FailureGroup` if the document says otherwise."""
    return case.call_and_validate(headers=HEADERS).status_code


def ask_at_the_edges(schema: BaseSchema) -> list[int]:
    return [ask(case) for case in at_the_edges(schema, *GenerationMode)]


def ask_at_random(operation: AnyOperation, mode: GenerationMode) -> None:
    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: AnyCase) -> None:
        ask(case)

    each()


def test_the_document_is_valid(schema: BaseSchema) -> None:
    schema.validate()
    assert [*operations(schema)]


@pytest.mark.proves("documented-answers")
def test_requests_at_the_edges_of_the_document_are_answered_as_it_says(schema: BaseSchema) -> None:
    statuses = ask_at_the_edges(schema)
    assert {401, 405, 422} <= {*statuses}
    assert len(statuses) > 20


@pytest.mark.proves("documented-answers")
@pytest.mark.parametrize("mode", GenerationMode)
def test_random_requests_are_answered_as_it_says(schema: BaseSchema, mode: GenerationMode) -> None:
    for operation in operations(schema):
        if mode is GenerationMode.POSITIVE or [*operation.iter_parameters()]:
            ask_at_random(operation, mode)


@pytest.mark.proves("documented-answers")
@pytest.mark.parametrize("name", APPS)
def test_a_process_whose_parts_are_away_answers_as_it_says(name: str) -> None:
    schema = schema_of(APPS[name](Parts(are_away=True)))
    checks = [
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    ]
    statuses = [
        case.call_and_validate(headers=HEADERS, checks=checks).status_code
        for case in at_the_edges(schema, GenerationMode.POSITIVE)
    ]
    assert statuses.count(503) >= 2


# --- the tests above would notice


def without_an_answer(document: Document) -> None:
    del document["paths"]["/v1/deletions/{event_id}"]["get"]["responses"]["404"]


def without_a_state(document: Document) -> None:
    document["components"]["schemas"]["ServiceState"]["enum"].remove("missing")


def with_another_media_type(document: Document) -> None:
    refused = document["paths"]["/v1/deletions"]["get"]["responses"]["422"]
    refused["content"] = {"application/json": {}}


def with_a_header(document: Document) -> None:
    refused = document["paths"]["/v1/deletions"]["get"]["responses"]["422"]
    refused["headers"] = {"Retry-After": {"required": True, "schema": {"type": "string"}}}


def with_other_ids(document: Document) -> None:
    [event_id] = document["paths"]["/v1/deletions/{event_id}"]["get"]["parameters"]
    event_id["schema"]["pattern"] = "^[a-z]{5}$"


@pytest.mark.parametrize(
    "tamper",
    [without_an_answer, without_a_state, with_another_media_type, with_a_header, with_other_ids],
)
def test_a_document_that_says_otherwise_is_found_out(tamper: Callable[[Document], None]) -> None:
    app = a_console(Parts())
    tamper(app.openapi())
    schema = schema_of(app)

    def ask_everything() -> None:
        ask_at_the_edges(schema)
        for operation in operations(schema):
            ask_at_random(operation, GenerationMode.POSITIVE)

    with pytest.raises(FailureGroup):
        ask_everything()


def test_a_credential_that_is_not_checked_is_found_out() -> None:
    class Open(BearerTokens):
        async def __call__(self, request: Request) -> str:
            return "anybody"

    schema = schema_of(a_console(Parts(), Open([SecretStr(TOKEN)])))
    with pytest.raises(FailureGroup, match="auth"):
        ask_at_the_edges(schema)
