"""The guards, each broken in one place."""

from dataclasses import dataclass
from typing import Final

LIFE_CYCLE: Final = ("unit", "simulation")
DATABASE: Final = ("conformance",)
EDGE: Final = ("edge",)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old`, which stands in `file` once, becomes `new`. The suites that may notice are named."""

    name: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...] = LIFE_CYCLE


JOB, INTAKE, RUNNER, LEASE = (
    "deletion/job.py",
    "consumers/intake.py",
    "deletion/runner.py",
    "deletion/lease.py",
)
CONSUMER, SWEEPER, SWEEPS = "consumers/consumer.py", "recovery/sweeper.py", "recovery/sweeps.py"
DEAD_LETTERS, LETTER = "recovery/dead_letters.py", "deletion/dead_letter.py"
JOBS_COMMAND = "botdel/jobs.py"
MONGO, MONGO_LETTERS, MONGO_SWEEPS = (
    "deletion/adapters/mongo/jobs.py",
    "deletion/adapters/mongo/dead_letters.py",
    "recovery/mongo_sweeps.py",
)
MEMORY = "tests/support/memory_stores.py"
CONNECTIONS, TOKENS = "deletion/process/connections.py", "deletion/process/tokens.py"
PUBLISHER, PUBLISHING = (
    "deletion/adapters/pubsub/publisher.py",
    "deletion/adapters/pubsub/readiness.py",
)

MUTANTS: Final = (
    # --- the rules of a job
    Mutant(
        "a run's writes do not expect its claim",
        JOB,
        '_HOLDER = ("status", "attempt", "claimed_by")',
        '_HOLDER = ("status", "attempt")',
    ),
    Mutant(
        "a run's writes do not expect its attempt",
        JOB,
        '_HOLDER = ("status", "attempt", "claimed_by")',
        '_HOLDER = ("status", "claimed_by")',
    ),
    Mutant(
        "a claim does not expect the heartbeat it read",
        JOB,
        '_OUTSIDER = (*_HOLDER, "last_modified_at")',
        "_OUTSIDER = _HOLDER",
    ),
    Mutant(
        "a claim expects nothing",
        JOB,
        "Status.IN_PROGRESS, _OUTSIDER),",
        "Status.IN_PROGRESS, ()),",
    ),
    Mutant(
        "a completion does not expect that nobody has joined",
        JOB,
        '_UNJOINED = (*_HOLDER, "placed_at")',
        "_UNJOINED = _HOLDER",
    ),
    Mutant(
        "every running job counts as stale",
        JOB,
        "return self.status is Status.IN_PROGRESS and silent",
        "return self.status is Status.IN_PROGRESS",
    ),
    Mutant(
        "no running job counts as stale",
        JOB,
        "return self.status is Status.IN_PROGRESS and silent",
        "return False and silent",
    ),
    Mutant(
        "a claim spends no attempt",
        JOB,
        "attempt=self.attempt + 1, claimed_by=by",
        "attempt=self.attempt, claimed_by=by",
    ),
    Mutant(
        "a claim keeps the name of the one before",
        JOB,
        "attempt=self.attempt + 1, claimed_by=by",
        "attempt=self.attempt + 1, claimed_by=self.claimed_by",
    ),
    Mutant(
        "attempts are never spent",
        JOB,
        "return self.attempt >= policy.max_attempts",
        "return self.attempt >= policy.max_attempts and False",
    ),
    Mutant(
        "an interruption spends an attempt",
        JOB,
        "attempt = self.attempt - 1 if failure.interrupted else self.attempt",
        "attempt = self.attempt",
    ),
    Mutant(
        "where an attempt stood is forgotten",
        JOB,
        "return (*self.past_attempts, ended)[-KEPT_ATTEMPTS:]",
        "return self.past_attempts",
    ),
    Mutant(
        "a request with an earlier time joins and leaves no trace",
        JOB,
        "moved = self.placed_at + timedelta(milliseconds=1)",
        "moved = self.placed_at",
    ),
    # --- intake
    Mutant(
        "an ack comes before its record",
        INTAKE,
        "        taken += chain.from_iterable(",
        "        await self._subscription.ack(ours)\n        taken += chain.from_iterable(",
    ),
    Mutant(
        "what was recorded before is run again",
        INTAKE,
        "            if found.is_new:",
        "            if found:",
    ),
    Mutant(
        "what the database could not take is acked",
        INTAKE,
        "return [Taken(delivery, Outcome.RETURNED) for delivery in deliveries]\n\n    async def _rec",
        "return [Taken(delivery, Outcome.KNOWN) for delivery in deliveries]\n\n    async def _rec",
    ),
    Mutant(
        "poison is acked and not recorded",
        INTAKE,
        "        await self._quarantine.keep(poison)\n",
        "",
    ),
    Mutant(
        "what is addressed to another service is taken",
        INTAKE,
        '.get("service", self._service) == self._service',
        '.get("service", self._service) != ""',
    ),
    Mutant(
        "a job that is to be resumed is run without a claim",
        INTAKE,
        "claimed = await self._store.apply(job.claim(self._claim_name(), now, self._policy))",
        "claimed = job.claim(self._claim_name(), now, self._policy).after",
    ),
    Mutant(
        "the job of another service is resumed",
        INTAKE,
        "if job is None or job.service != self._service:",
        "if job is None:",
    ),
    Mutant(
        "claims of one process share a name",
        INTAKE,
        'return f"{self._worker}/{secrets.token_hex(4)}"',
        "return self._worker",
    ),
    # --- a run
    Mutant(
        "a run does not prove its hold after a pause",
        RUNNER,
        "        await lease.fence()\n",
        "",
    ),
    Mutant(
        "a job is complete without being read back",
        RUNNER,
        "left = await self._read_back(lease.job.bot_id)",
        "left: list[Step] = []",
    ),
    Mutant(
        "a batch has no checkpoint",
        RUNNER,
        "await lease.checkpoint(progress)",
        "await lease.note(progress)",
    ),
    Mutant(
        "a run that is to stop goes on",
        RUNNER,
        "if self._stopping.is_set():",
        "if self._stopping.is_set() and False:",
    ),
    Mutant(
        "a lost lease is recorded as a failure",
        RUNNER,
        "        except LeaseLost:\n            raise\n        except (Interrupted",
        "        except (Interrupted",
    ),
    Mutant(
        "a completion that was refused counts as one",
        LEASE,
        "            return False\n        return True",
        "            return True\n        return True",
    ),
    Mutant(
        "a run has no heartbeat",
        LEASE,
        "            if idle >= interval:\n                await self.checkpoint()",
        "            if idle >= interval:\n                await self._clock.sleep(interval)",
    ),
    Mutant(
        "a run goes on while the database is silent for the whole lease",
        LEASE,
        "        if not self.job.is_stale(self._clock.now(), self._policy):\n            return None\n",
        "        return None\n",
    ),
    Mutant(
        "two writes of a lease cross",
        LEASE,
        "        async with self._writing:\n            written = change(self.job)",
        "        if True:\n            written = change(self.job)",
    ),
    # --- the consumer
    Mutant(
        "an interrupted job is not asked for again",
        CONSUMER,
        "if outcome == INTERRUPTED:",
        "if outcome == INTERRUPTED and False:",
    ),
    Mutant(
        "what the last pull brought is forgotten",
        CONSUMER,
        "        await self._intake.hand_back(deliveries)\n",
        "        await self._subscription.ack(deliveries)\n",
    ),
    Mutant(
        "a stop sits out a back-off",
        "deletion/retry.py",
        "asyncio.create_task(stopping.wait())}",
        "asyncio.create_task(clock.sleep(seconds))}",
    ),
    Mutant(
        "more is pulled than there is room for",
        CONSUMER,
        "deliveries = await self._subscription.pull(room)",
        "deliveries = await self._subscription.pull(PULL_LIMIT)",
    ),
    Mutant(
        "pulling goes on while the database is away",
        CONSUMER,
        "                self._unproven, self.problem = True,",
        "                self._unproven, self.problem = False,",
    ),
    # --- recovery
    Mutant(
        "a sweep leaves stale jobs out",
        SWEEPER,
        "stale = await self._visit(Status.IN_PROGRESS, progress, stopping)",
        "stale = 0",
    ),
    Mutant(
        "a sweep leaves failed jobs out",
        SWEEPER,
        "            await self._visit(Status.FAILED, progress, stopping)\n",
        "",
    ),
    Mutant(
        "a sweep asks for running jobs",
        SWEEPER,
        "modified_before=stale if status is Status.IN_PROGRESS else None",
        "modified_before=None",
    ),
    Mutant(
        "a spent job is asked for, and not exhausted",
        SWEEPER,
        "if job.is_spent(self.policy):",
        "if job.is_spent(self.policy) and False:",
    ),
    Mutant(
        "a page ends a sweep",
        SWEEPER,
        "found, after = found + len(page), page[-1].id",
        "return len(page)",
    ),
    Mutant(
        "a dead letter is acked before it is recorded",
        DEAD_LETTERS,
        "        await self._quarantine.keep([self",
        "        await self._subscription.ack(deliveries)\n        await self._quarantine.keep([self",
    ),
    Mutant(
        "a dead letter is acked and not recorded",
        DEAD_LETTERS,
        "        await self._quarantine.keep([self._given_up(delivery) for delivery in deliveries])\n",
        "",
    ),
    Mutant(
        "a dead letter that came back is replayed once more",
        LETTER,
        "        if self.returns:",
        "        if self.returns and False:",
    ),
    Mutant(
        "a replay is marked that was not confirmed",
        "botdel/dead_letters/actions.py",
        "            if answer is None:\n                await self._mark(letter)",
        "            if True:\n                await self._mark(letter)",
    ),
    Mutant(
        "a retry by hand takes a running job",
        JOBS_COMMAND,
        "if job.status is not Status.EXHAUSTED and not job.is_resumable(now, policy):",
        "if job.status is Status.COMPLETE:",
    ),
    # --- the stores
    Mutant(
        "the store in memory writes whatever the guard says",
        MEMORY,
        "if stored != written and not _matches(stored, change):",
        "if False:",
        ("unit", "simulation", "conformance"),
    ),
    Mutant(
        "the store in memory lets a bot have two live jobs",
        MEMORY,
        "return stored.event_id == job.event_id or same_live_bot",
        "return stored.event_id == job.event_id",
        ("unit", "simulation", "conformance"),
    ),
    Mutant(
        "an update of a job expects nothing",
        MONGO,
        '{"_id": ObjectId(change.after.id), **guard}',
        '{"_id": ObjectId(change.after.id)}',
        DATABASE,
    ),
    Mutant(
        "the database lets a bot have two live jobs",
        MONGO,
        "        name=BY_LIVE_BOT,\n        unique=True,",
        "        name=BY_LIVE_BOT,\n        unique=False,",
        DATABASE,
    ),
    Mutant(
        "the database lets an event have two jobs",
        MONGO,
        "name=BY_EVENT, unique=True",
        "name=BY_EVENT, unique=False",
        DATABASE,
    ),
    Mutant(
        "a request joins a job that has ended",
        MONGO,
        'as_read = {"live": True, "placedAt": standing.placed_at}',
        'as_read = {"placedAt": standing.placed_at}',
        DATABASE,
    ),
    Mutant(
        "the database keeps a message twice",
        MONGO_LETTERS,
        "        name=BY_MESSAGE,\n        unique=True,",
        "        name=BY_MESSAGE,\n        unique=False,",
        DATABASE,
    ),
    Mutant(
        "a decision on a dead letter does not expect its count",
        MONGO_LETTERS,
        'query = {"_id": ObjectId(letter.id), "count": letter.count}',
        'query = {"_id": ObjectId(letter.id)}',
        DATABASE,
    ),
    Mutant(
        "two sweeps may run",
        MONGO_SWEEPS,
        "name=ONE_RUNNING, unique=True",
        "name=ONE_RUNNING, unique=False",
        DATABASE,
    ),
    # --- what a client or Pub/Sub may cost the gateway
    Mutant(
        "a head has no bound",
        CONNECTIONS,
        "            if room <= 0:",
        "            if False:",
        EDGE,
    ),
    Mutant(
        "a head is counted anew with each piece",
        CONNECTIONS,
        "0 if self._progress else self._unparsed + len(piece)",
        "0 if self._progress else len(piece)",
        EDGE,
    ),
    Mutant(
        "a half-sent request is held for ever",
        CONNECTIONS,
        "if self._in_head and self._unparsed and self._timer is None and not self._done_reading:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "a client loses its time while the application works",
        CONNECTIONS,
        "if self._in_head and self._unparsed and self._timer is None and not self._done_reading:",
        "if self._in_head and self._timer is None and not self._done_reading:",
        EDGE,
    ),
    Mutant(
        "a connection that asks nothing is held for ever",
        CONNECTIONS,
        "            self._among.waits(self)\n            self._wait(self._bounds.seconds)\n        else:",
        "            self._among.waits(self)\n        else:",
        EDGE,
    ),
    Mutant(
        "a body may trickle in for ever after its answer",
        CONNECTIONS,
        "if self.transport.is_closing() or not self._in_head:",
        "if self.transport.is_closing():",
        EDGE,
    ),
    Mutant(
        "an answer that is not read is held for ever",
        CONNECTIONS,
        "        super().pause_writing()\n        self._among.waits(self)\n        self._wait(self._bounds.seconds)",
        "        super().pause_writing()\n        self._among.waits(self)",
        EDGE,
    ),
    Mutant(
        "a byte buys a half-sent request more time",
        CONNECTIONS,
        "if self._in_head and self._unparsed and self._timer is None and not self._done_reading:",
        "if self._in_head and self._unparsed and not self._done_reading and not self._wait_no_longer():",
        EDGE,
    ),
    Mutant(
        "connections have no bound",
        CONNECTIONS,
        "if len(self._open) >= self.bounds.connections:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "whoever holds the connections keeps others out",
        CONNECTIONS,
        "if not self._waiting:",
        "if True:",
        EDGE,
    ),
    Mutant(
        "a connection with a request under way makes room",
        CONNECTIONS,
        '"""It has a request under way."""\n        self._waiting.pop(connection, None)',
        '"""It has a request under way."""',
        EDGE,
    ),
    Mutant(
        "requests sent ahead have no bound",
        CONNECTIONS,
        "if len(self.pipeline) > self._bounds.pipelined:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "comparing tokens ends with the first that holds",
        TOKENS,
        "names = [name for name, token in self._tokens if hmac.compare_digest(offered, token)]",
        "names = [n for n in [next((n for n, t in self._tokens if hmac.compare_digest(offered, t)), '')] if n]",
        EDGE,
    ),
    Mutant(
        "an event does not say who asked",
        "gateway/deletions.py",
        "RequestPlaced(placed_at, requested_by)",
        "RequestPlaced(placed_at)",
        EDGE,
    ),
    Mutant(
        "a token has two names",
        "gateway/settings.py",
        "if names.setdefault(each.token.get_secret_value(), each.name) != each.name:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "every probe asks Pub/Sub",
        PUBLISHING,
        "if recent and error is None:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "a publish of long ago is proof",
        PUBLISHING,
        "self._monotonic() - last.at < RECENT_SECONDS",
        "self._monotonic() - last.at < float('inf')",
        EDGE,
    ),
    Mutant(
        "a topic that can be seen may be published to",
        PUBLISHING,
        "if isinstance(error, TopologyMissing):",
        "if False:",
        EDGE,
    ),
    Mutant(
        "a missing viewer role makes unready",
        PUBLISHING,
        "except (gcp.Forbidden, gcp.TooManyRequests) as error:",
        "except () as error:",
        EDGE,
    ),
    Mutant(
        "a publish that is late is no failure",
        PUBLISHER,
        "            self.last = Outcome(self._monotonic(), late)\n",
        "",
        EDGE,
    ),
    Mutant(
        "slow publishes stall what comes behind them",
        PUBLISHER,
        "        if left <= 0:\n            self._start()",
        "        if left <= 0:\n            pass",
        EDGE,
    ),
    Mutant(
        "requests under way have no bound",
        PUBLISHER,
        "if not self._waiting or len(self._senders) >= self._max_requests:",
        "if not self._waiting:",
        EDGE,
    ),
    Mutant(
        "a busy Pub/Sub gets more requests",
        PUBLISHER,
        "left = self._begun + SLOW_SECONDS - self._monotonic()",
        "left = 0.0",
        EDGE,
    ),
)
