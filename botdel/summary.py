"""Runs an action on many records for a command, and prints what was done and what was refused."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from botdel.terminal import console, printable, waiting
from deletion.operating.acting import Tally
from deletion.process.run import FAILED


@dataclass(frozen=True, slots=True)
class Wording:
    """How a command reports: `done` is the participle of what it does, such as "replayed".

    `hint` is printed when something was done; `{id}` in it stands for the id, if there is one only.
    """

    done: str
    hint: str = ""


async def carry_out(
    act: Callable[[Tally, Callable[[], None]], Awaitable[None]],
    wording: Wording,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run `act`, which fills the tally and calls its second argument to show its progress.

    The outcome is printed even if `act` raises an error. Returns 1 if a record was refused, else 0.
    """
    tally = Tally()

    def counts() -> str:
        done = f"to be {wording.done}" if dry_run else wording.done
        return f"{len(tally.done):,} {done}, {len(tally.refused):,} refused"

    try:
        with waiting(counts()) as say:
            await act(tally, lambda: say(counts()))
    finally:
        if as_json:
            print(json.dumps(_as_dict(tally, wording, dry_run=dry_run)))
        else:
            _print(tally, counts(), wording, dry_run=dry_run)
    return FAILED if tally.refused else 0


def _as_dict(tally: Tally, wording: Wording, *, dry_run: bool) -> dict[str, object]:
    """Return the outcome for machines. A dry run has done nothing, so it lists nothing as done."""
    if dry_run:
        outcome = {wording.done: [], f"to_be_{wording.done}": tally.done}
    else:
        outcome = {wording.done: tally.done}
    return {**outcome, "refused": tally.refused, "dry_run": dry_run}


def _print(tally: Tally, counts: str, wording: Wording, *, dry_run: bool) -> None:
    out = console()
    for record_id, why in tally.refused.items():
        out.print(printable(f"{record_id} is refused: {why}"), soft_wrap=True)
    for record_id in tally.done if dry_run else ():
        out.print(f"  {record_id}")
    out.print(counts)
    if tally.done and wording.hint and not dry_run:
        one = tally.done[0] if len(tally.done) == 1 else "ID"
        out.print(wording.hint.replace("{id}", one))
