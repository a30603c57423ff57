"""The commands, and what an operator does through them: botdel/, deletion/operating/."""

from typing import Final

from tests.mutations.mutants.base import PLANS, Mutant

ACTING: Final = "deletion/operating/acting.py"
ACTING_ON_JOBS: Final = "deletion/operating/jobs.py"
ACTING_ON_LETTERS: Final = "deletion/operating/dead_letters.py"
NEXT_MOVE: Final = "deletion/operating/next_move.py"
PLAN_COMMAND: Final = "botdel/plan.py"
TERMINAL: Final = "botdel/terminal.py"

MUTANTS: Final = (
    Mutant(
        "a retry by hand takes a job that waits",
        ACTING_ON_JOBS,
        "isinstance(job, Unreadable) or job.is_retryable(now, policy)",
        "True",
        ("unit",),
    ),
    Mutant(
        "a dry run is none",
        ACTING,
        "act.refusal if dry_run else act",
        "act",
        ("unit",),
    ),
    Mutant(
        "a retry by hand trusts any clock",
        ACTING_ON_JOBS,
        "    await check_clock(store, clock, policy)\n",
        "",
        ("unit",),
    ),
    Mutant(
        "a health check is content with any answer",
        "botdel/healthcheck.py",
        "    if status != httpx.codes.OK:\n",
        "    if False:\n",
        ("unit",),
    ),
    Mutant(
        "a health check waits for each read, and not for the whole",
        "botdel/healthcheck.py",
        "        async with asyncio.timeout(timeout_seconds):  # httpx's own is for each read\n",
        "        async with asyncio.timeout(None):\n",
        ("unit",),
    ),
    Mutant(
        "a limit beside ids is ignored",
        "botdel/options.py",
        "    if ids and limit:\n",
        "    if False:\n",
        ("unit",),
    ),
    Mutant(
        "a replay is marked that was not confirmed",
        ACTING_ON_LETTERS,
        "        await self._publisher.publish(replay_message(letter))\n"
        "        await self._mark(letter)\n",
        "        await self._mark(letter)\n"
        "        await self._publisher.publish(replay_message(letter))\n",
    ),
    Mutant(
        "the dry run of a replay does not look whether the message would arrive",
        ACTING_ON_LETTERS,
        " or await self._obstacle(letter.service)",
        "",
        ("unit",),
    ),
    Mutant(
        "an error of every record ends no action",
        ACTING,
        "    if len(in_a_row) >= MOST_ERRORS:",
        "    if False:",
        ("unit",),
    ),
    Mutant(
        "errors of some records end an action",
        ACTING,
        "if len(of_group) == len(records[:left]) else []",
        "",
        ("unit",),
    ),
    Mutant(
        "what is refused uses up a limit",
        ACTING,
        "while records and (left := most - len(tally.done)):",
        "while records and (left := max(0, most - len(tally.done) - len(tally.refused))):",
        ("unit",),
    ),
    Mutant(
        "an error hides what was done beside it",
        ACTING,
        "return_exceptions=True)",
        "return_exceptions=False)",
        ("unit",),
    ),
    Mutant(
        "an error of one record stops the others",
        ACTING,
        "isinstance(answer, Exception) and not isinstance(answer, TransientError)",
        "False",
        ("unit",),
    ),
    Mutant(
        "a record that cannot be read is passed over without a word",
        ACTING,
        "        tally.refused.update(\n",
        "        dict[str, str]().update(\n",
        ("unit",),
    ),
    Mutant(
        "text of others is read as markup",
        TERMINAL,
        'options |= {"markup": False, "emoji": False}',
        'options |= {"emoji": False}',
        ("unit",),
    ),
    Mutant(
        "a string's control characters are not escaped",
        TERMINAL,
        'escaped(text, keep="\\n\\t")',
        "text",
        ("unit",),
    ),
    Mutant(
        "a text's control characters reach the terminal",
        TERMINAL,
        "if segment.control or segment.text.isprintable():",
        "if True:",
        ("unit",),
    ),
    Mutant(
        "a field of a record may look like two",
        TERMINAL,
        "return Text(escaped(text, keep=keep))",
        'return Text(escaped(text, keep="\\n"))',
        ("unit",),
    ),
    Mutant(
        "what is waited for is read as markup",
        TERMINAL,
        "yield lambda text: status.update(printable(text))",
        "yield status.update",
        ("unit",),
    ),
    Mutant(
        "a list is cut off and does not say so",
        "botdel/jobs.py",
        "    if len(found) > limit:\n",
        "    if False:\n",
        ("unit",),
    ),
    Mutant(
        "the place of an attempt in a rollback reads as if it had gone forward",
        "botdel/jobs.py",
        "is_rollback = past.direction is Direction.BACKWARD",
        "is_rollback = False",
        ("unit",),
    ),
    Mutant(
        "an operator is told that a retry only saves the wait where it runs over the point instead",
        NEXT_MOVE,
        "    if job.may_roll_back:\n        undoes",
        "    if False:\n        undoes",
        ("unit",),
    ),
    Mutant(
        "an error of a count takes the preview down",
        PLAN_COMMAND,
        "except Exception as error:  # noqa: BLE001 - see `guarded`",
        "except TransientError as error:",
        ("looks",),
    ),
    Mutant(
        "a count that hangs never ends",
        PLAN_COMMAND,
        "async with within(COUNT_SECONDS):",
        "async with within(3600):",
        ("looks",),
    ),
    Mutant(
        "doubts are not shown",
        PLAN_COMMAND,
        "return [warning(check, doubt.what, doubt.remedy) for doubt in doubts]",
        "return []",
        ("looks",),
    ),
    Mutant(
        "a rollback is said to have undone what it has not",
        NEXT_MOVE,
        "kept = [name for name in begun if name not in undone]",
        "kept: list[str] = []",
        ("unit",),
    ),
    Mutant(
        "topology apply: an election ends a build that has taken longer than --wait",
        "botdel/topology.py",
        "since, back_off = inf,",
        "since, back_off = clock.monotonic(),",
        ("unit",),
    ),
    Mutant(
        "topology apply: only the first election during a build is survived",
        "botdel/topology.py",
        "if isinstance(error, BuildInterrupted) and now - began >= PROGRESS_SECONDS:",
        "if False:",
        ("unit",),
    ),
    Mutant(
        "topology apply: nobody is told which subscriptions stop the ledger",
        "botdel/topology.py",
        'raise ConfigurationError(error.what, f"{error.remedy}; {waits}") from error',
        "raise",
        ("unit",),
    ),
    Mutant(
        "topology apply: many short calls before a database that is down count as progress",
        "botdel/topology.py",
        "isinstance(error, BuildInterrupted) and now - began",
        "now - began",
        ("unit",),
    ),
    Mutant(
        "plan check: an odd document or an API that is down stops each new consumer",
        PLAN_COMMAND,
        "if each.status is Verdict.FAILED else each",
        "if False else each",
        PLANS,
    ),
    Mutant(
        "plan check: a missing compensation is nothing to speak of",
        PLAN_COMMAND,
        "if undo is None:",
        "if False:",
        PLANS,
    ),
    Mutant(
        "plan check: compensations are not looked at",
        PLAN_COMMAND,
        "for name in _undoable(plan)",
        "for name in ()",
        PLANS,
    ),
    Mutant(
        "plan check: an API gets all checks at once",
        PLAN_COMMAND,
        "return [finding for check in checks for finding in await check]",
        "return await together(*checks)",
        PLANS,
    ),
)
