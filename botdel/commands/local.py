"""`botdel local`: servers on one machine."""

import sys
from typing import Annotated

import typer

from botdel.extras import imported_from
from deletion.process.run import run, serve

app = typer.Typer(no_args_is_help=True, help="Run everything on one machine.")


@app.command("up")
def local_up(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the log of the broker too.")
    ] = False,
) -> None:
    """Start all servers, the gateway, four consumers and recovery; Ctrl-C stops them all."""
    with imported_from("local"):
        from botdel.local.up import up

    sys.exit(run(up(verbose=verbose)))


@app.command("pubsub")
def local_pubsub(
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8585,
    folder: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder to keep everything in, instead of in memory."),
    ] = None,
) -> None:
    """Serve Pub/Sub for tests, demos and development; clients find it by PUBSUB_EMULATOR_HOST."""
    from botdel.local.broker.command import pubsub
    from deletion.process.logs import configure

    configure()
    serve(pubsub(host, port, folder))
