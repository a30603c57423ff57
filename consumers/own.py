"""Runs a team's own consumer with a plan in Python, as `botdel consumer` does with a plan file."""

from typing import NoReturn

from consumers.main import run as consume
from consumers.settings import ConsumerSettings
from deletion.adapters.plan_source import PlanSource, source_of
from deletion.plan import Plan
from deletion.process.logs import configure
from deletion.process.run import reported, serve
from deletion.process.settings import load


def run(plan: Plan | PlanSource) -> NoReturn:
    """Run a consumer until a signal, and exit. Call this as the last statement of a program.

    Settings, error messages and exit codes are those of `botdel consumer`: settings come from the
    environment and `.env`, and the process exits with 0 after SIGTERM or SIGINT, 1 after a failure,
    and 2 for a wrong setting or plan. Steps must not block the event loop, because the heartbeat
    runs on it. If steps can only be made inside the running process, pass a `PlanSource`.
    """
    with reported():
        settings = load(ConsumerSettings)
    configure(settings.log_format)
    serve(consume(settings, source_of(plan)))
