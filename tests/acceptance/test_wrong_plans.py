"""Every field of the sample plans, made wrong in each likely way, is noticed by some command, or
by the run of one job.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from botdel.doctor.command import examine
from botdel.local.billing import Account, BillingApi, Mood
from botdel.local.broker_choice import choose_broker
from botdel.local.database import EmbeddedMongo
from botdel.local.installation import PLANS
from botdel.local.s3 import LocalS3, credentials
from botdel.local.sample_data import Files
from botdel.local.samples import BUCKET
from botdel.local.server import LocalBroker
from botdel.plan import check, preview
from botdel.topology import apply
from deletion.adapters import plan_source
from deletion.adapters.http_api.client import HttpClient
from deletion.adapters.http_api.shared import Http
from deletion.adapters.mongo.connection import Clients
from deletion.adapters.plan_file import PlanFile, read_plan
from deletion.adapters.spec import StepConnections
from deletion.adapters.unproxied import unproxied
from deletion.breaker import LocalBreakerStore
from deletion.clock import SystemClock
from deletion.doctor import Verdict as Found
from deletion.errors import BotDeletionError, PlanError
from deletion.gate import Gates
from deletion.job import Job, Status, StepProgress
from deletion.plan import Plan
from deletion.process.settings import load
from deletion.process.store_settings import TopologySettings
from deletion.retry import Retry
from deletion.runner import ANSWER_ONLY, Runner
from tests.support.factories import POLICY
from tests.support.memory_stores import MemoryJobStore
from tests.support.pipeline import WITHIN, Location, pipeline_at
from tests.support.wrong_plans import (
    ANALYTICS,
    BILLING,
    CONVERSATIONS,
    EMPTY_BUCKET,
    HARMLESS,
    UNSEEN,
    WrongPlan,
    wrong_plans,
)

BOTS = 12
READ, CHECK, PREVIEW, DOCTOR = "read_plan", "plan check", "plan preview", "doctor"
RUN = "the run of one job"
RETRY_SECONDS = 0.25
"""How long a run retries a step in place. The servers of this test have no faults that pass."""
QUICK = {"NO_GCE_CHECK": "true", "SSL_CERT_FILE": os.devnull}
"""Nobody looks for Google's metadata server, nor reads certificates, for hundreds of clients."""

read_once = cache(read_plan)
"""No file of this test changes, and to read one takes as long as all that is looked up of it."""


@dataclass
class Platform:
    """The four sample services on real servers, with data of `BOTS` bots; `bots` are theirs."""

    clients: Clients
    files: Files
    api: httpx.AsyncClient
    http: HttpClient
    bots: list[str] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)

    async def fill(self) -> None:
        """Data of `BOTS` bots in each service."""
        self.bots = [str(ObjectId()) for _ in range(BOTS)]
        for service in PLANS:
            await self.plant(service, *self.bots)

    async def plant(self, service: str, *bots: str, disputed: bool = False) -> None:
        """Give `bots` data in one service, as `botdel.local.samples` spreads it."""
        client = self.clients.get()
        if service == "media":
            names = [f"bots/{bot}/{name}" for bot in bots for name in ("face", "transcripts/1")]
            await self.files.fill(dict.fromkeys(names, b"x"))
        if service == "billing":
            self.accounts |= {bot: Account(disputed=disputed) for bot in bots}
            stored = {each: account.model_dump() for each, account in self.accounts.items()}
            (await self.api.put("/control/accounts", json=stored)).raise_for_status()
        for bot in bots:
            owner, session = ObjectId(bot), ObjectId()
            if service == "conversations":
                said = {"botId": owner, "session": session, "text": "a line"}
                lines = [{**said, "position": n} for n in range(5)]
                await client[CONVERSATIONS]["messages"].insert_many(lines)
                opened = {"_id": session, "botId": owner}
                await client[CONVERSATIONS]["sessions"].insert_one(opened)
            if service == "analytics":
                events = [{"bot": bot, "at": n} for n in range(5)]
                await client[ANALYTICS]["events"].insert_many(events)
            if service == "billing":
                bill = {"botId": owner, "session": session}
                await client[BILLING]["invoices"].insert_one(bill)

    async def clear(self) -> None:
        for name in (CONVERSATIONS, ANALYTICS, BILLING):
            await self.clients.get().drop_database(name)

    async def run(self, source: PlanFile, bot: str) -> Job:
        """Run the job of `bot` with the real runner, and its rollback if there is one."""
        clock, store = SystemClock(), MemoryJobStore()
        http = Http(self.http, Gates(LocalBreakerStore(clock), clock), clock)
        plan = source.build(StepConnections(self.clients.get, http=http))
        retry = Retry(clock, attempts=2, base=0.01, cap=0.02)
        runner = Runner(
            plan,
            store,
            clock,
            POLICY,
            stopping=asyncio.Event(),
            retry=retry,
            retry_seconds=RETRY_SECONDS,
        )
        await store.record([_placed(plan, bot, store.new_id())])
        for way in ("forward", "back"):
            (job,) = store.jobs.values()
            if way == "forward" or (job.rollback_cause and job.status is Status.PENDING):
                await runner.run(await store.apply(job.claim(f"worker/{way}", clock.now())))
        (job,) = store.jobs.values()
        return job


