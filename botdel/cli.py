"""`botdel`: every process, and every tool of an operator.

Imports stand inside the commands: the gateway's process must not load a database driver,
and `--help` must not load anything.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from botdel.run import exit_code, run, serve
from deletion.errors import BotDeletionError

app = typer.Typer(
    name="botdel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Deletes a bot's data reliably across services.",
    epilog="Settings come from BOTDEL_* variables and .env; the table is in README.md.",
)
topology = typer.Typer(no_args_is_help=True, help="Topics, subscriptions and indexes.")
jobs = typer.Typer(no_args_is_help=True, help="Look at deletion jobs, and send one on.")
local = typer.Typer(no_args_is_help=True, help="Everything on one machine.")
app.add_typer(topology, name="topology")
app.add_typer(jobs, name="jobs")
app.add_typer(local, name="local")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
PlanFile = Annotated[Path, typer.Option("--plan", help="The plan file (YAML).")]
PlanFiles = Annotated[
    list[Path] | None, typer.Option("--plan", help="A plan file; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JobId = Annotated[str, typer.Argument(help="The job's id, 24 hex digits.")]


@app.command()
def gateway(host: Host = None, port: Port = None) -> None:
    """Answer HTTP DELETE by publishing events. Owns no data."""
    from deletion.adapters.logs import configure
    from deletion.adapters.settings import load
    from gateway.main import run as work
    from gateway.settings import GatewaySettings

    settings = load(GatewaySettings, gateway_host=host, gateway_port=port)
    configure(settings.log_format)
    serve(work(settings))


@app.command()
def consumer(plan: PlanFile, host: Host = None, port: Port = None) -> None:
    """Record the events of one service as jobs, and run them."""
    from consumers.main import run as work
    from consumers.settings import ConsumerSettings
    from deletion.adapters.logs import configure
    from deletion.adapters.plan_file import read_plan
    from deletion.adapters.settings import load

    settings = load(ConsumerSettings, consumer_host=host, consumer_port=port)
    plan_file = read_plan(plan)
    configure(settings.log_format)
    serve(work(settings, plan_file))


@app.command()
def recovery(host: Host = None, port: Port = None) -> None:
    """Serve the private endpoint that starts sweeps."""
    from deletion.adapters.logs import configure
    from deletion.adapters.settings import load
    from recovery.main import run as work
    from recovery.settings import RecoverySettings

    settings = load(RecoverySettings, recovery_host=host, recovery_port=port)
    configure(settings.log_format)
    serve(work(settings))


@app.command()
def recover(
    url: Annotated[str, typer.Option(help="Where recovery listens, http://host:port.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the sweep has ended.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at the most.", min=1)] = 600,
) -> None:
    """Start a sweep: what a scheduler calls every day. Exits other than 0 to make it alert."""
    from deletion.adapters.settings import load
    from recovery.client import recover as call
    from recovery.settings import RecoverSettings

    settings = load(RecoverSettings)
    sys.exit(run(call(url, settings.recovery_token, wait=wait, timeout_seconds=timeout)))


@topology.command("apply")
def topology_apply(plan: PlanFiles = None) -> None:
    """Create what is missing and say what differs; nothing that exists is changed."""
    from botdel.topology import apply
    from deletion.adapters.plan_file import read_plan
    from deletion.adapters.settings import load
    from deletion.adapters.store_settings import OperatorSettings

    settings = load(OperatorSettings)
    sys.exit(run(apply(settings, [read_plan(path) for path in plan or []])))


@jobs.command("list")
def jobs_list(
    service: Annotated[str | None, typer.Option(help="Only this service's.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only this bot's, 24 hex digits.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only those in_progress, failed, complete or exhausted.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest jobs first."""
    from botdel.jobs import show_list

    run(show_list(service, bot, status, limit, as_json=as_json))


@jobs.command("show")
def jobs_show(job_id: JobId, as_json: AsJson = False) -> None:
    """One job: its steps, its attempts, and why it failed."""
    from botdel.jobs import show_one

    run(show_one(job_id, as_json=as_json))


@jobs.command("retry")
def jobs_retry(job_id: JobId, as_json: AsJson = False) -> None:
    """Send a failed, stale or exhausted job on, with all its attempts if they were spent."""
    from botdel.jobs import retry

    run(retry(job_id, as_json=as_json))


@local.command("up")
def local_up() -> None:
    """Start emulator, MongoDB, gateway, two consumers and recovery; Ctrl-C takes all down."""
    from local.up import up

    sys.exit(run(up()))


@app.command()
def demo() -> None:
    """Delete some dozens of bots, break things meanwhile, and prove that it worked."""
    from local.demo import demo as show

    sys.exit(run(show()))


def main() -> None:
    """The console script: an error of this project's own is a sentence and an exit code."""
    try:
        app()
    except (BotDeletionError, OSError) as error:
        print(f"botdel: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
