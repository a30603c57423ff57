"""The alert rules and dashboards of deploy/, and promtool, which checks them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.support.paths import ROOT

RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yml"
CASES: Final = sorted((RULES.parent / "tests").glob("*.yml"))
"""What `promtool test rules` runs."""
DASHBOARDS: Final = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
WITHIN: Final = 120.0
"""Seconds for one call of promtool; the longest takes 6 s on an idle machine."""
LESS_WORK: Final = {"GOMAXPROCS": "1", "GOGC": "400"}
"""Go on one core, with fewer garbage collections: a quarter less CPU time."""
VARIABLES: Final = {"$__rate_interval": "5m"}
"""What Grafana puts into an expression where Prometheus's language has a duration."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: apt-get install --no-install-recommends prometheus",
)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert of `RULES`. `lasts` is how long its cause has to last first, "" for not at all."""

    name: str
    expr: str
    lasts: str
    severity: str
    summary: str
    description: str
    runbook: str


def alert_rules() -> list[AlertRule]:
    """All alerts, in their order. Raises `KeyError` for one that lacks an annotation."""
    return [
        AlertRule(
            rule["alert"],
            rule["expr"],
            rule.get("for", ""),
            rule["labels"]["severity"],
            **{name: rule["annotations"][name] for name in ("summary", "description", "runbook")},
        )
        for rule in _rules()
        if "alert" in rule
    ]


@cache
def recorded() -> dict[str, str]:
    """The expressions of the recording rules, by the names of their series."""
    return {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}


def cases(path: Path) -> Iterator[tuple[str, bool]]:
    """The cases of one of `CASES`: the name of an alert, and whether it has to fire."""
    for group in _read(path)["tests"]:
        for case in group["alert_rule_test"]:
            yield case["alertname"], bool(case["exp_alerts"])


def dashboard(path: Path) -> dict[str, Any]:
    """One of `DASHBOARDS`."""
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def panel_expressions(path: Path) -> Iterator[tuple[str, str]]:
    """The title of a panel of this dashboard and an expression of it, as Prometheus gets it."""
    for panel in dashboard(path)["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            for variable, value in VARIABLES.items():
                expr = expr.replace(variable, value)
            yield panel["title"], expr


def written_rules(path: Path, expressions: Sequence[str]) -> Path:
    """Write `expressions` to `path` as recording rules, so that promtool parses them."""
    rules = [{"record": f"parsed:{n}", "expr": expr} for n, expr in enumerate(expressions)]
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump({"groups": [{"name": "parsed", "rules": rules}]}, file)
    return path


def promtool(*arguments: str | Path) -> str:
    """What promtool says against it, "" if it exits with 0."""
    run = subprocess.run(
        ["promtool", *arguments],
        env={**os.environ, **LESS_WORK},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    return "" if run.returncode == 0 else re.sub(r"\n{2,}", "\n", run.stdout + run.stderr)


@cache
def _rules() -> Sequence[Mapping[str, Any]]:
    return [rule for group in _read(RULES)["groups"] for rule in group["rules"]]


def _read(path: Path) -> Any:
    return YAML(typ="safe").load(path)
