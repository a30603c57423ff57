"""Every alert rule fires when its cause is there, is silent otherwise, and names its runbook."""

import re
from pathlib import Path

import pytest

from tests.architecture.documents import anchors
from tests.support.monitoring import (
    CASES,
    RULES,
    AlertRule,
    alert_rules,
    cases,
    needs_promtool,
    promtool,
    recorded,
    written_rules,
)
from tests.support.paths import ROOT

ALERTS = alert_rules()
OF_REPLICAS = re.compile(
    r"sum[^(]*\((?:max_over_time\()?botdel_(?:jobs|requests)(?:_oldest\w*)?[{)]"
)
"""A sum over gauges that each replica of recovery has."""

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


@needs_promtool
def test_the_rules_are_ones_that_prometheus_loads() -> None:
    assert promtool("check", "rules", RULES) == ""


@needs_promtool
@pytest.mark.proves("alert-rules")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_alert_fires_and_is_silent_as_its_cases_say(path: Path) -> None:
    assert promtool("test", "rules", path) == ""


@pytest.mark.proves("alert-rules")
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    said = {case for path in CASES for case in cases(path)}
    assert said == {(alert.name, fires) for alert in ALERTS for fires in (True, False)}


@needs_promtool
def test_what_is_not_a_rule_is_refused(tmp_path: Path) -> None:
    assert "could not parse expression" in promtool(
        "check", "rules", written_rules(tmp_path / "rules.yml", ["sum(botdel_jobs"])
    )


@pytest.mark.proves("alert-rules")
@each_alert
def test_an_alert_leads_to_a_section_of_a_runbook_that_names_it(alert: AlertRule) -> None:
    page, _, anchor = alert.runbook.partition("#")
    assert page.startswith("docs/runbooks/")
    assert anchor in anchors(ROOT / page)
    assert f"`{alert.name}`" in (ROOT / page).read_text(encoding="utf-8")


@each_alert
def test_an_alert_says_what_has_happened(alert: AlertRule) -> None:
    assert re.fullmatch(r"BotDeletion([A-Z][a-z]+)+", alert.name)
    assert alert.severity in {"critical", "warning"}
    assert re.fullmatch(r"[A-Z][^{}]+\.", alert.summary), "a sentence; values go below"
    assert alert.description.endswith(".")


def test_no_two_alerts_have_one_name() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


@each_alert
def test_no_job_and_no_request_counts_twice_because_recovery_has_two_replicas(
    alert: AlertRule,
) -> None:
    assert not OF_REPLICAS.search(alert.expr)


@pytest.mark.parametrize("name", recorded())
def test_a_series_that_is_recorded_is_used(name: str) -> None:
    assert any(name in alert.expr for alert in ALERTS)
