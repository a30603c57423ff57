"""`botdel`: every process, and every tool of an operator.

Imports stand inside the commands: the gateway's process must not load a database driver,
and `--help` must not load anything.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deletion.process.run import reported, run, serve

app = typer.Typer(
    name="botdel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Deletes a bot's data reliably across services.",
    epilog="Settings come from BOTDEL_* variables and .env; the table is in README.md.",
)
topology = typer.Typer(no_args_is_help=True, help="Topics, subscriptions and indexes.")
plan = typer.Typer(no_args_is_help=True, help="Look at a plan before it deletes anything.")
jobs = typer.Typer(no_args_is_help=True, help="Look at deletion jobs, and retry them.")
dead_letters = typer.Typer(
    no_args_is_help=True, help="Show, replay or discard messages that were given up."
)
local = typer.Typer(no_args_is_help=True, help="Everything on one machine.")
app.add_typer(topology, name="topology")
app.add_typer(plan, name="plan")
app.add_typer(jobs, name="jobs")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(local, name="local")


def _host(process: str) -> Any:
    return typer.Option(help=f"Address to listen on, instead of BOTDEL_{process}_HOST (127.0.0.1).")


def _port(process: str, default: int) -> Any:
    instead = f"instead of BOTDEL_{process}_PORT ({default})"
    return typer.Option(help=f"Port to listen on, {instead}; 0 takes a free one.")


GatewayHost = Annotated[str | None, _host("GATEWAY")]
GatewayPort = Annotated[int | None, _port("GATEWAY", 8080)]
ConsumerHost = Annotated[str | None, _host("CONSUMER")]
ConsumerPort = Annotated[int | None, _port("CONSUMER", 8081)]
RecoveryHost = Annotated[str | None, _host("RECOVERY")]
RecoveryPort = Annotated[int | None, _port("RECOVERY", 8082)]
_PLAN = "The plan: a YAML file, or package.module:NAME of a Plan in Python."
PlanFile = Annotated[Path, typer.Option("--plan", help=_PLAN)]
File = Annotated[Path, typer.Argument(help=_PLAN)]
BotId = Annotated[str, typer.Argument(help="The bot's id, 24 hex digits.")]
PlanFiles = Annotated[list[Path] | None, typer.Option("--plan", help=f"{_PLAN} May be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JobId = Annotated[str, typer.Argument(help="The job's id, 24 hex digits.")]
JobIds = Annotated[
    list[str] | None, typer.Argument(help="Ids of jobs; without any, filters choose.")
]
Bot = Annotated[str | None, typer.Option(help="Only this bot's, 24 hex digits.")]
LetterId = Annotated[str, typer.Argument(help="The dead letter's id, 24 hex digits.")]
LetterIds = Annotated[
    list[str] | None, typer.Argument(help="Ids of dead letters; without any, filters choose.")
]
Service = Annotated[str | None, typer.Option(help="Only this service's.")]
Reason = Annotated[
    str | None,
    typer.Option(
        help="Only those undecodable, invalid, too_large, too_new, too_many, undelivered."
    ),
]
Most = Annotated[int | None, typer.Option(help="At most so many, the newest first.", min=1)]
Everything = Annotated[bool, typer.Option("--all", help="All that are new.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"botdel {version('bot-deletion-pipeline')}")
        raise typer.Exit


@app.callback()
def botdel(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of `botdel` itself."""


@app.command()
def gateway(host: GatewayHost = None, port: GatewayPort = None) -> None:
    """Answer HTTP DELETE by publishing events. Owns no data."""
    from deletion.process.logs import configure
    from deletion.process.settings import load
    from gateway.main import run as work
    from gateway.settings import GatewaySettings

    settings = load(GatewaySettings, gateway_host=host, gateway_port=port)
    configure(settings.log_format)
    serve(work(settings))


@app.command()
def consumer(plan: PlanFile, host: ConsumerHost = None, port: ConsumerPort = None) -> None:
    """Record the events of one service as jobs, and run them."""
    from consumers.main import run as work
    from consumers.settings import ConsumerSettings
    from deletion.adapters.plan_source import find_plan
    from deletion.process.logs import configure
    from deletion.process.settings import load

    settings = load(ConsumerSettings, consumer_host=host, consumer_port=port)
    source = find_plan(plan)
    configure(settings.log_format)
    serve(work(settings, source))


@app.command()
def recovery(host: RecoveryHost = None, port: RecoveryPort = None) -> None:
    """Serve the private endpoint that starts sweeps, and record dead letters."""
    from deletion.process.logs import configure
    from deletion.process.settings import load
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
    """Start a sweep, as a scheduler does every day. A problem makes it exit other than 0.

    The token comes from BOTDEL_RECOVERY_TOKEN. Exit codes:

    0  the sweep runs; with --wait, it is complete
    1  the sweep failed
    2  the URL, the token or an option cannot be used
    3  recovery cannot be reached, or cannot work now
    4  the token is not accepted
    5  an answer that recovery does not give
    6  with --wait, the sweep did not end in time
    """
    from deletion.process.settings import load
    from recovery.client import recover as call
    from recovery.settings import RecoverSettings

    settings = load(RecoverSettings)
    sys.exit(run(call(url, settings.recovery_token, wait=wait, timeout_seconds=timeout)))


@topology.command("apply")
def topology_apply(plan: PlanFiles = None) -> None:
    """Create what is missing, and print what differs; nothing that exists is changed."""
    from botdel.topology import apply
    from deletion.adapters.plan_source import find_plan
    from deletion.process.settings import load
    from deletion.process.store_settings import TopologySettings

    settings = load(TopologySettings)
    sys.exit(run(apply(settings, [find_plan(path) for path in plan or []])))


