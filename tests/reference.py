"""What the reference takes from the code: `python -m tests.reference` writes it.

It stands between `<!-- generated: NAME -->` and `<!-- end -->` in the pages of docs/reference/.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer.main
from prometheus_client import CollectorRegistry, Metric
from pydantic.fields import FieldInfo

from botdel.cli import app
from botdel.local.broker_choice import LocalSettings
from console.metrics import Metrics as ConsoleMetrics
from console.settings import ConsoleSettings
from consumers.intake import Outcome
from consumers.metrics import Metrics as ConsumerMetrics
from consumers.settings import ConsumerSettings
from deletion.adapters.mongo.census import UNFINISHED
from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import SystemClock
from deletion.ledger import RequestCensus
from deletion.ports import Unfinished
from deletion.process.settings import Settings
from deletion.process.store_settings import (
    ActingSettings,
    JobsSettings,
    OperatorSettings,
    TopologySettings,
)
from gateway.metrics import Metrics as GatewayMetrics
from gateway.settings import GatewaySettings
from recovery.gauges import JobGauges, LetterGauge, ReadFailures
from recovery.ledger.gauges import RequestGauges
from recovery.ledger.metrics import LedgerMetrics
from recovery.metrics import Metrics as RecoveryMetrics
from recovery.settings import RecoverSettings, RecoverySettings
from tests.support.monitoring import AlertRule, alert_rules
from tests.support.paths import ROOT

REFERENCE: Final = Path(__file__).parents[1] / "docs" / "reference"
ANY: Final = "any"
"""The value of labels whose values are those of an installation."""
PART: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: str) -> str:
    """The text of a page with every generated part as the code has it."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}", page)


def metrics() -> str:
    """A table of the metrics of all processes."""
    rows = (
        (f"`{exported(metric)}`", metric.type, _labels(metric), metric.documentation)
        for metric in _all_metrics()
    )
    return _table(("metric", "type", "labels", "counts"), rows)


def options() -> str:
    """A table for each command that takes an argument or an option."""
    sections = (
        f"### `{path}`\n\n{_table(('argument or option', 'default', 'meaning'), rows)}"
        for path, command in commands(typer.main.get_command(app), "botdel")
        if (rows := [_option(param) for param in command.params])
    )
    return "\n\n".join(sections)


def settings() -> str:
    """A table of the variables, each with the commands that read it."""
    readers: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for each, names in READERS.items():
        for name, field in each.model_fields.items():
            variable = str(field.validation_alias or f"BOTDEL_{name.upper()}")
            fields.setdefault(variable, field)
            readers.setdefault(variable, []).extend(names)
    rows = (
        (f"`{variable}`", default(field), ", ".join(dict.fromkeys(readers[variable])), _said(field))
        for variable, field in fields.items()
    )
    return _table(("variable", "default", "read by", "meaning"), rows)


def alerts() -> str:
    """A table of the alert rules for Prometheus, each with a link to its runbook."""
    rows = (
        (f"`{rule.name}`", rule.severity, rule.lasts or "at once", rule.summary, _runbook(rule))
        for rule in alert_rules()
    )
    return _table(("alert rule", "severity", "after", "what has happened", "what to do"), rows)


def _runbook(rule: AlertRule) -> str:
    """A link whose text is the heading of the section, or the title of its page."""
    page, _, anchor = rule.runbook.partition("#")
    title, *headings = re.findall(r"^#+ (.*)", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    name = title.removeprefix("Runbook: ")
    if anchor != "what-to-do":
        found = next(each for each in headings if each.lower().replace(" ", "-") == anchor)
        name = found[0].lower() + found[1:]
    return f"[{name}](../{page.removeprefix('docs/')}#{anchor})"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "alerts": alerts,
    "metrics": metrics,
    "options": options,
    "settings": settings,
}
READERS: Final[Mapping[type[Settings], tuple[str, ...]]] = {
    GatewaySettings: ("gateway",),
    ConsumerSettings: ("consumer",),
    RecoverySettings: ("recovery",),
    ConsoleSettings: ("console",),
    RecoverSettings: ("recover",),
    TopologySettings: ("topology",),
    JobsSettings: ("jobs", "dead-letters", "requests", "services", "actions"),
    ActingSettings: ("jobs", "dead-letters", "requests", "services"),
    OperatorSettings: ("dead-letters",),
    LocalSettings: ("local", "demo"),
}
"""Which commands read which class of settings."""


def default(field: FieldInfo) -> str:
    """The default of a setting, or of a field of a plan, as a page shows it."""
    if field.is_required():
        return "required"
    if field.default is None:
        return "not set"
    is_number = isinstance(field.default, int | float)
    return f"`{field.default:g}`" if is_number else f"`{field.default}`"


def _said(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, after what one types."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, each in below.items():
        yield from commands(each, f"{path} {name}")


class _Jobs:
    """A census with a job of every unfinished status."""

    async def unfinished(self) -> list[Unfinished]:
        created_at = SystemClock().now()
        return [Unfinished(ANY, status, 1, created_at) for status in UNFINISHED]

    async def due(self, services: Collection[str], now: datetime, limit: int) -> dict[str, int]:
        return dict.fromkeys(services, 1)


def _all_metrics() -> Iterator[Metric]:
    gateway, recovering = CollectorRegistry(), RecoveryMetrics().registry
    console = ConsoleMetrics(CollectorRegistry()).registry
    GatewayMetrics(gateway)
    failures = ReadFailures(recovering)
    jobs = JobGauges(recovering, _Jobs(), SystemClock(), failures)
    asyncio.run(jobs.refresh())
    LedgerMetrics(recovering).republished(ANY)
    nowhere = connect("mongodb://nowhere")
    letters = MongoDeadLetterStore(nowhere, ANY)
    LetterGauge(recovering, letters, SystemClock(), failures).show(0)
    requests = MongoRequestStore(nowhere, ANY)
    gauges = RequestGauges(recovering, requests, SystemClock(), failures, calls_back=True)
    gauges.show(RequestCensus(0, 0, 0, 0, None, None))
    consumer = ConsumerMetrics(ANY, [ANY], [outcome.value for outcome in Outcome])
    consumer.breakers.labels(ANY)
    for registry in (gateway, consumer.registry, recovering, console):
        yield from registry.collect()


def every_metric() -> list[Metric]:
    """The metrics of all processes, with a child for each value of a label that is known."""
    return list(_all_metrics())


def exported(metric: Metric) -> str:
    """The name under which `/metrics` has it."""
    return metric.name + ("_total" if metric.type == "counter" else "")


def _labels(metric: Metric) -> str:
    """The labels, each with its values."""
    found: dict[str, list[str]] = {}
    for sample in metric.samples:
        for name, value in sample.labels.items():
            found.setdefault(name, []).append(value)
    found.pop("le", None)  # of a histogram's buckets
    return "; ".join(f"`{name}`{_listed(values)}" for name, values in found.items())


def _listed(values: Sequence[str]) -> str:
    listed = ", ".join(value for value in dict.fromkeys(values) if value != ANY)
    return f": {listed}" if listed else ""


def _option(param: Any) -> tuple[str, str, str]:
    """Its names, its default, and its help."""
    name = param.name.upper() if param.param_type_name == "argument" else param.opts[0]
    default = "" if param.default in (None, False) else f"`{param.default}`"
    return f"`{name}`", "required" if param.required else default, param.help


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *lines])


def generate() -> None:
    """Write every page anew."""
    for path in sorted(REFERENCE.glob("*.md")):
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    generate()
