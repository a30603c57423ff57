"""The console as a process of its own, over the database of this machine."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from botdel.local.database import EmbeddedMongo
from botdel.local.processes import ChildProcess
from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.adapters.mongo.requests import MongoRequestStore
from deletion.clock import truncated
from deletion.job import Status
from tests.support.factories import BOT, a_deletion_request, a_letter, new_job
from tests.support.forked import ForkedProcess
from tests.support.indexed import indexed
from tests.support.pipeline import WITHIN, listening

TOKEN = "the-token-of-the-viewer"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}


@asynccontextmanager
async def console(
    mongo_uri: str, database: str, folder: Path
) -> AsyncIterator[tuple[ChildProcess, httpx.AsyncClient]]:
    """A console that listens, and a client of the viewer."""
    environment = {
        "GOOGLE_CLOUD_PROJECT": "a-project",
        "BOTDEL_MONGODB_URI": mongo_uri,
        "BOTDEL_MONGODB_DATABASE": database,
        "BOTDEL_CONSOLE_USERS": f"vera:viewer:{TOKEN}",
        "BOTDEL_LOG_FORMAT": "json",
    }
    arguments = ["botdel.cli", "console", "--port", "0"]
    async with ForkedProcess("console", arguments, env=environment) as process:
        url = await listening(process)
        async with httpx.AsyncClient(
            base_url=url, headers=HEADERS, timeout=WITHIN, trust_env=False
        ) as http:
            yield process, http


async def test_every_page_shows_what_is_in_the_database(
    mongo: EmbeddedMongo, client: Client, database_name: str, tmp_path: Path
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
    async with console(mongo.uri, database_name, tmp_path) as (_, http):
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
            answer = await http.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert text in answer.text, path
        asked = await http.get(f"/v1/deletions/{request.id}")
        assert asked.json()["services"][0]["job_id"] == job.id
        assert (await http.get("/jobs", headers={"Authorization": ""})).status_code == 303


async def test_it_ends_cleanly_when_it_is_asked_to(
    mongo: EmbeddedMongo, database_name: str, tmp_path: Path
) -> None:
    async with console(mongo.uri, database_name, tmp_path) as (process, http):
        assert (await http.get("/healthz")).text == "ok"
        process.signal(signal.SIGTERM)
        assert await process.wait(WITHIN) == 0


async def test_it_starts_without_its_database_and_says_so(
    database_name: str, tmp_path: Path
) -> None:
    nowhere = "mongodb://127.0.0.1:9/?directConnection=true"
    async with console(nowhere, database_name, tmp_path) as (_, http):
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        page = await http.get("/")
        assert page.status_code == 503
        assert page.headers["retry-after"] == "5"


@pytest.mark.proves("console-access")
async def test_it_does_not_start_without_a_user(tmp_path: Path) -> None:
    environment = {"GOOGLE_CLOUD_PROJECT": "p", "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1/"}
    process = ForkedProcess("console", ["botdel.cli", "console"], env=environment)
    async with process:
        assert await process.wait(WITHIN) == 2
