"""The `botdel` command: starts every process, and holds the operators' tools.

The groups of commands are in botdel/commands/. Each command imports what it needs in its own
function: the gateway must not load a database driver, and `--help` must not load anything.
"""

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from botdel.commands import (
    AsJson,
    PlanFile,
    PlanFiles,
    actions,
    dead_letters,
    jobs,
    local,
    plan,
    requests,
    services,
    topology,
)
from botdel.extras import imported_from
from deletion import __version__
from deletion.process.run import reported, run, serve

app = typer.Typer(
    name="botdel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Deletes a bot's data reliably across services.",
    epilog="Settings come from BOTDEL_* variables and .env: see docs/reference/configuration.md.",
)
app.add_typer(topology.app, name="topology")
app.add_typer(plan.app, name="plan")
app.add_typer(jobs.app, name="jobs")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(requests.app, name="requests")
app.add_typer(services.app, name="services")
app.add_typer(actions.app, name="actions")
app.add_typer(local.app, name="local")


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
ConsoleHost = Annotated[str | None, _host("CONSOLE")]
ConsolePort = Annotated[int | None, _port("CONSOLE", 8083)]
NewName = Annotated[
    str,
    typer.Argument(
        help="3 to 63 characters: a-z, 0-9 and `-`, beginning with a letter, not ending with `-`."
    ),
]


def _show_version(asked: bool) -> None:
    if asked:
        print(f"botdel {__version__}")
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
    """Accept HTTP DELETE requests and publish them as events. Holds no data."""
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
def console(host: ConsoleHost = None, port: ConsolePort = None) -> None:
    """Show requests, jobs and dead letters in a browser."""
    from console.main import run as work
    from console.settings import ConsoleSettings
    from deletion.process.logs import configure
    from deletion.process.settings import load

    settings = load(ConsoleSettings, console_host=host, console_port=port)
    configure(settings.log_format)
    serve(work(settings))


@app.command()
def recover(
    url: Annotated[str, typer.Option(help="Where recovery listens, http://host:port.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the sweep has ended.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait, at most.", min=1)] = 600,
    every: Annotated[
        float | None,
        typer.Option(help="Seconds between calls, which then go on until SIGTERM.", min=1),
    ] = None,
) -> None:
    """Start a sweep. Meant for a scheduler, which may run it every day.

    Without a scheduler, use --every 86400: it calls every day, and after any exit code but 0 and 2
    again a minute later, then after twice as long each time. It exits with 0 when it is stopped, or
    with 2.

    The token comes from BOTDEL_RECOVERY_TOKEN. Exit codes:

    0  the sweep has started; with --wait, it has completed
    1  the sweep failed
    2  the URL, the token or an option is invalid
    3  recovery cannot be reached, or is not ready
    4  recovery did not accept the token
    5  the answer is not one of recovery's
    6  with --wait, the sweep did not end in time
    """
    from deletion.clock import SystemClock
    from deletion.process.settings import load
    from recovery.client import recover as start
    from recovery.repeating import repeat_until_stopped
    from recovery.settings import RecoverSettings

    token = load(RecoverSettings).token
    call = partial(start, url, token, wait=wait, timeout_seconds=timeout)
    sys.exit(run(repeat_until_stopped(call, every, SystemClock()) if every else call()))


@app.command()
def healthcheck(
    port: Annotated[int, typer.Option(help="Port of the process.", min=1, max=65_535)],
    host: Annotated[str, typer.Option(help="Address that it listens on.")] = "127.0.0.1",
    path: Annotated[str, typer.Option(help="Path of the probe: /healthz or /readyz.")] = "/healthz",
    timeout: Annotated[float, typer.Option(help="Seconds to wait, at most.", min=0.1)] = 5,
) -> None:
    """Ask the process in this container whether it is healthy. Exits with 0 if the probe answers
    200, otherwise with 1; with 2 if an option is invalid.
    """
    from botdel.healthcheck import healthcheck as ask

    sys.exit(run(ask(host, port, path, timeout)))


@app.command()
def new_service(
    name: NewName,
    directory: Annotated[
        Path | None, typer.Option(help="Where to write the files, instead of ./NAME.")
    ] = None,
) -> None:
    """Write a plan, a step with its tests, and a Dockerfile for a new service."""
    from botdel.new_service.command import new_service as write

    write(name, directory)


@app.command()
def doctor(
    plan: PlanFiles = None,
    canary_timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the canary to be recorded.", min=1)
    ] = 60,
    no_canary: Annotated[bool, typer.Option("--no-canary", help="Send no canary.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for faults in settings, topology, indexes, plans and clocks, and send a canary."""
    from botdel.doctor.command import doctor as examine

    sys.exit(run(examine(plan or [], None if no_canary else canary_timeout, as_json=as_json)))


@app.command()
def demo(
    console: Annotated[
        bool,
        typer.Option("--console", help="Then show what happened in a browser, until Ctrl-C."),
    ] = False,
) -> None:
    """Delete 20 bots while processes die and an API is down, and check the result."""
    with imported_from("local"):
        from botdel.local.demo import demo as show

    sys.exit(run(show(with_console=console)))


def main() -> None:
    """Run the command line. An expected error is printed without a traceback."""
    # Ctrl-C during imports or at exit, outside `run`, ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # As process 1 of a container, it ends only on signals that it handles.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with reported():
        app()


if __name__ == "__main__":
    main()
