"""A consumer of a team's own, over a plan made in Python: what `botdel consumer` is to a file."""

from typing import NoReturn

from consumers.main import run as consume
from consumers.settings import ConsumerSettings
from deletion.adapters.plan_source import PlanSource, source_of
from deletion.plan import Plan
from deletion.process.logs import configure
from deletion.process.run import reported, serve
from deletion.process.settings import load


def run(plan: Plan | PlanSource) -> NoReturn:
    """Run a consumer until a signal, and exit: the last statement of a program.

    Settings come from the environment and `.env`, as those of `botdel consumer` do, and errors and
    exit codes are the same: 0 after SIGTERM or SIGINT, 1 for a failure, 2 for a wrong setting or
    plan. Steps must not block the event loop: the heartbeat runs on it. A plan whose steps have to
    be made inside the running process is given as a `PlanSource`.
    """
    with reported():
        settings = load(ConsumerSettings)
    configure(settings.log_format)
    serve(consume(settings, source_of(plan)))
