"""`botdel jobs`: deletion jobs, for operators."""

import sys
from typing import Annotated

import typer

from botdel.commands import LISTED, AsJson, DryRun, Limit, Service, Why
from deletion.process.run import run

app = typer.Typer(no_args_is_help=True, help="Look at deletion jobs, and retry them.")
JobId = Annotated[str, typer.Argument(help="The job's id, 24 hex digits.")]
JobIds = Annotated[list[str] | None, typer.Argument(help="Ids of jobs; without ids, use filters.")]
Bot = Annotated[str | None, typer.Option(help="Only this bot's, 24 hex digits.")]


@app.command("list")
def jobs_list(
    service: Service = None,
    bot: Bot = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only this status: pending, in_progress, failed, complete, compensated or "
            "exhausted."
        ),
    ] = None,
    limit: Limit = LISTED,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first; with --status alone, most recently modified first.

    With --service alone, jobs whose status this version does not know are left out.
    """
    from botdel.jobs import show_list

    run(show_list(service, bot, status, limit, as_json=as_json))


@app.command("show")
def jobs_show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its steps, its attempts, and why it failed."""
    from botdel.jobs import show_one

    run(show_one(job_id, as_json=as_json))


@app.command("retry")
def jobs_retry(
    job_ids: JobIds = None,
    service: Service = None,
    bot: Bot = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only this status: failed, in_progress (if stale), exhausted, compensated or "
            "pending (if parked)."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All failed, stale and exhausted jobs.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="At most this many, longest silent first.", min=1)
    ] = None,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make failed, stale or exhausted jobs pending again, with all their attempts.

    Compensated and parked jobs are retried only when chosen by id or with --status.
    """
    from botdel.jobs_retry import chosen, retry

    choice = chosen(job_ids or [], service, bot, status, limit, everything=everything)
    sys.exit(run(retry(choice, why, dry_run=dry_run, as_json=as_json)))
