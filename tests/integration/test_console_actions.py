"""What operators do at the console, with real parts: recovery, a consumer, broker and database."""

import signal
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import httpx
import pytest

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.operator_actions import MongoActionStore, MongoPreviewStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import truncated
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.events import encode
from deletion.job import Status
from deletion.ledger import RequestChange
from deletion.operating.bulk import CHANGED, GROUP
from deletion.operating.journal import INTERRUPTED
from deletion.operating.record import ActionKind, ActionStatus, OperatorAction, WholeAction
from deletion.request import DeletionRequest, Waiver
from tests.support.consoles import BY, Operator, operated
from tests.support.factories import a_deletion_request, a_letter, again
from tests.support.indexed import indexed
from tests.support.pipeline import (
    SERVICE,
    TOKEN,
    WITHIN,
    Pipeline,
    listening,
    request_placed,
    until,
)
from tests.support.recovering import HOUR, claimable, job, recovering, seed

MANY = 500
"""Jobs; enough that a bulk retry is still under way when it is interrupted."""
ANSWERED_WITHIN = 15.0
"""Seconds: recovery is called for 4, and the record is written before and after."""


@pytest.fixture
async def actions(pipeline: Pipeline, client: Client) -> MongoActionStore:
    await indexed(MongoPreviewStore, client, pipeline.database)
    return await indexed(MongoActionStore, client, pipeline.database)


def at_the_console(pipeline: Pipeline, **settings: str) -> AbstractAsyncContextManager[Operator]:
    """An operator at a console over the parts of the pipeline."""
    where = {
        "GOOGLE_CLOUD_PROJECT": pipeline.project,
        "PUBSUB_EMULATOR_HOST": pipeline.broker,
        "BOTDEL_SHUTDOWN_GRACE_SECONDS": "20",
    }
    return operated(pipeline.mongo_uri, pipeline.database, **(where | settings))


async def whole(actions: MongoActionStore, action_id: str) -> WholeAction:
    found = await actions.get(action_id)
    assert isinstance(found, WholeAction)
    return found


async def last(actions: MongoActionStore) -> OperatorAction:
    [action] = await actions.find(limit=1)
    assert isinstance(action, OperatorAction)
    return action


def refusals(done: WholeAction) -> dict[str, str]:
    return {each.id: each.refusal for each in done.outcomes if each.refusal is not None}


