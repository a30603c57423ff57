"""A plan that cannot be used hides no other."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from botdel.doctor.plan_checks import build_plans, read_plans
from deletion.adapters.spec import StepConnections
from deletion.doctor import Finding, Verdict
from deletion.plan import Plan
from tests.unit.botdel.doctor.installation import by_check

PLAN = "service: {service}\nsteps:\n  - {{name: messages, mongo: {{database: {database}, "
PLAN += "collection: {collection}, field: bot}}}}\n"


@pytest.mark.proves("broken-step-hides-nothing")
def test_a_plan_that_cannot_be_read_or_built_is_one_finding_and_the_others_are_there(
    tmp_path: Path,
) -> None:
    texts = {
        "right.yaml": PLAN.format(service="right", database="chat", collection="messages"),
        "unset.yaml": PLAN.format(service="away", database="'${NOT}'", collection="'${NOR}'"),
        "records.yaml": PLAN.format(service="records", database="own", collection="deletion_jobs"),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    findings: list[Finding] = []
    paths = [tmp_path / name for name in (*texts, "none.yaml")]
    sources = read_plans(paths, findings)
    assert [source.service for source in sources.values()] == ["right", "records"]
    clients = MagicMock()
    [plan] = build_plans(sources, StepConnections(clients, own_database="own"), findings)
    assert plan.service == "right"
    found = by_check(findings)
    unset, none, records = (
        found[f"plan {tmp_path / name}"] for name in ("unset.yaml", "none.yaml", "records.yaml")
    )
    assert {each.status for each in found.values()} == {Verdict.FAILED}
    assert f"{tmp_path}/unset.yaml:3: steps.0.mongo.database: the env" in unset.detail
    assert "variable NOR is not set" in unset.detail
    assert "cannot be read" in none.detail
    assert "records.yaml:3: plan of records, step messages: deletion_jobs" in records.detail


async def test_a_plan_whose_class_raises_what_nobody_foresaw_is_one_finding(
    tmp_path: Path,
) -> None:
    class Raising:
        service = "raising"

        def build(self, connections: StepConnections) -> Plan:
            raise RuntimeError("boom")

    findings: list[Finding] = []
    assert build_plans({"mine:PLAN": Raising()}, StepConnections(MagicMock()), findings) == []
    assert [(each.check, each.detail) for each in findings] == [
        ("plan mine:PLAN", "boom (RuntimeError)")
    ]
