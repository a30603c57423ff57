"""Intake, and what a consumer is made of: consumers/."""

from typing import Final

from tests.mutations.mutants.base import Mutant

CONSUMER: Final = "consumers/loop.py"
INTAKE: Final = "consumers/intake.py"

MUTANTS: Final = (
    Mutant(
        "a step that never says what it lacks keeps its consumer from starting",
        "consumers/main.py",
        "await asyncio.wait(asked, timeout=seconds)",
        "await asyncio.wait(asked)",
        ("unit",),
    ),
    Mutant(
        "an ack comes before its record",
        INTAKE,
        "        foreign = [each for",
        "        await self._subscription.ack(deliveries)\n        foreign = [each for",
    ),
    Mutant(
        "jobs are acked after the dead letters of their group",
        INTAKE,
        "        await self._ack(taken)\n        return taken + await self._take_letters(full, began)\n",
        "        letters = await self._take_letters(full, began)\n"
        "        await self._ack(taken)\n        return taken + letters\n",
    ),
    Mutant(
        "a dead letter is tried for ever",
        INTAKE,
        "async with asyncio.timeout(min(RETRY_WITHIN, self._left(began))):",
        "async with asyncio.timeout(None):",
    ),
    Mutant(
        "a record is tried again after its time, because the pause before it is not counted",
        INTAKE,
        "            if late := too_late():  # a pause before another try may have made it so\n"
        "                raise late\n",
        "",
        ("unit",),
    ),
    Mutant(
        "what the database could not take is acked",
        INTAKE,
        "return _all([each.delivery for each in placed], Outcome.RETURNED)",
        "return _all([each.delivery for each in placed], Outcome.KNOWN)",
    ),
    Mutant(
        "poison is acked and not recorded",
        INTAKE,
        "            await self._quarantine.record(letters)\n",
        "            pass\n",
    ),
    Mutant(
        "what is addressed to another service is taken",
        INTAKE,
        'attributes.get("service", self._service) != self._service',
        'attributes.get("service", self._service) == ""',
    ),
    Mutant(
        "a request beyond the limit is taken for joined",
        INTAKE,
        "if recorded.outcome is not RecordOutcome.FULL:",
        "if True:",
    ),
    Mutant(
        "nobody is told that an exhausted job was joined",
        INTAKE,
        "if each.outcome is RecordOutcome.JOINED and each.is_exhausted:",
        "if each.outcome is RecordOutcome.JOINED and False:",
    ),
    Mutant(
        "one bad event stops its group",
        INTAKE,
        "if len(placed) == 1:",
        "if len(placed) >= 1:",
    ),
    Mutant(
        "a record is tried for ever",
        INTAKE,
        "late = self._clock.monotonic() >= began + RETRY_WITHIN",
        "late = False",
    ),
    Mutant(
        "a record is tried for as long as the clock is set back",
        INTAKE,
        "late = self._clock.monotonic() >= began + RETRY_WITHIN",
        "late = (self._clock.now() - jobs[0].created_at).total_seconds() >= RETRY_WITHIN",
    ),
    Mutant(
        "a slow join is cut off when no other try may begin",
        INTAKE,
        "RECORD_WITHIN: Final = 40.0",
        "RECORD_WITHIN: Final = 15.0",
    ),
    Mutant(
        "a record goes on beyond the ack deadline",
        INTAKE,
        "async with asyncio.timeout(self._left(began)):",
        "async with asyncio.timeout(None):",
    ),
    Mutant(
        "dead letters of full jobs are recorded beyond the ack deadline",
        INTAKE,
        "min(RETRY_WITHIN, self._left(began))",
        "RETRY_WITHIN",
    ),
    Mutant(
        "a database that takes no writes is pulled for",
        CONSUMER,
        "StorageCheck(store.check_writes)",
        "StorageCheck(store.ping)",
    ),
    Mutant(
        "what was pulled is taken in although the clock was set meanwhile",
        CONSUMER,
        "            await self._check()  #",
        "            #",
    ),
    Mutant(
        "events are taken in under a wrong clock",
        CONSUMER,
        "            await self._check()\n",
        "",
    ),
    Mutant(
        "a pull that is refused ends the runs",
        CONSUMER,
        "except BotDeletionError as error:",
        "except ZeroDivisionError as error:",
    ),
    Mutant(
        "a database that takes nothing is sent whole groups",
        CONSUMER,
        "limit = PROBE_LIMIT if self._failures else PULL_LIMIT",
        "limit = PULL_LIMIT",
    ),
    Mutant(
        "one message that cannot be stored hides that others can",
        CONSUMER,
        "limit = PROBE_LIMIT if self._failures else PULL_LIMIT",
        "limit = 1 if self._failures else PULL_LIMIT",
    ),
    Mutant(
        "one message that cannot be stored holds up the others of its group",
        CONSUMER,
        "if outcomes & STORED:",
        "if Outcome.RETURNED not in outcomes:",
    ),
    Mutant(
        "a group that was stored does not end the probes",
        CONSUMER,
        "            self._failures = 0\n",
        "            pass\n",
    ),
    Mutant(
        "groups go out beside a probe",
        CONSUMER,
        "(1 if self._failures else GROUPS)",
        "GROUPS",
    ),
    Mutant(
        "groups in memory are not bounded",
        CONSUMER,
        "(1 if self._failures else GROUPS)",
        "1000",
    ),
    Mutant(
        "workers are not woken by what was recorded",
        CONSUMER,
        "                worker.wake()\n",
        "                pass\n",
    ),
    Mutant(
        "a worker that breaks off leaves the intake behind",
        CONSUMER,
        "task.add_done_callback(lambda _: self._stopping.set())",
        "pass",
    ),
    Mutant(
        "pulling goes on while the database is away",
        CONSUMER,
        "            self._database.invalidate()\n",
        "",
    ),
    Mutant(
        "pulling begins before the database has answered",
        "deletion/pulling.py",
        "        self._check = check\n        self.has_passed = False",
        "        self._check = check\n        self.has_passed = True",
    ),
    Mutant(
        "a database that takes nothing wears out deliveries",
        CONSUMER,
        "            self._failures += 1\n",
        "",
    ),
)