@pytest.mark.proves("console-actions")
async def test_a_sweep_that_an_operator_starts_is_recoverys_and_is_on_record(
    pipeline: Pipeline, actions: MongoActionStore
) -> None:
    ids = await seed(pipeline, [job(Status.FAILED, silent=HOUR) for _ in range(3)])
    async with recovering(pipeline) as recovery:
        where = {"BOTDEL_RECOVERY_URL": recovery.url, "BOTDEL_RECOVERY_TOKEN": TOKEN}
        async with at_the_console(pipeline, **where) as operator:
            answer = await operator.http.post("/sweeps", data={"reason": "the API is back"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/sweeps")
            done = await whole(actions, (await last(actions)).id)
            [outcome] = done.outcomes
            sweep = await recovery.ended(outcome.id)
            await operator.saw("/sweeps", outcome.id)
    assert (sweep["status"], sweep["resumed"]) == ("complete", 3)
    assert sorted(str(each["_id"]) for each in await claimable(pipeline)) == sorted(ids)
    assert outcome.refusal is None
    order, status = done.action.order, done.action.status
    assert (order.kind, order.by, order.reason) == (ActionKind.SWEEP, BY, "the API is back")
    assert status is ActionStatus.COMPLETE


@pytest.mark.proves("action-recorded-first")
async def test_a_sweep_that_recovery_does_not_start_is_on_record_with_the_reason(
    pipeline: Pipeline, actions: MongoActionStore
) -> None:
    """It hangs at first, then it is gone."""
    why: list[str | None] = []
    async with recovering(pipeline) as recovery:
        where = {"BOTDEL_RECOVERY_URL": recovery.url, "BOTDEL_RECOVERY_TOKEN": TOKEN}
        async with at_the_console(pipeline, **where) as operator:
            for fault in (signal.SIGSTOP, signal.SIGKILL):
                recovery.process.signal(fault)
                if fault is signal.SIGKILL:
                    await recovery.process.wait(WITHIN)  # until then its port takes connections
                begun = time.monotonic()
                answer = await operator.http.post("/sweeps", data={"reason": "now"})
                assert time.monotonic() - begun < ANSWERED_WITHIN
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
                action = await last(actions)
                assert action.status is ActionStatus.FAILED
                why.append(action.failure)
                if fault is signal.SIGKILL:
                    await operator.saw(f"/actions/{action.id}", "The action stopped")
    assert why[0]
    assert why[1]
    assert why[0].startswith("recovery does not answer (")
    assert why[1].startswith("recovery does not answer (ConnectError)")


async def recorded(letters: MongoDeadLetterStore, bots: Sequence[str]) -> list[DeadLetter]:
    """A letter for each of the bots, whose message was delivered in vain."""
    made = [
        a_letter(service=SERVICE, data=encode(request_placed(bot)), reason=Reason.UNDELIVERED)
        for bot in bots
    ]
    await letters.record(made)
    return made


@pytest.mark.proves("console-actions", "action-changed")
async def test_replayed_letters_become_jobs_unless_they_have_changed_since_the_preview(
    pipeline: Pipeline, client: Client, actions: MongoActionStore
) -> None:
    letters = await indexed(MongoDeadLetterStore, client, pipeline.database)
    bots = await pipeline.fill(*[1] * 25)
    made = await recorded(letters, bots)
    returned, discarded, *rest = made
    async with pipeline.consumer() as consumer, at_the_console(pipeline) as operator:
        await listening(consumer)
        preview = await operator.previewed(f"/dead-letters/replay?service={SERVICE}")
        await letters.record([again(returned)])
        assert await letters.mark(discarded, DeadLetterStatus.DISCARDED)
        action = await operator.confirmed(preview, "the consumer is mended")
        await operator.saw(f"/actions/{action}", "23 done, 2 refused of 25")

        async def are_deleted() -> bool:
            return int(await pipeline.jobs.count_documents({"status": "complete"})) == len(rest)

        await until(are_deleted)
        await operator.saw(f"/actions/{action}", CHANGED)
    left = {bot: await pipeline.left(bot) for bot in bots}
    assert left == dict.fromkeys(bots, 0) | dict.fromkeys(bots[:2], 1)
    done = await whole(actions, action)
    assert refusals(done) == dict.fromkeys([returned.id, discarded.id], CHANGED)
    now = [await letters.get(letter.id) for letter in made]
    assert [each.status for each in now if isinstance(each, DeadLetter)] == [
        DeadLetterStatus.NEW,
        DeadLetterStatus.DISCARDED,
        *[DeadLetterStatus.REPLAYED] * len(rest),
    ]


@pytest.mark.proves("action-changed")
async def test_a_service_is_waived_in_many_requests_except_those_that_were_written_meanwhile(
    pipeline: Pipeline, client: Client, actions: MongoActionStore
) -> None:
    requests = await indexed(MongoRequestStore, client, pipeline.database)
    now = truncated(datetime.now(UTC))
    made = [a_deletion_request(SERVICE, "billing", now=now) for _ in range(25)]
    await requests.record(made)
    async with at_the_console(pipeline) as operator:
        preview = await operator.previewed("/requests/waive?service=billing")
        done_since = made[0].completed("billing", job(Status.COMPLETE).id, now)
        assert await requests.save([RequestChange(made[0], done_since)]) == []
        action = await operator.confirmed(preview, "billing has no bots any more")
        await operator.saw(f"/actions/{action}", "24 done, 1 refused of 25")
    assert refusals(await whole(actions, action)) == {made[0].id: CHANGED}
    found = await requests.get([each.id for each in made])
    waivers = {
        each.id: share.waiver
        for each in found
        if isinstance(each, DeletionRequest) and (share := each.share("billing"))
    }
    waiver = Waiver(BY, "billing has no bots any more")
    assert waivers == {each.id: waiver for each in made} | {made[0].id: None}
    assert all(isinstance(each, DeletionRequest) and each.owed == (SERVICE,) for each in found)


@pytest.mark.proves("action-crash")
async def test_a_console_that_is_asked_to_stop_says_how_far_it_came_and_another_does_the_rest(
    pipeline: Pipeline, client: Client, actions: MongoActionStore
) -> None:
    await indexed(MongoJobStore, client, pipeline.database)
    ids = await seed(pipeline, [job(Status.EXHAUSTED, attempt=3) for _ in range(MANY)])
    async with at_the_console(pipeline) as operator:
        preview = await operator.previewed("/jobs/retry?status=exhausted")
        action = await operator.confirmed(preview, "the API is back")

        async def has_begun() -> bool:
            return (await whole(actions, action)).action.done > 0

        await until(has_begun)
        operator.process.signal(signal.SIGTERM)
        assert await operator.process.wait(WITHIN) == 0
    stopped = await whole(actions, action)
    done = [each.id for each in stopped.outcomes]
    assert (stopped.action.status, stopped.action.failure) == (ActionStatus.FAILED, INTERRUPTED)
    assert GROUP <= stopped.action.done == len(done) == stopped.action.begun < len(ids)
    retried = await pipeline.jobs.find({"status": "pending"}).to_list(None)
    assert sorted(str(each["_id"]) for each in retried) == sorted(done), "as the record says"

    async with at_the_console(pipeline) as operator:
        await operator.went_on(action)
        await operator.saw(f"/actions/{action}", f"{MANY} done, 0 refused of {MANY}")
        once_more = await operator.http.post(f"/actions/{action}/again")
        assert once_more.status_code == httpx.codes.CONFLICT
    ended = await whole(actions, action)
    assert (ended.action.status, len(ended.action.runs)) == (ActionStatus.COMPLETE, 2)
    assert sorted(each.id for each in ended.outcomes) == sorted(ids), "each once"
    before = {each["_id"]: each for each in retried}
    after = await pipeline.jobs.find({"_id": {"$in": [*before]}}).to_list(None)
    assert {each["_id"]: each for each in after} == before, "nothing was done twice"
    assert await pipeline.jobs.count_documents({"status": "pending"}) == len(ids)
