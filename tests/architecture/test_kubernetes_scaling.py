"""The number by which KEDA scales a consumer: from which metrics, and what it comes to."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.reference import every_metric, exported
from tests.support.deployed import settings_of
from tests.support.kubernetes import Manifest, environment, named, overlay, started
from tests.support.monitoring import needs_promtool, promtool, written_rules

Series = Mapping[str, int]
"""The values of series, by their names and labels."""

SERIES: Final = re.compile(r"\bbotdel\w+")


@pytest.fixture(scope="module")
def scaled() -> Manifest:
    found: Manifest = named(overlay("production"), "ScaledObject", "botdel-consumer-conversations")[
        "spec"
    ]
    return found


@pytest.fixture(scope="module")
def trigger(scaled: Manifest) -> Mapping[str, str]:
    (only,) = scaled["triggers"]
    found: Mapping[str, str] = only["metadata"]
    return found


def test_the_metrics_that_scale_exist(trigger: Mapping[str, str]) -> None:
    used = set(SERIES.findall(trigger["query"]))
    assert {"botdel_jobs_due", "botdel_consumer_running"} <= used
    assert used <= {exported(metric) for metric in every_metric()}


def test_a_replica_is_added_when_the_slots_of_all_are_taken(trigger: Mapping[str, str]) -> None:
    consumer = started("production", "consumer")
    found: Any = settings_of("consumer", environment(overlay("production"), consumer))
    assert float(trigger["threshold"]) == found.consumer_slots


def jobs(*counted: int) -> Series:
    """Due jobs, as each replica of recovery counts them."""
    name = 'botdel_jobs_due{service="conversations"'
    return {f'{name},instance="{n}"}}': each for n, each in enumerate(counted)}


def running(*counted: int) -> Series:
    """Jobs that run in each replica of the consumer."""
    name = 'botdel_consumer_running{service="conversations"'
    return {f'{name},instance="{n}"}}': each for n, each in enumerate(counted)}


RECOVERY: Final[Series] = {
    'botdel_recovery_dead_letters_recording{instance="0"}': 1,
    'botdel_recovery_jobs_counted{instance="0"}': 1,
}
UNCOUNTED: Final[Series] = {**RECOVERY, 'botdel_recovery_jobs_counted{instance="0"}': 0}
"""Recovery runs, and cannot count the jobs: what it says of them is absent."""
OTHERS: Final[Series] = {
    'botdel_jobs_due{service="chat"}': 1000,
    'botdel_jobs{service="conversations",status="pending"}': 1000,
    'botdel_jobs{service="conversations",status="failed"}': 1000,
    'botdel_consumer_running{service="chat"}': 1000,
}
CASES: Final[Mapping[str, tuple[Series, int | None]]] = {
    "what waits, as each recovery counts it, and what runs": (
        {**jobs(30, 30), **running(8, 4)},
        42,
    ),
    "all that waits is parked, or rests": (
        {**jobs(0, 0), **OTHERS, **RECOVERY, **running(3, 2)},
        5,
    ),
    "nothing waits, and recovery runs": ({**RECOVERY, **running(3, 2)}, 5),
    "jobs of other services, and jobs that no consumer may run": (
        {**OTHERS, **RECOVERY, **running(0, 0)},
        0,
    ),
    "recovery cannot count: KEDA falls back": ({**UNCOUNTED, **running(8, 8)}, None),
    "one recovery cannot count, another counts nothing": (
        {**UNCOUNTED, 'botdel_recovery_jobs_counted{instance="1"}': 1, **running(3, 2)},
        5,
    ),
    "no recovery: KEDA falls back": (running(3, 2), None),
    "no consumer: KEDA falls back": ({**jobs(30), **RECOVERY}, None),
}


@needs_promtool
@pytest.mark.parametrize(("series", "wanted"), CASES.values(), ids=CASES)
def test_the_number_that_scales(
    trigger: Mapping[str, str], tmp_path: Path, series: Series, wanted: int | None
) -> None:
    samples = [] if wanted is None else [{"labels": "{}", "value": wanted}]
    query = {"expr": trigger["query"], "eval_time": "1m", "exp_samples": samples}
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{n} {n}"} for name, n in series.items()],
        "promql_expr_test": [query],
    }
    rules = written_rules(tmp_path / "rules.yml", [trigger["query"]])
    path = tmp_path / "test.yml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump({"rule_files": [rules.name], "tests": [case]}, file)
    assert promtool("test", "rules", path) == ""


def test_without_a_number_the_replicas_stay(trigger: Mapping[str, str], scaled: Manifest) -> None:
    assert trigger["ignoreNullValues"] == "false"
    assert scaled["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert scaled["fallback"]["replicas"] == scaled["minReplicaCount"]
