"""`botdel dead-letters`: messages that could not be processed."""

import sys
from typing import Annotated

import typer

from botdel.commands import LISTED, AsJson, DryRun, Limit, Service, Why
from deletion.process.run import run

app = typer.Typer(
    no_args_is_help=True, help="Show, replay or discard messages that could not be processed."
)
LetterId = Annotated[str, typer.Argument(help="The dead letter's id, 24 hex digits.")]
LetterIds = Annotated[
    list[str] | None, typer.Argument(help="Ids of dead letters; without ids, use filters.")
]
Reason = Annotated[
    str | None,
    typer.Option(
        help="Only this reason: undecodable, invalid, too_large, too_new, too_many or undelivered."
    ),
]
Most = Annotated[int | None, typer.Option(help="At most this many, newest first.", min=1)]
Everything = Annotated[bool, typer.Option("--all", help="All new dead letters.")]


@app.command("list")
def dead_letters_list(
    service: Service = None,
    reason: Reason = None,
    status: Annotated[
        str | None, typer.Option(help="Only this status: new, replayed or discarded.")
    ] = None,
    limit: Limit = LISTED,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    from botdel.dead_letters.command import filtered, show_list

    run(show_list(filtered(service, reason, status), limit, as_json=as_json))


@app.command("show")
def dead_letters_show(letter_id: LetterId, as_json: AsJson = False) -> None:
    """Show one dead letter: its bytes, its decoded fields, and where the fault is."""
    from botdel.dead_letters.command import show_one

    run(show_one(letter_id, as_json=as_json))


@app.command("replay")
def dead_letters_replay(
    letter_ids: LetterIds = None,
    service: Service = None,
    reason: Reason = None,
    everything: Everything = False,
    limit: Most = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also those that a replay brought back, or are not new.")
    ] = False,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Publish dead letters again, each to the one service it came from."""
    from botdel.dead_letters.command import chosen, replay

    choice = chosen(letter_ids or [], service, reason, limit, everything=everything)
    sys.exit(run(replay(choice, why, force=force, dry_run=dry_run, as_json=as_json)))


@app.command("discard")
def dead_letters_discard(
    letter_ids: LetterIds = None,
    service: Service = None,
    reason: Reason = None,
    everything: Everything = False,
    limit: Most = None,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mark new dead letters as discarded; their records are kept."""
    from botdel.dead_letters.command import chosen, discard

    choice = chosen(letter_ids or [], service, reason, limit, everything=everything)
    sys.exit(run(discard(choice, why, dry_run=dry_run, as_json=as_json)))
