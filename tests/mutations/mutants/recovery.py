"""Sweeps, their client and the recorder of dead letters: recovery/."""

from typing import Final

from tests.mutations.mutants.base import DATA, DATABASE, EDGE, UNIT, Mutant

CRON: Final = "recovery/client.py"
DEAD_LETTERS: Final = "recovery/dead_letter_consumer.py"
GAUGES: Final = "recovery/gauges.py"
RECOVERY: Final = "recovery/main.py"
PULLS: Final = "recovery/pull_loop.py"
MONGO_SWEEPS: Final = "recovery/mongo_sweeps.py"
SWEEPER: Final = "recovery/sweeper.py"

MUTANTS: Final = (
    Mutant(
        "a sweep leaves stale jobs out",
        SWEEPER,
        "            stale = await self._visit(\n                Status.IN_PROGRESS, self.policy.stale_after, progress, stopping\n            )\n",
        "            stale = 0\n",
    ),
    Mutant(
        "a sweep leaves failed jobs out",
        SWEEPER,
        "            await self._visit(Status.FAILED, self.policy.rest_after(1), progress, stopping)\n",
        "",
    ),
    Mutant(
        "a spent job is not exhausted",
        SWEEPER,
        "change = job.sweep(now, self.policy)",
        "change = job.resume(now, self.policy)",
    ),
    Mutant(
        "a job that cannot be read ends a sweep",
        SWEEPER,
        '            log.error("job cannot be read", job_id=job.id, reason=job.reason)\n',
        "            raise StoreUnavailable(job.reason)\n",
    ),
    Mutant(
        "a job that cannot be moved ends a sweep",
        SWEEPER,
        '            log.exception("job cannot be moved", job_id=job.id)\n',
        "            raise\n",
    ),
    Mutant(
        "a job that moved meanwhile ends a sweep",
        SWEEPER,
        "        except LeaseLost:\n            return Outcome.SKIPPED\n",
        "        except LeaseLost:\n            raise\n",
    ),
    Mutant(
        "jobs that wait are not reported",
        SWEEPER,
        "        if waiting:\n",
        "        if waiting and False:\n",
    ),
    Mutant(
        "a sweep fails because the jobs that wait cannot be counted",
        SWEEPER,
        "reason=with_type(error))\n            return\n",
        "reason=with_type(error))\n            raise\n",
    ),
    Mutant(
        "a sweep is running while the jobs that wait are counted",
        SWEEPER,
        "            self._report_immovable(progress)\n",
        "            self._report_immovable(progress)\n"
        "            await self._report_waiting(progress.sweep)\n",
        ("unit",),
    ),
    Mutant(
        "a dead letter is acked before it is recorded",
        DEAD_LETTERS,
        "        await self._quarantine.record(letters)\n",
        "        await self._subscription.ack(deliveries)\n"
        "        await self._quarantine.record(letters)\n",
    ),
    Mutant(
        "a dead letter is acked and not recorded",
        DEAD_LETTERS,
        "        await self._quarantine.record(letters)\n",
        "",
    ),
    Mutant(
        "a canary is counted and logged as a dead letter",
        DEAD_LETTERS,
        "count = sum(not is_canary(each.service) for each in letters)",
        "count = len(letters)",
        ("unit",),
    ),
    Mutant(
        "nobody is told of jobs that no sweep can move",
        SWEEPER,
        "if found := progress.immovable:",
        "if found := progress.immovable[:0]:",
        ("unit",),
    ),
    Mutant(
        "a gauge without a time breaks those behind it",
        GAUGES,
        "        if group.oldest:\n",
        "        if True:\n",
        ("unit",),
    ),
    Mutant(
        "trouble with dead letters stops every sweep",
        CRON,
        "if unready.code is not Exit.UNHEALTHY:",
        "if True:",
        EDGE,
    ),
    Mutant(
        "a sweep hides from the scheduler that recovery is not ready",
        CRON,
        "        if unready:\n            raise unready\n",
        "",
        EDGE,
    ),
    Mutant(
        "a clock that is set back freezes the gauges",
        GAUGES,
        "self._census = census\n        self._counted = Kept(self._count, KEPT_SECONDS, clock.monotonic)",
        "self._census = census\n        self._counted = Kept(self._count, KEPT_SECONDS, lambda: clock.now().timestamp())",
        ("unit",),
    ),
    Mutant(
        "a sweep that cannot be read stops every other",
        MONGO_SWEEPS,
        "    except DAMAGED as error:\n",
        "    except DAMAGED as error:\n        raise\n",
        DATABASE,
    ),
    Mutant(
        "a recorder that fails is no problem",
        PULLS,
        "self._failing_since or self._clock.now(), failure",
        "None, failure",
    ),
    Mutant(
        "a recorder says when it failed last, not since when",
        PULLS,
        "self._failing_since or self._clock.now(), failure",
        "self._clock.now(), failure",
    ),
    Mutant(
        "two sweeps may run",
        "deletion/adapters/mongo/sweeps.py",
        "name=ONE_RUNNING, unique=True",
        "name=ONE_RUNNING, unique=False",
        DATABASE,
    ),
    Mutant(
        "a call for a sweep may take for ever",
        MONGO_SWEEPS,
        "self._call_seconds = call_seconds",
        "self._call_seconds = 86_400",
        DATA,
    ),
    Mutant(
        "recovery serves before it has looked for its unique indexes",
        RECOVERY,
        "if settings.emulator is None:",
        "if False:",
        DATA,
    ),
    Mutant(
        "an autoscaler takes jobs that could not be counted for none",
        GAUGES,
        "        self._is_counted.set(0)\n",
        "",
        UNIT,
    ),
    Mutant(
        "an autoscaler takes due jobs that could not be counted for none",
        GAUGES,
        "        if services is not None:\n",
        "        self._is_counted.set(1)\n        if services is not None:\n",
        UNIT,
    ),
    Mutant(
        "due jobs that cannot be counted stay as they were",
        GAUGES,
        "        self._due.clear()\n",
        "",
        UNIT,
    ),
    Mutant(
        "two counts of jobs take twice as long as a scrape waits",
        GAUGES,
        "self._count_due(services, until)",
        "self._count_due(services, reading_ends())",
        UNIT,
    ),
    Mutant(
        "due jobs are looked for where none can be",
        GAUGES,
        'each.status in MAY_BE_DUE} - {""}',
        "True}",
        UNIT,
    ),
    Mutant(
        "recovery accepts the first of its tokens alone",
        RECOVERY,
        "BearerTokens(settings.recovery_token, ",
        "BearerTokens(settings.recovery_token[:1], ",
        DATA,
    ),
    Mutant(
        "a failed call is repeated every minute",
        "recovery/repeating.py",
        "else wait * 2",
        "else wait",
        UNIT,
    ),
    Mutant(
        "a failed call costs the whole interval",
        "recovery/repeating.py",
        "wait = every_seconds if code == Exit.OK else min(again, every_seconds)",
        "wait = every_seconds",
        UNIT,
    ),
    Mutant(
        "recover --every: a sweep that did not end in time is not looked after for a day",
        "recovery/repeating.py",
        "every_seconds if code == Exit.OK else",
        "every_seconds if code in (Exit.OK, Exit.TIMED_OUT) else",
        UNIT,
    ),
    Mutant(
        "an answer that is nested too deeply ends the calls",
        "recovery/client.py",
        "(ValueError, KeyError, TypeError, RecursionError)",
        "(ValueError, KeyError, TypeError)",
        UNIT,
    ),
    Mutant(
        "a recovery that stays away while its sweep is waited for is said to go on",
        "recovery/client.py",
        "                raise away or Stopped(Exit.TIMED_OUT, late)\n",
        "                raise Stopped(Exit.TIMED_OUT, late)\n",
        UNIT,
    ),
)
