"""The groups of `botdel` commands, one module each, and the options that several of them share."""

from pathlib import Path
from typing import Annotated, Final

import typer

PLAN: Final = "The plan: a YAML file, or package.module:NAME of a Plan in Python."
PlanFile = Annotated[Path, typer.Option("--plan", help=PLAN)]
PlanFiles = Annotated[list[Path] | None, typer.Option("--plan", help=f"{PLAN} May be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Service = Annotated[str | None, typer.Option(help="Only this service's.")]
Limit = Annotated[int, typer.Option(help="At most this many.", min=1)]
LISTED: Final = 50
"""Records that a list shows unless `--limit` says otherwise."""
Why = Annotated[str, typer.Option(help="Why: for the record of operators' actions.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")]
