"""Every dashboard of deploy/grafana/ can be imported anywhere, and Prometheus can parse it."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.support.monitoring import (
    DASHBOARDS,
    dashboard,
    needs_promtool,
    panel_expressions,
    promtool,
    written_rules,
)

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard(path)["panels"]
    return found


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not above


def test_there_is_one_for_each_subject() -> None:
    assert {path.stem for path in DASHBOARDS} == {"overview", "gateway", "consumers", "recovery"}
    for key in ("uid", "title"):
        assert len({dashboard(path)[key] for path in DASHBOARDS}) == len(DASHBOARDS)


@needs_promtool
@each_dashboard
def test_prometheus_parses_every_expression(path: Path, tmp_path: Path) -> None:
    expressions = [expr for _, expr in panel_expressions(path)]
    assert expressions
    assert promtool("check", "rules", written_rules(tmp_path / "rules.yml", expressions)) == ""


@each_dashboard
def test_every_panel_has_an_id_of_its_own_and_a_place_of_its_own(path: Path) -> None:
    ids = [panel["id"] for panel in panels(path)]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in panels(path)]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]


@each_dashboard
def test_every_panel_says_what_it_shows(path: Path) -> None:
    for panel in panels(path):
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["targets"], panel["title"]


@each_dashboard
def test_a_dashboard_works_with_any_data_source(path: Path) -> None:
    variables = {each["name"]: each for each in dashboard(path)["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    shown = [panel for panel in panels(path) if panel["type"] != "row"]
    queried = [each for each in variables.values() if each["type"] == "query"]
    targets = [target for panel in shown for target in panel["targets"]]
    assert all(each["datasource"] == SOURCE for each in (*shown, *queried, *targets))


@each_dashboard
def test_a_dashboard_names_no_installation(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")
    assert dashboard(path)["id"] is None
