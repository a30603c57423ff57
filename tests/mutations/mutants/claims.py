"""Claims and workers: consumers/claims.py and worker.py, deletion/due_window.py."""

from typing import Final

from tests.mutations.mutants.base import Mutant

CLAIMS: Final = "consumers/claims.py"
WINDOW: Final = "deletion/due_window.py"
WORKER: Final = "consumers/worker.py"

MUTANTS: Final = (
    Mutant(
        "claims of one process share a name",
        CLAIMS,
        'f"{self._worker}/{secrets.token_hex(4)}"',
        "self._worker",
    ),
    Mutant(
        "a claim whose answer was lost is dropped",
        CLAIMS,
        "return await self._retry.call(lambda: self._store.apply(claim), unless=stale)",
        "return await self._store.apply(claim)",
    ),
    Mutant(
        "a claim is repeated beyond its lease",
        CLAIMS,
        "late = self._clock.monotonic() >= stale_at",
        "late = False",
    ),
    Mutant(
        "a job that is not claimed is run",
        CLAIMS,
        "        except LeaseLost:\n            return None\n",
        "        except LeaseLost:\n            return job\n",
    ),
    Mutant(
        "a claim that breaks off loses those beside it",
        CLAIMS,
        "            return error\n",
        "            raise\n",
    ),
    Mutant(
        "a window that was read is claimed from for ever",
        CLAIMS,
        "if not self._candidates or self._clock.monotonic() >= self._fresh_until:",
        "if not self._candidates:",
    ),
    Mutant(
        "the window never widens",
        WINDOW,
        "width=min(WIDEST, self.width * 2)",
        "width=min(WIDEST, self.width)",
    ),
    Mutant(
        "the window never narrows",
        CLAIMS,
        "window = window.shrunk_to(times) if is_full else window.widened(found=bool(page))",
        "window = window if is_full else window.widened(found=bool(page))",
    ),
    Mutant(
        "the window leaps into the backlog once others have claimed a page",
        WINDOW,
        "return max(self.width, (now - self.end) * LEAP) if self.is_lost else self.width",
        "return max(self.width, (now - self.end) * LEAP)",
    ),
    Mutant(
        "records that cannot be read hide what is behind them",
        CLAIMS,
        "if jobs or (window.end >= now and not is_full):",
        "if jobs or is_full or window.end >= now:",
    ),
    Mutant(
        "records that cannot be read are looked at for ever",
        WINDOW,
        "start = last + TICK if first == last and is_largest else last",
        "start = last",
    ),
    Mutant(
        "records that cannot be read hide others of their millisecond",
        WINDOW,
        "start = last + TICK if first == last and is_largest else last",
        "start = last + TICK if first == last else last",
    ),
    Mutant(
        "a job whose claim was refused is claimed again and again",
        CLAIMS,
        "return job.is_due(now) and job.id not in self._refused",
        "return job.is_due(now)",
    ),
    Mutant(
        "a refused job is left alone for ever",
        CLAIMS,
        "self._refused.items() if until > now}",
        "self._refused.items()}",
    ),
    Mutant(
        "what is remembered of refused jobs is not bounded",
        CLAIMS,
        "if len(self._refused) > MOST_REFUSED:",
        "if False:",
    ),
    Mutant(
        "a clock that was set back makes claims of jobs not due",
        CLAIMS,
        "if not job.is_due(self._clock.now()):",
        "if False:",
    ),
    Mutant(
        "a claim is repeated for as long as the clock is set back",
        CLAIMS,
        "late = self._clock.monotonic() >= stale_at",
        "late = claim.after.is_stale(self._clock.now(), self._policy)",
    ),
    Mutant(
        "a job that was won waits for the claims beside it",
        CLAIMS,
        "        start(claimed)\n        return claimed\n",
        "        return claimed\n",
    ),
    Mutant(
        "lost claims do not grow the read",
        CLAIMS,
        "self._candidates, self._limit = [], min(MOST, self._limit * 2)",
        "self._candidates = []",
    ),
    Mutant(
        "the read never shrinks again",
        CLAIMS,
        "self._limit = max(FEWEST, self._limit * 3 // 4)",
        "pass",
    ),
    Mutant(
        "more is claimed than there are slots",
        WORKER,
        "free = self._slots - len(self._running)",
        "free = self._slots",
    ),
    Mutant(
        "a slot that is freed wakes nobody",
        WORKER,
        "        self._running.discard(task)\n        self._woken.set()\n",
        "        self._running.discard(task)\n",
    ),
    Mutant(
        "a wake is not heard",
        WORKER,
        "await pause(self._clock, seconds, self._stopping, self._woken)",
        "await pause(self._clock, seconds, self._stopping)",
    ),
    Mutant(
        "a wake while it claims is missed",
        WORKER,
        "            won = await self._claiming\n",
        "            won = await self._claiming\n            self._woken.clear()\n",
    ),
    Mutant(
        "an idle worker polls as often as at first",
        WORKER,
        "seconds = doubled(POLL_SECONDS, fruitless, MAX_POLL_SECONDS)",
        "seconds = POLL_SECONDS",
    ),
    Mutant(
        "a problem of claims is not shown",
        WORKER,
        "        self.problem = problem\n",
        "",
    ),
    Mutant(
        "a problem of claims is shown for ever",
        WORKER,
        "        self.problem = None\n        return won",
        "        return won",
    ),
    Mutant(
        "runs are not cut short",
        WORKER,
        "        for run in runs:\n            run.cancel()\n",
        "",
    ),
    Mutant(
        "a claim under way is cut short with the runs",
        WORKER,
        "        runs = set(self._running)\n",
        "        runs = self._under_way()\n",
    ),
    Mutant(
        "a claim under way is not waited for",
        WORKER,
        "return {*self._running, *([claiming] if claiming and not claiming.done() else [])}",
        "return set(self._running)",
    ),
    Mutant(
        "jobs are claimed by a clock that is off",
        WORKER,
        "            await self._check()\n",
        "",
    ),
    Mutant(
        "a wake does not end a pause after a problem",
        WORKER,
        "await self._back_off.pause(self._stopping, self._woken)",
        "await self._back_off.pause(self._stopping)",
    ),
    Mutant(
        "a run that was won after the stop outlives its process's connections",
        WORKER,
        "            task.cancel()  # the first",
        "            # the first",
    ),
)
