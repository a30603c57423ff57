"""`botdel services`: which services owe the requests that are received."""

import sys
from typing import Annotated

import typer

from botdel.commands import AsJson
from deletion.process.run import run

app = typer.Typer(no_args_is_help=True, help="Look at the services, and retire one.")


@app.command("list")
def services_list(as_json: AsJson = False) -> None:
    """List the services, retired ones too. `botdel topology apply` registers those of its plans."""
    from botdel.services import show_list

    run(show_list(as_json=as_json))


@app.command("retire")
def services_retire(
    name: Annotated[str, typer.Argument(help="The service's name.")],
    why: Annotated[str, typer.Option(help="Why: for the record of operators' actions.")],
) -> None:
    """Decide that a service owes no request that is received from now on.

    What it owes already stays owed. `botdel topology apply` with its plan brings it back.
    """
    from botdel.services import retire

    sys.exit(run(retire(name, why)))
