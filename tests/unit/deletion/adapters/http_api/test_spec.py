"""What a plan file may say of an external API, and what is refused with its reason."""

from pathlib import Path
from typing import Any

import pytest

from deletion.adapters.http_api.step import HttpStep
from deletion.adapters.mongo.connection import Client
from deletion.adapters.plan_file import PlanFile, read_plan
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError

GOOD = """\
service: billing
steps:
  - name: account
    http:
      method: DELETE
      url: "https://billing.example/bots/{bot_id}?key=${API_KEY}"
      headers: {Authorization: "Bearer ${TOKEN}"}
      timeout_seconds: 5
      gone: [404, 410]
      verify:
        method: GET
        url: "https://billing.example/bots/{bot_id}"
        gone: [404]
"""
ENVIRONMENT = {"API_KEY": "hunter22", "TOKEN": "hunter23"}
URL = 'url: "https://billing.example/bots/{bot_id}?key=${API_KEY}"'


def read(path: Path, text: str) -> PlanFile:
    path.write_text(text, encoding="utf-8")
    return read_plan(path, ENVIRONMENT)


def built(path: Path, text: str = GOOD, **connections: Any) -> HttpStep:
    def connect(_: str | None) -> Client:
        raise AssertionError("no database")

    [step] = read(path, text).build(StepConnections(connect, **connections)).steps
    assert isinstance(step, HttpStep)
    return step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


def test_a_good_file_becomes_a_step(path: Path) -> None:
    step = built(path)
    assert step.endpoint.url == "https://billing.example/bots/{bot_id}?key=hunter22"
    assert step.endpoint.headers == {"Authorization": "Bearer hunter23"}
    assert sorted(step.endpoint.gone) == [404, 410]
    assert step.call_seconds == 5
    assert step.verify
    assert (step.verify.method, *step.verify.gone) == ("GET", 404)
    assert step.verify.gate is step.endpoint.gate, "it is one host"


def test_a_call_ends_within_the_bound_of_every_call(path: Path) -> None:
    assert built(path, call_seconds=0.7).call_seconds == 0.7


def test_what_is_left_out_has_its_default(path: Path) -> None:
    text = GOOD[: GOOD.index("      method")] + f"      {URL}\n"
    step = built(path, text)
    assert (step.endpoint.method, *sorted(step.endpoint.gone)) == ("DELETE", 404, 410)
    assert step.by_answer_only
    assert step.endpoint.gate.concurrency == 2


FAULTS = [
    (URL, "url: http://billing.example/{bot_id}", ":6: steps.0.http.url: expected https://, plain"),
    (URL, "url: ftp://billing.example/{bot_id}", ":6: steps.0.http.url: expected https://HOST"),
    (URL, "url: billing.example/{bot_id}", ":6: steps.0.http.url: expected https://HOST"),
    (URL, "url: https:///{bot_id}", ":6: steps.0.http.url: expected https://HOST"),
    (URL, "url: https://x:99999/{bot_id}", ":6: steps.0.http.url: expected https://HOST"),
    (URL, "url: https://x.example/bots", ":6: steps.0.http.url: expected {bot_id} in its path"),
    (URL, "url: https://x.example/{id}/{bot_id}", ":6: steps.0.http.url: expected {bot_id} in its"),
    (URL, "url: https://{bot_id}.example/x", ":6: steps.0.http.url: expected"),
    (URL, "url: https://{bot_id}.example/{bot_id}", ":6: steps.0.http.url: expected"),
    (URL, "url: https://x.example/{bot_id}#a", ":6: steps.0.http.url: expected no #fragment"),
    (URL, "url: https://u:p@x.example/{bot_id}", ":6: steps.0.http.url: expected no user name"),
    (URL, 'url: "https://x.example/{bot_id} a"', ":6: steps.0.http.url: expected a URL of at most"),
    ("method: DELETE", "method: GET", ":5: steps.0.http.method: Input should be"),
    ("method: GET", "method: DELETE", ":11: steps.0.http.verify.method: Input should be"),
    (
        "timeout_seconds: 5",
        "timeout_seconds: 10.1",
        ":8: steps.0.http.timeout_seconds: Input should",
    ),
    ("timeout_seconds: 5", "timeout_seconds: 0", ":8: steps.0.http.timeout_seconds: Input should"),
    ("gone: [404, 410]", "gone: [200]", ":9: steps.0.http.gone.0: Input should be greater"),
    ("gone: [404, 410]", "gone: [404, 403]", ":9: steps.0.http.gone: expected statuses that mean"),
    ("gone: [404]", "gone: [429]", ":13: steps.0.http.verify.gone: expected statuses that mean"),
    (
        'headers: {Authorization: "Bearer ${TOKEN}"}',
        'headers: {Host: "x"}',
        ":7: steps.0.http.headers: expected no header Host, which the step",
    ),
    (
        'headers: {Authorization: "Bearer ${TOKEN}"}',
        'headers: {idempotency-key: "x"}',
        ":7: steps.0.http.headers: expected no header",
    ),
    (
        'headers: {Authorization: "Bearer ${TOKEN}"}',
        'headers: {"a b": "x"}',
        ":7: steps.0.http.headers: expected header names",
    ),
    (
        'headers: {Authorization: "Bearer ${TOKEN}"}',
        'headers: {A: "hunter22\\r\\nB: c"}',
        ":7: steps.0.http.headers: expected visible ASCII",
    ),
    ("timeout_seconds: 5", "insecure: true", ":8: steps.0.http.insecure: not a known field"),
]


