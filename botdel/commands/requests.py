"""`botdel requests`: who asked for which deletion, and which services still owe it."""

import sys
from typing import Annotated

import typer

from botdel.commands import LISTED, AsJson, Limit
from deletion.process.run import run

app = typer.Typer(
    no_args_is_help=True, help="Look at requests, and waive what a service owes of one."
)
EventId = Annotated[str, typer.Argument(help="The event's id, a UUID, from the gateway's answer.")]


@app.command("list")
def requests_list(
    bot: Annotated[str | None, typer.Option(help="Only this bot's, 24 hex digits.")] = None,
    owed_by: Annotated[str | None, typer.Option(help="Only what this service still owes.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only this state: open, overdue or settled.")
    ] = None,
    limit: Limit = LISTED,
    as_json: AsJson = False,
) -> None:
    """List requests, the last received first."""
    from botdel.requests import show_list

    run(show_list(bot, owed_by, state, limit, as_json=as_json))


@app.command("show")
def requests_show(event_id: EventId, as_json: AsJson = False) -> None:
    """Show one request: which services owe it, and what settled the others."""
    from botdel.requests import show_one

    run(show_one(event_id, as_json=as_json))


@app.command("waive")
def requests_waive(
    event_id: EventId,
    service: Annotated[str, typer.Argument(help="The service that no longer owes it.")],
    why: Annotated[str, typer.Option(help="Why: for the record of operators' actions.")],
    as_json: AsJson = False,
) -> None:
    """Decide that a service no longer owes a request. This deletes nothing."""
    from botdel.requests import waive

    sys.exit(run(waive(event_id, service, why, as_json=as_json)))
