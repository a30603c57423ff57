"""The guards, each broken in one place."""

from dataclasses import dataclass
from typing import Final

LIFE_CYCLE: Final = ("unit", "simulation")
DATABASE: Final = ("conformance",)
DATA: Final = ("data",)


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
JOBS_COMMAND, TERMINAL = "botdel/jobs.py", "botdel/terminal.py"
MONGO, MONGO_LETTERS, MONGO_SWEEPS = (
    "deletion/adapters/mongo/jobs.py",
    "deletion/adapters/mongo/dead_letters.py",
    "recovery/mongo_sweeps.py",
)
CONNECTION, DRIVER, STEP, INDEXES, RETENTION = (
    f"deletion/adapters/mongo/{name}.py"
    for name in ("connection", "driver", "step", "indexes", "retention")
)
RECOVERY = "recovery/main.py"
MEMORY = "tests/support/memory_stores.py"

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
    # --- the terminal
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
        "an error of a command acts on the terminal",
        "botdel/cli.py",
        'escaped(f"botdel: {error}", keep="\\n\\t")',
        'f"botdel: {error}"',
        ("unit",),
    ),
    # --- one machine
    Mutant(
        "a default port that was taken meanwhile ends the start",
        "botdel/local/installation.py",
        "if not (port and found_taken(process)):",
        "if True:",
        ("unit",),
    ),
    Mutant(
        "two processes of one machine have one default port",
        "botdel/local/installation.py",
        "if port not in {gateway, recovery})",
        "if port != gateway)",
        ("unit",),
    ),
    Mutant(
        "what the killed run of the demo did not count is not said",
        "botdel/local/demo.py",
        "if (uncounted := gone[service] - counted[service]) > 0:",
        "if (uncounted := 0):",
        ("unit",),
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
    # --- what is asked of a database
    Mutant(
        "a step reads back what may be rolled back",
        STEP,
        "self.collection.with_options(read_concern=ReadConcern(concern))",
        "self.collection",
        DATA,
    ),
    Mutant(
        "a replica set is read back as if it were sharded",
        STEP,
        "return LINEARIZABLE if is_replica_set else MAJORITY",
        "return MAJORITY",
        DATA,
    ),
    Mutant(
        "mongos is read back as a replica set",
        STEP,
        """is_replica_set = "setName" in hello and hello.get("msg") != "isdbgrid\"""",
        "is_replica_set = True",
        DATA,
    ),
    Mutant(
        "a read back that is refused is not made in another way",
        STEP,
        "if concern == MAJORITY or error.code not in NOT_SUPPORTED:",
        "if error.code:",
        DATA,
    ),
    Mutant(
        "a step does not say that it fell back",
        STEP,
        "        self.read_concern = concern\n",
        "        self.read_concern = self.read_concern or LINEARIZABLE\n",
        DATA,
    ),
    Mutant(
        "a call to data may take for ever",
        STEP,
        "with translated(), pymongo.timeout(self.call_seconds):",
        "with translated():",
        DATA,
    ),
    Mutant(
        "a code of a failover fails the job",
        CONNECTION,
        "return labelled or not TRANSIENT_CODES.isdisjoint(_codes(error))",
        "return labelled",
        DATA,
    ),
    Mutant(
        "a code of a failover inside a bulk write fails the job",
        CONNECTION,
        "if isinstance(error, BulkWriteError):",
        "if not isinstance(error, OperationFailure):",
        DATA,
    ),
    Mutant(
        "threads are not sized from the runs",
        DRIVER,
        "if _framework.max_workers < needed:",
        "if _framework.max_workers < 0:",
        DATA,
    ),
    Mutant(
        "clients reserve no threads for their runs",
        CONNECTION,
        "            reserve_threads(runs)",
        "            pass",
        DATA,
    ),
    Mutant(
        "too few threads are not refused",
        DRIVER,
        "if given is not None and int(given) < needed:",
        "if given is not None and int(given) < 0:",
        DATA,
    ),
    Mutant(
        "connections are not bounded",
        CONNECTION,
        "maxPoolSize=connections,",
        "maxPoolSize=None,",
        DATA,
    ),
    Mutant(
        "idle connections are kept",
        CONNECTION,
        "maxIdleTimeMS=IDLE_SECONDS * 1000,",
        "maxIdleTimeMS=None,",
        DATA,
    ),
    Mutant(
        "a process builds indexes wherever it runs",
        INDEXES,
        "await (build_indexes if build else require_indexes)(database[name], wanted)",
        "await build_indexes(database[name], wanted)",
        DATA,
    ),
    Mutant(
        "a process starts without its unique indexes",
        INDEXES,
        "if needed := [name for name in names if name in unique]:",
        "if needed := [name for name in () if name in unique]:",
        DATA,
    ),
    Mutant(
        "an index that only has the name is taken for the unique one",
        INDEXES,
        "if name in found and expected[name] != shape(found[name])",
        "if False",
        DATA,
    ),
    Mutant(
        "recovery serves before it has looked for its unique indexes",
        RECOVERY,
        "if not pubsub.is_emulated:",
        "if False:",
        DATA,
    ),
    Mutant(
        "jobs that are not complete expire too",
        RETENTION,
        """        partialFilterExpression={"status": "complete"},\n""",
        "",
        DATA,
    ),
    Mutant(
        "complete jobs expire although nobody asked for it",
        RETENTION,
        "if difference is None and days is not None:",
        "if difference is None and (days := days or 31):",
        DATA,
    ),
    Mutant(
        "an index that goes on deleting is not reported",
        RETENTION,
        "if days is not None and not gap([ttl_index(days)], found):",
        "if days is None or not gap([ttl_index(days)], found):",
        DATA,
    ),
)
