"""The plans that `botdel doctor` is given. One that cannot be used here is a finding, not an error:
nobody has the variables, the modules and the volumes of every team.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from botdel.doctor.findings import could_not, failed
from deletion.adapters.plan_source import PlanSource, find_plan
from deletion.adapters.spec import StepConnections
from deletion.doctor import Finding
from deletion.plan import Plan

LEFT_OUT = (
    "correct it, or run this where its variables, its modules and its volumes are; everything else "
    "was checked"
)


def read_plans(paths: Iterable[Path], findings: list[Finding]) -> dict[str, PlanSource]:
    """Return the plans by their files. Adds a finding for each that cannot be read."""
    read = {}
    for path in paths:
        try:
            read[str(path)] = find_plan(path)
        except Exception as error:  # noqa: BLE001 - recorded
            findings.append(_unusable(str(path), error))
    return read


def build_plans(
    sources: Mapping[str, PlanSource], connections: StepConnections, findings: list[Finding]
) -> list[Plan]:
    """Return the built plans. Adds a finding for any error: a step's class may be a team's own."""
    built = []
    for path, source in sources.items():
        try:
            built.append(source.build(connections))
        except Exception as error:  # noqa: BLE001 - recorded
            findings.append(_unusable(path, error))
    return built


def _unusable(path: str, error: Exception) -> Finding:
    return failed(f"plan {path}", could_not("", error).detail, LEFT_OUT)
