"""What a plan file says of the pace of a step, and of what it must find."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deletion.adapters.mongo.lag import ReplicationLag
from deletion.adapters.plan_file import read_plan
from deletion.adapters.pressure.http import HttpGauge, PrometheusGauge
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError
from deletion.pace import Pace, Pressure
from deletion.plan import Plan
from tests.unit.deletion.adapters.clients import clients

STEP = "  - name: {name}\n    mongo: {{database: chat, collection: {name}, field: botId{more}}}\n"
GAUGE = "gauge: {url: https://chat.example/load}"


def plan(path: Path, *lines: str, more: str = "") -> Plan:
    """The plan of a file whose step `messages` has `lines` too, and `drafts` none."""
    text = "service: chat\nsteps:\n" + STEP.format(name="messages", more=more)
    text += "".join(f"    {line}\n" for line in lines) + STEP.format(name="drafts", more="")
    file = path / "plan.yaml"
    file.write_text(text)
    asked: list[str | None] = []
    return read_plan(file, {"SECRET": "hunter22"}).build(StepConnections(clients(asked)))


def test_a_step_without_a_pace_has_the_gentle_one(tmp_path: Path) -> None:
    built = plan(tmp_path)
    assert [built.pace(step) for step in built.steps] == [Pace(), Pace()]
    assert (Pace().target_ms, Pace().busy_share) == (100, 0.5)
    assert not built.expected


def test_the_pace_of_a_step_is_its_own(tmp_path: Path) -> None:
    pace = "pace: {target_ms: 50, min_batch: 5, max_batch: 2000, busy_share: 0.01}"
    built = plan(tmp_path, pace, "expect: nonzero")
    paces = [Pace(50, 5, 2000, 0.01), Pace()]
    assert [built.pace(step) for step in built.steps] == paces
    assert built.expected == {"messages"}


OBJECTS = """\
service: media
steps:
  - name: avatars
    objects: {url: "file:///srv/avatars", prefix: "bots/{bot_id}/"}
"""


@pytest.mark.parametrize(
    ("line", "pace"),
    [
        ("", Pace(1000, 100)),
        ("pace: {busy_share: 0.1}", Pace(1000, 100, busy_share=0.1)),
        ("pace: {target_ms: 300}", Pace(300, 100)),
        ("pace: {max_batch: 50}", Pace(1000, 50, 50)),
    ],
)
def test_what_a_pace_leaves_out_is_as_it_suits_the_kind(
    tmp_path: Path, line: str, pace: Pace
) -> None:
    """Objects are listed and deleted by requests, which take long however few there are."""
    file = tmp_path / "plan.yaml"
    file.write_text(f"{OBJECTS}    {line}\n")
    built = read_plan(file).build(StepConnections(lambda _: pytest.fail("no database")))
    assert [built.pace(step) for step in built.steps] == [pace]


def test_the_smallest_batch_is_no_larger_than_the_largest(tmp_path: Path) -> None:
    built = plan(tmp_path, "pace: {max_batch: 5}")
    assert built.paces["messages"] == Pace(100, 5, 5)


@pytest.mark.parametrize(
    ("gauge", "kind"),
    [
        (GAUGE, HttpGauge),
        ("prometheus: {url: 'http://prometheus:9090', query: 'load1'}", PrometheusGauge),
        ("replication_lag: true", ReplicationLag),
    ],
)
def test_a_pressure_has_a_gauge_and_two_limits(
    tmp_path: Path, gauge: str, kind: type[object]
) -> None:
    found = plan(tmp_path, f"pace: {{pressure: {{{gauge}, slow_above: 2, wait_above: 10.5}}}}")
    pressure = found.paces["messages"].pressure
    assert isinstance(pressure, Pressure)
    assert isinstance(pressure.gauge, kind)
    assert (pressure.slow_above, pressure.wait_above) == (2, 10.5)


FAULTS: Mapping[str, str] = {
    "pace: {target_ms: 0}": "pace.target_ms: Input should be greater than 0",
    "pace: {target_ms: fast}": "pace.target_ms: Input should be a valid number",
    "pace: {min_batch: 0}": "pace.min_batch: Input should be greater",
    "pace: {min_batch: 6, max_batch: 5}": "pace: max_batch: expected at least min_batch",
    "pace: {busy_share: 0}": "pace.busy_share: Input should be greater",
    "pace: {busy_share: 50}": "pace.busy_share: Input should be less",
    "pace: {busy_share: true}": "pace.busy_share: Input should be a valid number",
    "pace: {busy: 1}": "pace.busy: not a known field",
    "pace: {pressure: {slow_above: 1, wait_above: 2}}": "expected one of replication_lag",
    f"pace: {{pressure: {{{GAUGE}, replication_lag: true, slow_above: 1, wait_above: 2}}}}": (
        "found replication_lag and gauge"
    ),
    f"pace: {{pressure: {{{GAUGE}, slow_above: 2, wait_above: 2}}}}": (
        "pace.pressure: slow_above: expected less than wait_above"
    ),
    "pace: {pressure: {replication_lag: false, slow_above: 1, wait_above: 2}}": (
        "pace.pressure.replication_lag: Input should be True"
    ),
    f"pace: {{pressure: {{{GAUGE}, slow_above: 2}}}}": "wait_above: expected, but it is missing",
    "pace: {pressure: {gauge: {url: 'ftp://x'}, slow_above: 1, wait_above: 2}}": (
        "gauge.url: expected a URL that begins with http"
    ),
    "expect: something": "expect: Input should be 'nonzero'",
}


def test_only_a_step_over_mongodb_knows_a_replication_lag(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "service: chat\nsteps:\n  - name: account\n"
        "    http: {method: DELETE, url: 'https://chat.example/bots/{bot_id}'}\n"
        "    pace: {pressure: {replication_lag: true, slow_above: 1, wait_above: 2}}\n"
    )
    with pytest.raises(PlanError, match="pressure: expected replication_lag in `mongo` steps only"):
        read_plan(file)


@pytest.mark.parametrize("line", FAULTS)
def test_a_wrong_pace_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(tmp_path, line)
    assert "plan.yaml:5: steps.0." in str(caught.value)
    assert FAULTS[line] in str(caught.value)


def test_a_url_with_a_secret_is_not_repeated(tmp_path: Path) -> None:
    wrong = "pace: {pressure: {gauge: {url: 'ftp://${SECRET}@x'}, slow_above: 1, wait_above: 2}}"
    with pytest.raises(PlanError) as caught:
        plan(tmp_path, wrong)
    assert "hunter22" not in str(caught.value)
    right = "pace: {pressure: {gauge: {url: 'http://u:${SECRET}@x'}, slow_above: 1, wait_above: 2}}"
    assert "hunter22" not in repr(plan(tmp_path, right).paces)


@pytest.mark.proves("wrong-plan")
@pytest.mark.parametrize("same", [STEP.format(name="messages", more="")])
def test_two_steps_over_the_same_documents_are_refused(tmp_path: Path, same: str) -> None:
    """One of them was copied, and names the wrong ones."""
    path = tmp_path / "plan.yaml"
    again = same.replace("name: messages", "name: sessions")
    path.write_text(f"service: chat\nsteps:\n{same}{again}")
    with pytest.raises(PlanError, match="messages and sessions delete the same"):
        read_plan(path)
    other: Any = again.replace("field: botId", "field: owner")
    path.write_text(f"service: chat\nsteps:\n{same}{other}")
    assert len(read_plan(path).steps) == 2, "another field may name another bot"
