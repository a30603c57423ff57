"""The parts of the request ledger: recovery/ledger/."""

from typing import Final

from tests.mutations.mutants.base import UNIT, Mutant

CALLBACK: Final = "recovery/ledger/callback.py"
CHORES: Final = "recovery/ledger/due_requests.py"
INTAKE: Final = "recovery/ledger/intake.py"
REPUBLISH: Final = "recovery/ledger/republish.py"
OWING: Final = "recovery/ledger/owing.py"
RUNNING: Final = "recovery/ledger/running.py"
SAVING: Final = "recovery/ledger/saving.py"
SETTLE: Final = "recovery/ledger/settle.py"
NOTIFY: Final = "recovery/ledger/notify.py"
WALK: Final = "recovery/ledger/walk.py"
WARN: Final = "recovery/ledger/warn.py"
WINDOW: Final = "deletion/due_window.py"

MUTANTS: Final = (
    Mutant(
        "the ledger looks for jobs before it has recorded the request",
        INTAKE,
        "        jobs = await self._coverage.covering([(each.bot_id, each.id) for each in recorded])\n        await self._settlement.settle(jobs)\n",
        "",
        UNIT,
    ),
    Mutant(
        "a request that nobody owes is pulled all the same",
        RUNNING,
        "        await self._owing.services()\n",
        "",
        UNIT,
    ),
    Mutant(
        "requests are recorded before every service with a subscription is registered",
        OWING,
        "            raise _subscribed_only(missing)\n",
        "            pass\n",
        UNIT,
    ),
    Mutant(
        "a service that is retired with its subscription holds the ledger up",
        OWING,
        "recorded = {each.name for each in found}",
        "recorded = set(names)",
        UNIT,
    ),
    Mutant(
        "the ledger records nothing while it may not list the subscriptions",
        OWING,
        "            return ()\n",
        "            raise\n",
        UNIT,
    ),
    Mutant(
        "Pub/Sub that does not answer is taken for a service that is not registered",
        RUNNING,
        "isinstance(self._pulls.failure, Unregistered)",
        "self._pulls.failure",
        UNIT,
    ),
    Mutant(
        "a service that is retired owes new requests",
        OWING,
        " if each.retired_at is None]",
        "]",
        UNIT,
    ),
    Mutant(
        "the ledger records what is addressed to one service",
        INTAKE,
        'if "service" in delivery.message.attributes:',
        'if "nobody" in delivery.message.attributes:',
        UNIT,
    ),
    Mutant(
        "a request that cannot be written is acked",
        INTAKE,
        "if each.ack_id not in lost]",
        "]",
        UNIT,
    ),
    Mutant(
        "a job that is not complete settles a request",
        SETTLE,
        "        if job.is_complete and job.bot_id == request.bot_id and",
        "        if job.bot_id == request.bot_id and",
        UNIT,
    ),
    Mutant(
        "a job of another bot settles a request",
        SETTLE,
        "        if job.is_complete and job.bot_id == request.bot_id and",
        "        if job.is_complete and",
        UNIT,
    ),
    Mutant(
        "a mark is taken off before what the job covers is settled",
        SETTLE,
        "            failed = await self._settlement.settle(jobs)\n",
        "            await self._coverage.mark_reported([job.job_id for job in jobs])\n            failed = await self._settlement.settle(jobs)\n",
    ),
    Mutant(
        "the job of a request that cannot be settled loses its mark",
        SETTLE,
        "done = [job.job_id for job in jobs if failed.isdisjoint(job.event_ids)]",
        "done = [job.job_id for job in jobs]",
        UNIT,
    ),
    Mutant(
        "one request that cannot be written keeps the others from it",
        SAVING,
        "        if len(changes) == 1:\n",
        "        if changes:\n",
        UNIT,
    ),
    Mutant(
        "records that cannot be read are walked before all others",
        WALK,
        "            self.pass_over(unreadable)\n",
        "",
        UNIT,
    ),
    Mutant(
        "what is passed over is never tried again",
        WALK,
        "        if self._clock.monotonic() >= self._all_again_at:\n",
        "        if self._clock.monotonic() < 0:\n",
        UNIT,
    ),
    Mutant(
        "records of one moment are visited twice",
        WALK,
        "            seen = seen if latest == since else set()\n",
        "            seen = set()\n",
        UNIT,
    ),
    Mutant(
        "a claim that was refused is published all the same",
        REPUBLISH,
        "            written = {change.before.id for change in saved.written}\n",
        "            written = {each.change.before.id for each in decisions}\n",
        UNIT,
    ),
    Mutant(
        "a request is published again for every service",
        REPUBLISH,
        '{**message.attributes, "service": service}',
        "message.attributes",
        UNIT,
    ),
    Mutant(
        "a request is published again beside its open dead letter",
        REPUBLISH,
        "elif DeadLetterStatus.NEW in standing or (standing and not request.is_near(now)):",
        "elif standing and request.is_near(now):",
        UNIT,
    ),
    Mutant(
        "an open dead letter waives a share",
        REPUBLISH,
        "        if standing == {DeadLetterStatus.DISCARDED}:\n",
        "        if standing:\n",
        UNIT,
    ),
    Mutant(
        "a late request is alerted of although its job is complete",
        WARN,
        "    after = settled_by(request, jobs, now)\n",
        "    after = request\n",
        UNIT,
    ),
    Mutant(
        "a request that an earlier build checks no more is never published again",
        WARN,
        "return warned if is_checked else warned.postponed(Chore.REPUBLISH, now)",
        "return warned",
        UNIT,
    ),
    Mutant(
        "an overdue request is looked at no more",
        "deletion/request.py",
        "self.deadline if now < self.deadline else now + WARNINGS_APART",
        "self.deadline if now < self.deadline else None",
        UNIT,
    ),
    Mutant(
        "a try that fails is made again without a pause",
        CHORES,
        "max(now - (request.settled_at or now), SHORTEST)",
        "now - (request.settled_at or now)",
        UNIT,
    ),
    Mutant(
        "the waits between tries grow without a bound",
        CHORES,
        "SHORTEST), LONGEST)",
        "SHORTEST), LONGEST * 1000)",
        UNIT,
    ),
    Mutant(
        "a callback is signed without its time",
        CALLBACK,
        'f"{seconds}.".encode() + content',
        "content",
        UNIT,
    ),
    Mutant(
        "what many services lack is published all at once",
        REPUBLISH,
        "        for group in groups(pairs):\n",
        "        for group in [pairs]:\n",
        UNIT,
    ),
    Mutant(
        "what many services lack is tried to the end while nothing can be published",
        REPUBLISH,
        "            if len(failed) == len(group):\n                break\n",
        "",
        UNIT,
    ),
    Mutant(
        "a request whose jobs are all there is not checked again",
        "deletion/request.py",
        "now + wait if owed else None",
        "now + wait if lacking else None",
        UNIT,
    ),
    Mutant(
        "a receiver that refuses some requests is taken for one that does not work",
        NOTIFY,
        " and not any(isinstance(error, PermanentError) for error in failed)",
        "",
        UNIT,
    ),
    Mutant(
        "the parts of the ledger work with a wrong clock",
        RUNNING,
        "                await unless_stopped(self._check(), stopping)\n",
        "                pass\n",
        UNIT,
    ),
    Mutant(
        "after a read that fails the next ones are as wide",
        WINDOW,
        "self._caution * 4)",
        "1)",
        UNIT,
    ),
    Mutant(
        "a walk reads all that is due at once",
        WINDOW,
        "            end = LATEST if is_last and beyond_now else window.end\n",
        "            end = LATEST\n",
        UNIT,
    ),
    Mutant(
        "the window does not narrow after a full page",
        WINDOW,
        "            return window.shrunk_to([at for each in found if (at := self._time_of(each))])\n",
        "            return window\n",
        UNIT,
    ),
    Mutant(
        "a backlog is announced as fast as it can be",
        NOTIFY,
        "            await pause(self._clock, max(0.0, ready_at - self._clock.monotonic()), stopping)\n",
        "",
        UNIT,
    ),
    Mutant(
        "a page of which nothing is confirmed counts twice",
        NOTIFY,
        "            raise failed[0]  # which",
        "            self._due.failed(len(failed))\n            raise failed[0]  # which",
        UNIT,
    ),
    Mutant(
        "a job of a consumer whose clock is ahead settles later",
        SETTLE,
        "beyond_now=True",
        "beyond_now=False",
        UNIT,
    ),
    Mutant(
        "each notification that fails counts twice",
        NOTIFY,
        "        self._due.failed(len(failed))\n",
        "        self._due.failed(2 * len(failed))\n",
        UNIT,
    ),
    Mutant(
        "a window that matches too much is read again and again",
        WINDOW,
        "self._window = self._window, DueWindow()",
        "self._window = self._window, self._window",
        UNIT,
    ),
    Mutant(
        "calls that nobody makes are kept",
        RUNNING,
        "work[PartName.CALL] = Uncalled(self._due(Chore.CALL), clock)",
        "pass",
        UNIT,
    ),
    Mutant(
        "a call is forgotten while another process makes it",
        "recovery/ledger/uncalled.py",
        "at <= self._clock.now() - UNCALLED",
        "at <= self._clock.now()",
        UNIT,
    ),
    Mutant(
        "calls are forgotten as soon as the callback is given up",
        "recovery/ledger/uncalled.py",
        "self._clock.monotonic() - self._began < UNCALLED.total_seconds()",
        "False",
        UNIT,
    ),
)
