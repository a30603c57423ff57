"""Where a plan comes from: a file, or Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from deletion.adapters.plan_file import read_plan
from deletion.adapters.references import imported, is_reference
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError
from deletion.plan import Plan


@runtime_checkable
class PlanSource(Protocol):
    """Where a process gets its plan from: a plan file, or Python."""

    @property
    def service(self) -> str:
        """The service that the plan belongs to."""

    def build(self, connections: StepConnections) -> Plan:
        """Build the plan. Raises `PlanError`, which names the step."""


@dataclass(frozen=True, slots=True)
class PythonPlan:
    """The source of a plan that was made in Python."""

    plan: Plan

    @property
    def service(self) -> str:
        """The service that the plan belongs to."""
        return self.plan.service

    def build(self, _connections: StepConnections) -> Plan:
        """Return the plan."""
        return self.plan


def source_of(plan: Plan | PlanSource) -> PlanSource:
    """Return `plan` if it is a source already; otherwise a source that returns it."""
    return PythonPlan(plan) if isinstance(plan, Plan) else plan


def find_plan(named: Path) -> PlanSource:
    """Return the plan that was named on the command line.

    `named` is a plan file, or `package.module:NAME` of a `Plan` or `PlanSource`; modules in the
    working directory are found too. Raises `PlanError`.
    """
    reference = str(named)
    if named.exists() or not is_reference(reference):
        return read_plan(named)
    try:
        found = imported(reference, Path.cwd())
    except ValueError as error:
        raise PlanError(str(error), field=reference) from error
    if isinstance(found, Plan | PlanSource):
        return source_of(found)
    raise PlanError(f"expected a Plan, found {type(found).__name__}", field=reference)