@plan.command("check")
def plan_check(file: File, as_json: AsJson = False) -> None:
    """Whether the data of each step can be reached, is indexed, may be deleted, and looks as the
    plan says, and whether each step before the point of no return can be undone.
    """
    from botdel.plan import check
    from deletion.adapters.plan_source import find_plan

    sys.exit(run(check(find_plan(file), as_json=as_json)))


@plan.command("preview")
def plan_preview(file: File, bot_id: BotId, as_json: AsJson = False) -> None:
    """How many items each step would delete of a bot now; nothing is deleted."""
    from botdel.plan import preview
    from deletion.adapters.plan_source import find_plan

    sys.exit(run(preview(find_plan(file), bot_id, as_json=as_json)))


@app.command()
def new_service(
    name: Annotated[str, typer.Argument(help="3 to 63 of a-z, 0-9 and -, a letter first.")],
    directory: Annotated[
        Path | None, typer.Option(help="Where to write the files, instead of ./NAME.")
    ] = None,
) -> None:
    """Write a plan, a step with its tests, and a Dockerfile for a service of one's own."""
    from botdel.new_service.command import new_service as write

    write(name, directory)


@app.command()
def doctor(
    plan: PlanFiles = None,
    canary_timeout: Annotated[
        float, typer.Option(help="Seconds in which the canary has to be recorded.", min=1)
    ] = 60,
    no_canary: Annotated[bool, typer.Option("--no-canary", help="Send no canary.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, topology, indexes, breakers, periods, clocks and the bots that plans name,
    and send a canary.
    """
    from botdel.doctor.command import doctor as examine

    sys.exit(run(examine(plan or [], None if no_canary else canary_timeout, as_json=as_json)))


@jobs.command("list")
def jobs_list(
    service: Service = None,
    bot: Bot = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only those pending, in_progress, failed, complete, compensated or exhausted."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs first; with --status alone, the most recently modified first.

    With --service alone, jobs whose status only a later version knows are left out.
    """
    from botdel.jobs import show_list

    run(show_list(service, bot, status, limit, as_json=as_json))


@jobs.command("show")
def jobs_show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its steps, its attempts, and why it failed."""
    from botdel.jobs import show_one

    run(show_one(job_id, as_json=as_json))


@jobs.command("retry")
def jobs_retry(
    job_ids: JobIds = None,
    service: Service = None,
    bot: Bot = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only those failed, in_progress (and stale), exhausted, compensated or pending "
            "(and parked)."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that are failed, stale or exhausted.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="At most so many, the longest silent first.", min=1)
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make failed, stale or exhausted jobs pending again; spent attempts are restored.

    Jobs that were rolled back or are parked must be named: by id, or with --status.
    """
    from botdel.jobs_retry import chosen, retry

    choice = chosen(job_ids or [], service, bot, status, limit, everything=everything)
    sys.exit(run(retry(choice, dry_run=dry_run, as_json=as_json)))


@dead_letters.command("list")
def dead_letters_list(
    service: Service = None,
    reason: Reason = None,
    status: Annotated[
        str | None, typer.Option(help="Only those new, replayed or discarded.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest dead letters first."""
    from botdel.dead_letters.command import listed, show_list

    run(show_list(listed(service, reason, status), limit, as_json=as_json))


@dead_letters.command("show")
def dead_letters_show(letter_id: LetterId, as_json: AsJson = False) -> None:
    """Show one dead letter: its bytes, their meaning, and where the fault is."""
    from botdel.dead_letters.command import show_one

    run(show_one(letter_id, as_json=as_json))


@dead_letters.command("replay")
def dead_letters_replay(
    letter_ids: LetterIds = None,
    service: Service = None,
    reason: Reason = None,
    everything: Everything = False,
    limit: Most = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also those that came back dead, or are not new.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Publish dead letters again, each to the one service it came from."""
    from botdel.dead_letters.command import chosen, replay

    choice = chosen(letter_ids or [], service, reason, limit, everything=everything)
    sys.exit(run(replay(choice, force=force, dry_run=dry_run, as_json=as_json)))


@dead_letters.command("discard")
def dead_letters_discard(
    letter_ids: LetterIds = None,
    service: Service = None,
    reason: Reason = None,
    everything: Everything = False,
    limit: Most = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mark new dead letters as dealt with; their records stay."""
    from botdel.dead_letters.command import chosen, discard

    choice = chosen(letter_ids or [], service, reason, limit, everything=everything)
    sys.exit(run(discard(choice, dry_run=dry_run, as_json=as_json)))


@local.command("up")
def local_up(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the log of the broker too.")
    ] = False,
) -> None:
    """Start all servers, the gateway, four consumers and recovery; Ctrl-C stops them all."""
    from botdel.local.up import up

    sys.exit(run(up(verbose=verbose)))


@local.command("pubsub")
def local_pubsub(
    host: Annotated[
        str, typer.Option(help="Address to listen on, of this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8585,
    folder: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where to keep everything; without it, only in memory."),
    ] = None,
) -> None:
    """Serve Pub/Sub for tests, demos and development; PUBSUB_EMULATOR_HOST names it to clients."""
    from botdel.local.broker.command import pubsub
    from deletion.process.logs import configure

    configure()
    serve(pubsub(host, port, folder))


@app.command()
def demo() -> None:
    """Delete 40 bots while consumers are killed and an API is down, and check the result."""
    from botdel.local.demo import demo as show

    sys.exit(run(show()))


def main() -> None:
    """The console script; an expected error is `reported`."""
    # Ctrl-C during imports or at exit, outside `run`, ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Process 1 of a container is ended only by signals that it handles.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with reported():
        app()


if __name__ == "__main__":
    main()