@pytest.mark.parametrize(
    ("before", "after", "fault"), FAULTS, ids=[after for _, after, _ in FAULTS]
)
def test_a_fault_is_named_with_line_field_and_what_was_expected(
    path: Path, before: str, after: str, fault: str
) -> None:
    assert GOOD.count(before) == 1 or before == "gone: [404]"
    with pytest.raises(PlanError) as caught:
        read(path, GOOD.replace(before, after, 1))
    assert fault in str(caught.value).replace(str(path), "")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.3.2.1:1", "[::1]:8080"])
def test_plain_http_is_for_loopback(path: Path, host: str) -> None:
    assert built(path, GOOD.replace(URL, f'url: "http://{host}/{{bot_id}}"'))


def test_a_plan_does_not_print_its_secrets(path: Path) -> None:
    assert "hunter2" not in repr(read(path, GOOD))


SAGA = """\
service: billing
steps:
  - name: pause
    http: {method: POST, url: "https://billing.example/pause/{bot_id}"}
    compensation:
      http: {method: POST, url: "https://billing.example/resume/{bot_id}"}
  - name: account
    point_of_no_return: true
    http: {url: "https://billing.example/bots/{bot_id}"}
"""


def none(_: str | None) -> Client:
    raise AssertionError("no database")


def test_a_call_can_be_undone_by_another(path: Path) -> None:
    plan = read(path, SAGA).build(StepConnections(none))
    undo = plan.compensations["pause"]
    assert isinstance(undo, HttpStep)
    assert undo.endpoint.url.endswith("/resume/{bot_id}")
    [first, _] = plan.steps
    assert isinstance(first, HttpStep)
    assert undo.endpoint.gate is first.endpoint.gate, "they share one breaker"


UNDO = 'http: {method: POST, url: "https://billing.example/resume/{bot_id}"}'


@pytest.mark.proves("undo-by-http")
def test_a_compensation_has_to_say_its_method(path: Path) -> None:
    """By a default it would delete what it should restore."""
    assert SAGA.count(UNDO) == 1
    with pytest.raises(PlanError) as caught:
        read(path, SAGA.replace(UNDO, UNDO.replace("method: POST, ", "")))
    [fault] = str(caught.value).replace(str(path), "").splitlines()
    assert fault.startswith(":6: steps.0.compensation.http.method: expected, but it is missing")
    assert "`method: POST`, PUT, PATCH or DELETE" in fault


@pytest.mark.proves("undo-by-http")
@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("method: DELETE", [404, 410]),  # which wants that nothing is there
        ("method: POST", []),  # where there is nothing, nothing was undone
        ("method: PUT", []),
        ("method: PATCH", []),
        ("method: POST, gone: [404]", [404]),
        ("method: DELETE, gone: []", []),
    ],
)
def test_what_gone_is_for_a_compensation(path: Path, said: str, gone: list[int]) -> None:
    plan = read(path, SAGA.replace(UNDO, UNDO.replace("method: POST", said))).build(
        StepConnections(none)
    )
    undo = plan.compensations["pause"]
    assert isinstance(undo, HttpStep)
    assert sorted(undo.endpoint.gone) == gone
