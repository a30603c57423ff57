"""`botdel actions`: what operators did, and why."""

from typing import Annotated

import typer

from botdel.commands import LISTED, AsJson, Limit
from deletion.process.run import run

app = typer.Typer(no_args_is_help=True, help="Look at what operators did.")
ActionId = Annotated[str, typer.Argument(help="The action's id, 24 hex digits.")]


@app.command("list")
def actions_list(
    by: Annotated[str | None, typer.Option(help="Only what this operator did.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only this kind: retry, replay, discard, waive, retire or sweep."),
    ] = None,
    limit: Limit = LISTED,
    as_json: AsJson = False,
) -> None:
    """List what operators did, newest first."""
    from botdel.actions import show_list

    run(show_list(by, kind, limit, as_json=as_json))


@app.command("show")
def actions_show(action_id: ActionId, as_json: AsJson = False) -> None:
    """Show one action: who did it and why, to which records, and what came of each."""
    from botdel.actions import show_one

    run(show_one(action_id, as_json=as_json))