def _placed(plan: Plan, bot: str, job_id: str) -> Job:
    now = SystemClock().now()
    return Job.placed(
        id=job_id,
        service=plan.service,
        bot_id=bot,
        event_id=str(uuid4()),
        placed_at=now,
        steps=tuple(StepProgress(step.name) for step in plan.steps),
        now=now,
        point_of_no_return=plan.point_of_no_return,
    )


@pytest.fixture(scope="module")
async def broker() -> AsyncIterator[LocalBroker]:
    """One of them: to what a plan says it makes no difference which."""
    async with choose_broker().broker as broker:
        yield broker


@pytest.fixture(scope="module")
async def platform(
    broker: LocalBroker, mongo: EmbeddedMongo, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """With indexes and subscriptions; this process has the settings."""
    clients, own = Clients(mongo.uri), f"test-{uuid4().hex[:16]}"
    location = Location(broker.host, mongo.uri, own, own, tmp_path_factory.mktemp("plans"))
    async with (
        LocalS3() as s3,
        BillingApi() as billing,
        unproxied(base_url=billing.url, timeout=WITHIN) as api,
        pipeline_at(location) as pipeline,
    ):
        outside = {"BILLING_URL": billing.url, **QUICK, **credentials(s3.url)}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (pipeline.env | outside).items():
                patch.setenv(name, value)
            patch.setattr(plan_source, "read_plan", read_once)
            await Files(s3.url, EMPTY_BUCKET).create()
            http = HttpClient(SystemClock())
            platform = Platform(clients, Files(s3.url, BUCKET), api, http)
            await platform.files.create()
            await platform.clear()
            await platform.fill()
            assert await apply(load(TopologySettings), _right()) == 0
            yield platform
        await platform.clear()
        await http.close()
    clients.close()


def _right() -> list[PlanFile]:
    return [read_once(path) for path in PLANS.values()]


@dataclass
class Look:
    """Each way to notice that a plan is wrong, the quickest first.

    `harmful` are the files whose jobs ended as they must and yet left the data as it must not be.
    """

    platform: Platform
    capsys: pytest.CaptureFixture[str]
    harmful: list[Path] = field(default_factory=list)

    async def noticed(self, path: Path) -> str | None:
        """The first that says that the plan at `path` is wrong; None when none does."""
        try:
            plan = read_once(path)
        except PlanError:
            return READ
        if await self.is_found_by_check(plan):
            return CHECK
        if 0 in (await self.counts(plan, self.platform.bots[0])).values():
            return PREVIEW
        if await _is_found_by_doctor(path):
            return DOCTOR
        return RUN if await self.is_found_by_run(plan, path) else None

    async def is_found_by_check(self, plan: PlanFile) -> bool:
        """A warning is told too: a sample plan has none when it is right."""
        self.capsys.readouterr()
        try:
            await check(plan, as_json=True)
        except BotDeletionError:
            return True
        findings = json.loads(self.capsys.readouterr().out.splitlines()[-1])
        return any(finding["status"] not in {Found.OK, Found.SKIPPED} for finding in findings)

    async def counts(self, plan: PlanFile, bot: str) -> dict[str, int]:
        """What `plan preview` prints."""
        self.capsys.readouterr()
        await preview(plan, bot, as_json=True)
        steps = json.loads(self.capsys.readouterr().out.splitlines()[-1])["steps"]
        return {str(name): int(n) for name, n in steps.items() if n is not None}

    async def is_found_by_run(self, plan: PlanFile, path: Path) -> bool:
        """Whether a job does not end as it should, or its record says that nothing was read back.

        To see a rollback it runs a second job, for a bot whose account is disputed.
        """
        right = read_once(PLANS[path.stem])
        for disputed in (False, True) if right.point_of_no_return else (False,):
            bot = str(ObjectId())
            await self.platform.plant(right.service, bot, disputed=disputed)
            job = await self.platform.run(plan, bot)
            wanted = Status.COMPENSATED if disputed else Status.COMPLETE
            if job.status is not wanted or _by_answer_only(job.current_steps):
                return True
            left = set((await self.counts(right, bot)).values())
            if left != ({1} if disputed else {0}):  # an account, its parts, and an invoice
                self.harmful.append(path)
        return False


async def _is_found_by_doctor(path: Path) -> bool:
    """In place of the sample plan of its name, beside the others."""
    others = [right for right in PLANS.values() if right.name != path.name]
    findings = await examine([path, *others], None, lambda _: None)
    mine = [f for f in findings if not f.check.startswith(("settings of", "alerts"))]
    return any(finding.status is Found.FAILED for finding in mine)


def _by_answer_only(steps: Sequence[StepProgress]) -> bool:
    return any(step.read_back == ANSWER_ONLY for step in steps)


@pytest.fixture
def look(platform: Platform, capsys: pytest.CaptureFixture[str]) -> Look:
    return Look(platform, capsys)


@pytest.mark.proves("wrong-plan")
async def test_the_sample_plans_themselves_are_right(look: Look) -> None:
    for path in PLANS.values():
        assert await look.noticed(path) is None, path
    assert look.harmful == []


@pytest.mark.proves("wrong-plan")
@pytest.mark.timeout(600)
async def test_every_wrong_value_of_the_sample_plans_is_noticed(look: Look, tmp_path: Path) -> None:
    """But for the exceptions, and of these the harmless ones leave the data as it must be."""
    by: dict[str, str | None] = {}
    excused, harmful = [], []
    for number, wrong in enumerate(wrong_plans()):
        path = wrong.written(tmp_path / str(number))
        by[str(wrong)] = await look.noticed(path)
        if wrong.is_one_of(HARMLESS | UNSEEN):
            excused.append(str(wrong))
        if wrong.is_one_of(UNSEEN):
            harmful.append(path)
    assert len(by) > 400
    assert {wrong: by[wrong] for wrong in excused if by[wrong]} == {}, "harmless, but noticed"
    assert [wrong for wrong, way in by.items() if way is None] == excused
    assert look.harmful == harmful
    assert {way for way in by.values() if way} == {READ, CHECK, PREVIEW, DOCTOR, RUN}


@pytest.mark.parametrize("pattern", [*HARMLESS, *UNSEEN])
def test_every_exception_matches_a_mutant(pattern: str) -> None:
    assert any(wrong.is_one_of({pattern: ""}) for wrong in wrong_plans())


async def test_a_preview_of_a_live_bot_shows_what_a_wrong_plan_would_miss(
    look: Look, tmp_path: Path
) -> None:
    bot, path = look.platform.bots[0], ("steps", 0, "mongo", "field")
    wrong = read_plan(WrongPlan("conversations.yaml", ((path, "_id"),)).written(tmp_path))
    assert await look.counts(read_plan(PLANS["conversations"]), bot) == {
        "messages": 5,
        "sessions": 1,
    }
    assert await look.counts(wrong, bot) == {"messages": 0, "sessions": 1}


async def test_a_folder_of_others_with_ids_of_their_own_is_noticed_by_doctor(
    look: Look, tmp_path: Path
) -> None:
    """Each key looks right by itself, so that `plan check` finds nothing wrong."""
    path = ("steps", 0, "objects", "prefix")
    wrong = WrongPlan("media.yaml", ((path, "users/{bot_id}/"),)).written(tmp_path)
    plan, others = read_plan(wrong), [f"users/{ObjectId()}/face" for _ in range(3)]
    await look.platform.files.fill(dict.fromkeys(others, b"x"))
    assert not await look.is_found_by_check(plan)
    assert await _is_found_by_doctor(wrong)


@pytest.mark.proves("wrong-plan")
async def test_a_slow_api_that_several_steps_call_is_looked_at_all_the_same(look: Look) -> None:
    """It takes two calls at a time, and a look must not be parked."""
    plan, mood = read_plan(PLANS["billing"]), "/control/mood"
    await look.platform.api.put(mood, params={"mood": Mood.SLOW})
    try:
        counts = await look.counts(plan, look.platform.bots[0])
        assert counts == dict.fromkeys(("pause", "unpublish", "invoices", "account"), 1)
        assert not await look.is_found_by_check(plan)
    finally:
        await look.platform.api.put(mood, params={"mood": Mood.WELL})
