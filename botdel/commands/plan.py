"""`botdel plan`: what a plan would do."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from botdel.commands import PLAN, AsJson
from deletion.process.run import run

app = typer.Typer(no_args_is_help=True, help="Look at a plan before it deletes anything.")
File = Annotated[Path, typer.Argument(help=PLAN)]
BotId = Annotated[str, typer.Argument(help="The bot's id, 24 hex digits.")]


Start = Annotated[
    bool,
    typer.Option(
        "--start",
        help="For use before a consumer starts: exit with 1 only if an index or a right is missing "
        "or cannot be looked up; everything else is a warning.",
    ),
]


@app.command("check")
def plan_check(file: File, as_json: AsJson = False, start: Start = False) -> None:
    """Check that each step's data can be reached, is indexed, may be deleted and looks as the plan
    says, and that each step before the point of no return can be undone.
    """
    from botdel.plan import check
    from deletion.adapters.plan_source import find_plan

    sys.exit(run(check(find_plan(file), as_json=as_json, start=start)))


@app.command("preview")
def plan_preview(file: File, bot_id: BotId, as_json: AsJson = False) -> None:
    """Count the items that each step would delete of a bot now; nothing is deleted."""
    from botdel.plan import preview
    from deletion.adapters.plan_source import find_plan

    sys.exit(run(preview(find_plan(file), bot_id, as_json=as_json)))
