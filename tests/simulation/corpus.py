"""The schedules that broke a rule once: kept as files, and run by the tests for ever.

One that is named after a guard broke a rule while that guard was missing; one with a number is
named after its seed until somebody knows better.
"""

from pathlib import Path

from tests.simulation.schedule import Schedule

FOLDER = Path(__file__).with_name("regressions")


def kept() -> list[Path]:
    """The file of each."""
    return sorted(FOLDER.glob("*.json"))


def keep(schedule: Schedule, name: str) -> Path:
    """Keep another one."""
    path = FOLDER / f"{name}.json"
    path.write_text(schedule.dump())
    return path
