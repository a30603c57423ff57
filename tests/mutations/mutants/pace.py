"""The pace of a step: the pacer, its queue and the pressure, in deletion/."""

from typing import Final

from tests.mutations.mutants.base import UNIT, Mutant

TICKETS: Final = "deletion/tickets.py"
PACER: Final = "deletion/turns.py"
PRESSURE: Final = "deletion/pressure.py"

MUTANTS: Final = (
    Mutant(
        "a step takes more than its share of the time",
        PACER,
        "return min(self._longest_pause, self._latest_took * (1 / busy_share - 1))",
        "return min(self._longest_pause, self._latest_took * (1 / busy_share - 2))",
        UNIT,
    ),
    Mutant(
        "a pause has no end",
        PACER,
        "return min(self._longest_pause, self._latest_took * (1 / busy_share - 1))",
        "return self._latest_took * (1 / busy_share - 1)",
        UNIT,
    ),
    Mutant(
        "a pause after a batch that failed is as long as any other",
        PACER,
        "self._longest_pause = longest",
        "self._longest_pause = LONGEST_PAUSE",
        UNIT,
    ),
    Mutant(
        "runs do not wait for each other",
        PACER,
        "            await self._come_to_front(ticket, on_wait)\n",
        "",
        UNIT,
    ),
    Mutant(
        "a stop waits for the end of a pause",
        PACER,
        "await pause(self._clock, min(seconds, SAMPLE_SECONDS), self._stopping)",
        "await pause(self._clock, min(seconds, SAMPLE_SECONDS))",
        UNIT,
    ),
    Mutant(
        "a stop waits for the runs in front",
        TICKETS,
        "first_of(self._called.wait(), stopping.wait())",
        "self._called.wait()",
        UNIT,
    ),
    Mutant(
        "a cancelled run keeps its place",
        PACER,
        "        finally:\n            ticket.leave()\n",
        "        except Exception:\n            ticket.leave()\n            raise\n        else:\n            ticket.leave()\n",
        UNIT,
    ),
    Mutant(
        "a run that leaves the queue calls nobody",
        TICKETS,
        "                self._queue[0]._called.set()\n",
        "                pass\n",
        UNIT,
    ),
    Mutant(
        "a batch that hangs holds the others up",
        TICKETS,
        "            await clock.sleep(LONGEST_TURN)\n            self.leave()\n",
        "            await clock.sleep(LONGEST_TURN)\n",
        UNIT,
    ),
    Mutant(
        "a batch that was not full makes the next larger",
        PACER,
        "if wanted < turn.size or turn.deleted >= turn.size:",
        "if True:",
        UNIT,
    ),
    Mutant(
        "a batch grows without bound",
        PACER,
        "min(self._most, max(self._least, size))",
        "max(self._least, size)",
        UNIT,
    ),
    Mutant(
        "a batch shrinks without bound",
        PACER,
        "min(self._most, max(self._least, size))",
        "min(self._most, size)",
        UNIT,
    ),
    Mutant(
        "a job waits for ever under pressure",
        PACER,
        "            return LONGEST_PAUSE_UNDER_PRESSURE\n",
        "            return LONGEST_PAUSE\n",
        UNIT,
    ),
    Mutant(
        "under pressure batches stay large",
        PACER,
        "            if level == 1:\n                self._resize(self._least)\n",
        "",
        UNIT,
    ),
    Mutant(
        "a gauge is read before each batch",
        PRESSURE,
        "Kept(self._read_now, SAMPLE_SECONDS, clock.monotonic)",
        "Kept(self._read_now, 0.0, clock.monotonic)",
        UNIT,
    ),
    Mutant(
        "an old value of a gauge is kept when it cannot be read",
        PRESSURE,
        "        value, problem = await _read(self._gauge)\n",
        "        value, problem = await _read(self._gauge)\n"
        '        value = getattr(self._sample, "_value", None) if value is None else value\n',
        UNIT,
    ),
)
