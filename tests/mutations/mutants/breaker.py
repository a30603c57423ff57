"""The circuit breaker of an external API: deletion/breaker.py, gate.py and permits.py."""

from typing import Final

from tests.mutations.mutants.base import HTTP, Mutant

BREAKER: Final = "deletion/breaker.py"
GATE: Final = "deletion/gate.py"
PERMITS: Final = "deletion/permits.py"

MUTANTS: Final = (
    Mutant(
        "a long backlog of a busy API is claimed again and again",
        PERMITS,
        "if self._turned_away % GROW_AFTER == 0:",
        "if False:",
        ("http",),
    ),
    Mutant(
        "once many have waited for a permit, all wait for long",
        PERMITS,
        "self._window = self.window / FACTOR",
        "pass",
        ("http",),
    ),
    Mutant(
        "one bot alone opens a breaker",
        BREAKER,
        'return self.failed_bot not in ("", bot_id) and',
        'return self.failed_bot != "" and',
        HTTP,
    ),
    Mutant(
        "failures of any age open a breaker",
        BREAKER,
        "now - self.failed_at < period",
        "now - self.failed_at < period * 10**6",
        HTTP,
    ),
    Mutant(
        "the bot whose probe failed is the next probe",
        BREAKER,
        "(head_start if bot_id == self.failed_bot else timedelta(0))",
        "timedelta(0)",
        HTTP,
    ),
    Mutant(
        "two probes at a time",
        BREAKER,
        "if self.probe_until and now < self.probe_until:",
        "if False:",
        HTTP,
    ),
    Mutant(
        "a probe's lease never expires",
        BREAKER,
        "if self.probe_until and now < self.probe_until:",
        "if self.probe_until:",
        HTTP,
    ),
    Mutant(
        "a breaker is not open for longer after a failed probe",
        BREAKER,
        "trips = self.trips + 1",
        "trips = 1",
        HTTP,
    ),
    Mutant(
        "a probe is made without the update that claims it",
        GATE,
        "            if await self._apply(breaker, probe):\n                log.info",
        "            if True:\n                log.info",
        HTTP,
    ),
    Mutant(
        "a failed probe hands its attempt back",
        GATE,
        "return self._suspended(until, now, breaker, has_called=True)",
        "return self._suspended(until, now, breaker, has_called=False)",
        HTTP,
    ),
    Mutant(
        "a parked run that made no call spends its attempt",
        GATE,
        "raise self._suspended(until, now, breaker, has_called=False)",
        "raise self._suspended(until, now, breaker, has_called=True)",
        HTTP,
    ),
    Mutant(
        "every replica alerts",
        GATE,
        "if not before.is_open and self._gates.alerts:",
        "if self._gates.alerts:",
        HTTP,
    ),
    Mutant(
        "a call that began before the breaker opened is taken for its probe",
        GATE,
        "            if before.is_open and not probe:\n                break\n",
        "",
        HTTP,
    ),
    Mutant(
        "a success forgets no failure",
        GATE,
        "if not probe and (before.is_open or not before.failed_bot or reads):",
        "if not probe:",
        HTTP,
    ),
    Mutant(
        "a read-back outweighs a failed deletion",
        GATE,
        "if not probe and (before.is_open or not before.failed_bot or reads):",
        "if not probe and (before.is_open or not before.failed_bot):",
        HTTP,
    ),
    Mutant(
        "any number of calls to a host is under way",
        PERMITS,
        "if len(self._taken) < self.number:",
        "if True:",
        HTTP,
    ),
    Mutant(
        "a run that is cancelled as it gets its permit keeps it",
        PERMITS,
        "                if permit.is_set():  # it was given a permit at the same moment\n                    self._free(permit)\n",
        "",
        HTTP,
    ),
    Mutant(
        "the database's time is taken for the process's",
        GATE,
        "return self._time + timedelta(seconds=self.clock.monotonic() - self._read_at)",
        "return self.clock.now()",
        HTTP,
    ),
)
