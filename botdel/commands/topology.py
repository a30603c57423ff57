"""`botdel topology`: the topics, subscriptions and indexes of an installation."""

import sys

import typer

from botdel.commands import PlanFiles
from deletion.process.run import run

app = typer.Typer(no_args_is_help=True, help="Topics, subscriptions and indexes.")


@app.command("apply")
def topology_apply(plan: PlanFiles = None) -> None:
    """Create what is missing, and print what differs; nothing that exists is changed."""
    from botdel.topology import apply
    from deletion.adapters.plan_source import find_plan
    from deletion.process.settings import load
    from deletion.process.store_settings import TopologySettings

    settings = load(TopologySettings)
    sys.exit(run(apply(settings, [find_plan(path) for path in plan or []])))
