"""`botdel topology`: the topics, subscriptions and indexes of an installation."""

import sys
from functools import partial
from typing import Annotated

import typer

from botdel.commands import PlanFiles
from deletion.process.run import run

app = typer.Typer(no_args_is_help=True, help="Topics, subscriptions and indexes.")


OnlyServices = Annotated[
    bool,
    typer.Option(
        "--only-services",
        help="Only what belongs to the services of the plans: their subscriptions, their "
        "registration, and what their steps need.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        help="Seconds to try again, at most, while MongoDB or Pub/Sub does not answer, or a topic "
        "is not there yet; counted from the first of consecutive failures.",
        min=0,
        max=86_400,
    ),
]


@app.command("apply")
def topology_apply(
    plan: PlanFiles = None, only_services: OnlyServices = False, wait: Wait = 0
) -> None:
    """Create what is missing, and print what differs; nothing that exists is changed.

    Exits with 1 if something differs or does not answer, with 2 if a plan or a setting is wrong.
    """
    from botdel.topology import apply, apply_within
    from deletion.adapters.plan_source import find_plan
    from deletion.clock import SystemClock
    from deletion.process.settings import load
    from deletion.process.store_settings import TopologySettings

    settings = load(TopologySettings)
    plans = [find_plan(path) for path in plan or []]
    if only_services and not plans:
        raise typer.BadParameter("expected --plan with it", param_hint="--only-services")
    applying = partial(apply, settings, plans, only_services=only_services)
    sys.exit(run(apply_within(applying, wait, SystemClock())))
