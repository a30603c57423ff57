"""The core beside the job and the runner: the lease, the retries, the plan and others of deletion/."""

from typing import Final

from tests.mutations.mutants.base import SAGA, UNIT, Mutant

LETTER: Final = "deletion/dead_letter.py"
GROUPING: Final = "deletion/grouping.py"
LEASE: Final = "deletion/lease.py"
PLAN: Final = "deletion/plan.py"
RETRY: Final = "deletion/retry.py"
SIDE_BY_SIDE: Final = "deletion/side_by_side.py"
SILENCE: Final = "deletion/silence.py"
SKEW: Final = "deletion/skew.py"

MUTANTS: Final = (
    Mutant(
        "calls side by side are made all at once",
        SIDE_BY_SIDE,
        "for _ in range(most)",
        "for _ in range(100)",
        UNIT,
    ),
    Mutant(
        "after one call failed, those beside it go on",
        SIDE_BY_SIDE,
        "            each.cancel()\n",
        "            each.cancelled()\n",
        UNIT,
    ),
    Mutant(
        "a cursor that no checkpoint can keep is taken",
        "deletion/plan.py",
        "if not isinstance(self.cursor, str | None):",
        "if False:",
    ),
    Mutant(
        "waits for the pace stretch the time of retries without bound",
        "deletion/retry.py",
        "            seconds = min(seconds, self._seconds - self._extended)\n",
        "",
        UNIT,
    ),
    Mutant(
        "waits before the first error use up what may be extended",
        "deletion/retry.py",
        "        if self._failures:\n            seconds = min(",
        "        if True:\n            seconds = min(",
        UNIT,
    ),
    Mutant(
        "what was extended once is not extended after progress",
        "deletion/retry.py",
        "        self._extended = 0.0\n        self.latest = None",
        "        self.latest = None",
        UNIT,
    ),
    Mutant(
        "what an earlier job found does not count",
        LEASE,
        "return frozenset(step.name for job in jobs for step in job.steps if step.has_found)",
        "return frozenset()",
        UNIT,
    ),
    Mutant(
        "what an earlier job did not find counts",
        LEASE,
        "return frozenset(step.name for job in jobs for step in job.steps if step.has_found)",
        "return frozenset(step.name for job in jobs for step in job.steps)",
        UNIT,
    ),
    Mutant(
        "an event may be of the last moment that can be written",
        "deletion/events/checks.py",
        "if utc.year > LATEST_YEAR:",
        "if False:",
    ),
    Mutant(
        "an event of a newer type is undecodable",
        "deletion/quarantine.py",
        "reason = Reason.TOO_NEW",
        "reason = Reason.UNDECODABLE",
    ),
    Mutant(
        "a clock that was set is trusted until the next comparison",
        SKEW,
        "        if self._was_set():\n            self._skew.forget()\n",
        "",
    ),
    Mutant(
        "a clock that was put right is not followed",
        LEASE,
        "        await self._run_clock.follow()\n",
        "",
    ),
    Mutant(
        "a stop sits out a back-off",
        RETRY,
        "await first_of(*(event.wait() for event in events), clock.sleep(seconds))",
        "await clock.sleep(seconds)",
    ),
    Mutant(
        "one failure alone spends the attempt of an interruption",
        RETRY,
        "return self.latest if self._failures > 1 else None",
        "return self.latest",
        ("unit",),
    ),
    Mutant(
        "who asks while a sender ends waits for ever",
        GROUPING,
        "        if self._waiting:  # it arrived",
        "        if False:  # it arrived",
    ),
    Mutant(
        "a time without a zone breaks a run off",
        "deletion/errors.py",
        "if not isinstance(until, datetime) or until.tzinfo is None:",
        "if not isinstance(until, datetime):",
    ),
    Mutant(
        "patience has no end",
        RETRY,
        "return self._retry.clock.monotonic() - self._began >= self._seconds",
        "return False",
    ),
    Mutant(
        "a completion that was refused counts as one",
        LEASE,
        "            return False\n        return True",
        "            return True\n        return True",
    ),
    Mutant(
        "a run writes the time of a clock that was set",
        SKEW,
        "return truncated(wall + timedelta(seconds=self._clock.monotonic() - monotonic))",
        "return self._clock.now()",
    ),
    Mutant(
        "a run has no heartbeat",
        LEASE,
        "await self._write_heartbeat(interval)",
        "await self._clock.sleep(interval)",
    ),
    Mutant(
        "a lost heartbeat does not end the run",
        LEASE,
        "            if body and lost():\n                body.cancel()",
        "            pass",
    ),
    Mutant(
        "a hung batch keeps its slot for ever",
        LEASE,
        "elif not self._stale():",
        "elif True:",
    ),
    Mutant(
        "a run goes on while the database is silent for the whole lease",
        LEASE,
        "        if self._idle < self._policy.stale_after.total_seconds():\n            return None\n",
        "        return None\n",
    ),
    Mutant(
        "a heartbeat goes by a clock that somebody sets",
        LEASE,
        "return self._clock.monotonic() - self._written_at",
        "return self._clock.now().timestamp() - self._written_at",
    ),
    Mutant(
        "two writes of a lease cross",
        LEASE,
        "        async with self._writing:\n            if self._idle",
        "        if True:\n            if self._idle",
    ),
    Mutant(
        "a sweep trusts any clock",
        SKEW,
        "if abs(apart) > policy.max_skew:",
        "if False:",
    ),
    Mutant(
        "a slow answer is taken for a clock that is off",
        SKEW,
        "apart = max(sent_at - server_time, min(clock.now() - server_time, timedelta(0)))",
        "apart = clock.now() - server_time",
    ),
    Mutant(
        "how slow an answer was hides that a clock is off",
        SKEW,
        "apart = max(sent_at - server_time, min(clock.now() - server_time, timedelta(0)))",
        "apart = min(sent_at - server_time, timedelta(0))",
    ),
    Mutant(
        "a clock is compared with the database's once",
        SKEW,
        "Kept(self._compare, KEEP_SECONDS, clock.monotonic)",
        'Kept(self._compare, float("inf"), clock.monotonic)',
    ),
    Mutant(
        "clocks are compared before each claim",
        SKEW,
        "Kept(self._compare, KEEP_SECONDS, clock.monotonic)",
        "Kept(self._compare, 0.0, clock.monotonic)",
    ),
    Mutant(
        "a clock that is behind is trusted",
        SKEW,
        "if abs(apart) > policy.max_skew:",
        "if apart > policy.max_skew:",
    ),
    Mutant(
        "of a tie of silent jobs one page is seen",
        SILENCE,
        "            since, seen = last, ties\n",
        "            since, seen = last, set()\n",
    ),
    Mutant(
        "what cannot be read is seen again and again",
        SILENCE,
        "skip=seen | timeless, limit=size)",
        "skip=timeless, limit=size)",
    ),
    Mutant(
        "a dead letter that came back is replayed once more",
        LETTER,
        "        if self.returns:",
        "        if self.returns and False:",
    ),
    Mutant(
        "a job whose time cannot be read is seen again and again",
        SILENCE,
        "skip=seen | timeless, limit=size)",
        "skip=seen, limit=size)",
        ("unit",),
    ),
    Mutant(
        "a service may be called like the ledger",
        "deletion/ids.py",
        'frozenset({"dead-letter", "doctor", "ledger"})',
        'frozenset({"dead-letter", "doctor"})',
    ),
    Mutant(
        "a retry does not wait as long as it is asked to",
        RETRY,
        "        return requested_wait(state) + seconds\n",
        "        return seconds\n",
    ),
    Mutant(
        "the pace that a step says suits it is not asked for",
        PLAN,
        "return step.default_pace if isinstance(step, Paced) else DEFAULT_PACE",
        "return DEFAULT_PACE",
    ),
    Mutant(
        "what was begun is undone in the order of the plan",
        PLAN,
        "for step in reversed(self.steps)]",
        "for step in self.steps]",
        SAGA,
    ),
    Mutant(
        "a compensation that the plan lacks is passed over",
        PLAN,
        "if unknown := [name for name in begun if name not in self.compensations]:\n",
        "begun = [name for name in begun if name in self.compensations]\n        if unknown := []:\n",
        SAGA,
    ),
    Mutant(
        "a plan may be for a service whose name is no label",
        "deletion/ids.py",
        "return is_service_name(service) and _planned_service(service) is not None",
        "return is_service_name(service)",
        UNIT,
    ),
)
