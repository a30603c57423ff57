"""Rules and dashboards use metrics that the code has, and use all of them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.reference import ANY, every_metric, exported
from tests.support.monitoring import (
    DASHBOARDS,
    alert_rules,
    dashboard,
    panel_expressions,
    recorded,
)

Labels = Mapping[str, frozenset[str]]
"""The values of each label; `ANY` among them stands for those of an installation."""

SERIES: Final = re.compile(r"\b(botdel[\w:]+)(?:\{([^}]*)\})?")
MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPED: Final = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
OF_THE_SERVER: Final = {"instance", "alertname", "severity", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""


def _series() -> dict[str, Labels | None]:
    """What the code exports, by series. None where a metric has no child that would tell labels."""
    found: dict[str, Labels | None] = {}
    for metric in every_metric():
        found.setdefault(exported(metric))
        for sample in metric.samples:
            known = found.get(sample.name) or {}
            found[sample.name] = {
                name: known.get(name, frozenset()) | {value}
                for name, value in sample.labels.items()
            }
    return found


KNOWN: Final = _series()
EXPRESSIONS: Final = [
    *((rule.name, rule.expr) for rule in alert_rules()),
    *recorded().items(),
    *(
        (f"{path.stem}: {title}", expr)
        for path in DASHBOARDS
        for title, expr in panel_expressions(path)
    ),
]


def series_in(expr: str) -> Iterator[tuple[str, str]]:
    """The series of an expression and their matchers; in place of one that is recorded, its own."""
    for name, matchers in SERIES.findall(expr):
        if name in recorded():
            yield from series_in(recorded()[name])
        else:
            yield name, matchers


USED: Final = {name for _, expr in EXPRESSIONS for name, _ in series_in(expr)}


def wrong_matchers(labels: Labels, matchers: str) -> list[str]:
    """Those over a label or a value that there is not."""
    return [
        f"{label}={value}"
        for label, values in MATCHER.findall(matchers)
        for value in values.split("|")
        if label not in labels or not ({value, ANY} & labels[label] or value.startswith("$"))
    ]


def test_a_series_of_a_rule_or_a_panel_exists() -> None:
    for where, expr in EXPRESSIONS:
        assert {name for name, _ in series_in(expr)} <= KNOWN.keys(), where


def test_the_labels_and_values_that_are_asked_for_exist() -> None:
    for where, expr in EXPRESSIONS:
        for name, matchers in series_in(expr):
            if (labels := KNOWN.get(name)) is not None:
                assert wrong_matchers(labels, matchers) == [], f"{where}: {name}"


def test_a_label_that_is_grouped_by_exists() -> None:
    for where, expr in EXPRESSIONS:
        labels = [KNOWN.get(name) for name, _ in series_in(expr)]
        if labels and None not in labels:
            has = {name for each in labels for name in each or ()} | OF_THE_SERVER
            grouped = {name.strip() for names in GROUPED.findall(expr) for name in names.split(",")}
            assert grouped - {""} <= has, where


def test_a_label_and_a_value_that_do_not_exist_are_found() -> None:
    labels = {"status": frozenset({"failed"}), "service": frozenset({ANY})}
    assert wrong_matchers(labels, 'status=~"failed|gone", service="chat", bot!=""') == [
        "status=gone",
        "bot=",
    ]


@pytest.mark.proves("alert-rules")
def test_every_metric_is_in_a_rule_or_on_a_dashboard() -> None:
    for metric in every_metric():
        names = {exported(metric), *(sample.name for sample in metric.samples)}
        assert names & USED, exported(metric)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_variable_takes_its_values_from_a_series_that_exists(path: Path) -> None:
    queries = [str(variable["query"]) for variable in dashboard(path)["templating"]["list"]]
    assert {name for query in queries for name, _ in SERIES.findall(query)} <= KNOWN.keys()
