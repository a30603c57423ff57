"""The console as a process of its own, over the database of this machine."""

import signal
from datetime import UTC, datetime

import pytest

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.operator_actions import MongoActionStore, MongoPreviewStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import truncated
from deletion.job import Job, Status
from deletion.operating.record import WholeAction
from tests.support.consoles import BY, VIEWER, console, operated
from tests.support.factories import BOT, a_deletion_request, a_letter, new_job
from tests.support.forked import ForkedProcess
from tests.support.indexed import indexed
from tests.support.pipeline import WITHIN


async def test_with_several_users_and_no_secret_it_warns_once(
    mongo: EmbeddedMongo, database_name: str
) -> None:
    async with console(mongo.uri, database_name) as (process, _):
        said = [line for line in process.lines if "BOTDEL_CONSOLE_SECRET is not set" in line]
        assert len(said) == 1
        assert VIEWER not in said[0]


async def test_every_page_shows_what_is_in_the_database(
    mongo: EmbeddedMongo, client: Client, database_name: str
) -> None:
    now = truncated(datetime.now(UTC))
    jobs = await indexed(MongoJobStore, client, database_name)
    letters = await indexed(MongoDeadLetterStore, client, database_name)
    requests = await indexed(MongoRequestStore, client, database_name)
    job = new_job(Status.PENDING, bot_id=BOT, created_at=now, last_modified_at=now, due=now)
    letter = a_letter(service="media")
    request = a_deletion_request(job.service, event_id=job.event_id, bot_id=BOT, now=now)
    await jobs.record([job])
    await letters.record([letter])
    await requests.record([request])
    async with console(mongo.uri, database_name) as (_, http):
        shown = {
            "/": job.service,
            "/jobs": job.id,
            f"/jobs?bot={BOT}": job.id,
            f"/jobs/{job.id}": "0 jobs of its queue are due earlier",
            "/requests": request.id,
            f"/requests/{request.id}": "pending",
            "/dead-letters": letter.id,
            f"/dead-letters/{letter.id}": "Fault at byte",
            "/readyz": "ready",
        }
        for path, text in shown.items():
            for _ in range(5):  # a busy database may be too slow: what a page waits for is bounded
                answer = await http.get(path)
                if answer.status_code != 503:
                    break
            assert answer.status_code == 200, (path, answer.text)
            assert text in answer.text, path
        asked = await http.get(f"/v1/deletions/{request.id}")
        assert asked.json()["services"][0]["job_id"] == job.id
        assert (await http.get("/jobs", headers={"Authorization": ""})).status_code == 303


@pytest.mark.proves("console-actions")
async def test_an_operator_retries_what_matches_and_it_is_on_record(
    mongo: EmbeddedMongo, client: Client, database_name: str
) -> None:
    now = truncated(datetime.now(UTC))
    jobs = await indexed(MongoJobStore, client, database_name)
    actions = await indexed(MongoActionStore, client, database_name)
    await indexed(MongoPreviewStore, client, database_name)
    made = [new_job(Status.EXHAUSTED, created_at=now, last_modified_at=now) for _ in range(12)]
    await jobs.record(made)
    async with operated(mongo.uri, database_name) as operator:
        preview = await operator.previewed("/jobs/retry?status=exhausted")
        action = await operator.confirmed(preview, "the API is back")
        await operator.saw(f"/actions/{action}", "12 done, 0 refused of 12")
    whole = await actions.get(action)
    assert isinstance(whole, WholeAction)
    assert (whole.action.order.by, whole.action.order.reason) == (BY, "the API is back")
    found = await jobs.find(limit=20)
    assert {each.status for each in found if isinstance(each, Job)} == {Status.PENDING}


async def test_it_ends_cleanly_when_it_is_asked_to(
    mongo: EmbeddedMongo, database_name: str
) -> None:
    async with console(mongo.uri, database_name) as (process, http):
        assert (await http.get("/healthz")).text == "ok"
        process.signal(signal.SIGTERM)
        assert await process.wait(WITHIN) == 0


async def test_it_starts_without_its_database_and_says_so(database_name: str) -> None:
    nowhere = "mongodb://127.0.0.1:9/?directConnection=true"
    async with console(nowhere, database_name) as (_, http):
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        page = await http.get("/")
        assert page.status_code == 503
        assert page.headers["retry-after"] == "5"


@pytest.mark.proves("console-access")
async def test_it_does_not_start_without_a_user() -> None:
    environment = {"GOOGLE_CLOUD_PROJECT": "p", "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1/"}
    process = ForkedProcess("console", ["botdel.cli", "console"], env=environment)
    async with process:
        assert await process.wait(WITHIN) == 2
