"""The HTTP interface of recovery, over parts in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from deletion.errors import StoreUnavailable
from deletion.process.problems import PROBLEM
from deletion.process.tokens import BearerTokens
from deletion.sweep import Sweep
from recovery.app import create_app
from recovery.metrics import Metrics
from tests.unit.recovery.sweeping import Started, World, hang

pytestmark = pytest.mark.virtual_time

TOKEN = "a-token-that-is-long-enough"
SWEEPS = "/v1/recovery/sweeps"


@dataclass
class Served:
    started: Started
    http: httpx.AsyncClient
    metrics: Metrics

    async def ended(self) -> Sweep:
        sweep = await self.started.ended.get()
        self.metrics.ended(sweep)
        return sweep


@pytest_asyncio.fixture(loop_scope="function")
async def served() -> AsyncIterator[Served]:
    started, metrics = Started(World()), Metrics()

    async def ready() -> None:
        return None

    app = create_app(
        started.sweeps,
        BearerTokens([SecretStr(TOKEN)]),
        registry=metrics.registry,
        ready=ready,
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://recovery", headers=headers
    ) as http:
        yield Served(started, http, metrics)
    await started.sweeps.close(0.01)


def problem(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == PROBLEM
    content = answer.json()
    assert content["status"] == answer.status_code
    return content


async def test_a_start_is_accepted_and_its_location_shows_the_sweep(served: Served) -> None:
    served.started.world.jobs.add()
    going_on = hang(served.started.world)
    answer = await served.http.post(SWEEPS)
    started = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{SWEEPS}/{started['sweep_id']}"
    assert started == {
        "sweep_id": started["sweep_id"],
        "status": "running",
        "resumed": 0,
        "exhausted": 0,
        "skipped": 0,
        "started_at": "2025-03-30T01:59:59.250000Z",
        "last_modified_at": "2025-03-30T01:59:59.250000Z",
        "finished_at": None,
        "error": None,
    }
    going_on.set()
    await served.ended()
    shown = await served.http.get(answer.headers["location"])
    assert shown.status_code == 200
    ended = {"status": "complete", "resumed": 1, "finished_at": "2025-03-30T01:59:59.250000Z"}
    assert shown.json() == started | ended


async def test_a_second_start_answers_with_the_sweep_that_runs(served: Served) -> None:
    served.started.world.jobs.add()
    hang(served.started.world)
    answers = await asyncio.gather(*(served.http.post(SWEEPS) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["sweep_id"] for answer in answers}) == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", SWEEPS), ("GET", f"{SWEEPS}/{'0' * 24}"), ("GET", SWEEPS + "/x")]
)
async def test_without_the_credential_nothing_is_started_or_shown(
    served: Served, method: str, path: str, headers: dict[str, str]
) -> None:
    served.http.headers.pop("Authorization")
    answer = await served.http.request(method, path, headers=headers)
    assert problem(answer)["status"] == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert served.started.world.sweeps.sweeps == {}


async def test_an_unknown_sweep_and_a_bad_id_are_problems(served: Served) -> None:
    unknown = problem(await served.http.get(f"{SWEEPS}/{'0' * 24}"))
    assert (unknown["status"], unknown["detail"]) == (404, f"there is no sweep {'0' * 24}")
    for bad in ("x", "0" * 23, "0" * 25, "g" * 24, "0" * 24 + "%0A"):
        assert problem(await served.http.get(f"{SWEEPS}/{bad}"))["status"] == 422


async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(
    served: Served,
) -> None:
    async def away(*_: object, **__: object) -> Sweep:
        raise StoreUnavailable("MongoDB has no primary")

    served.started.world.sweeps.start = away  # type: ignore[method-assign]
    served.started.world.sweeps.get = away  # type: ignore[method-assign]
    for answer in (await served.http.post(SWEEPS), await served.http.get(f"{SWEEPS}/{'0' * 24}")):
        assert (problem(answer)["status"], answer.headers["retry-after"]) == (503, "5")


async def test_a_process_that_ends_takes_no_new_sweep(served: Served) -> None:
    await served.started.sweeps.close(0.01)
    assert problem(await served.http.post(SWEEPS))["status"] == 503


async def test_an_unforeseen_error_is_a_problem_without_its_text(served: Served) -> None:
    async def broken(*_: object, **__: object) -> Sweep:
        raise RuntimeError("secret")

    served.started.world.sweeps.start = broken  # type: ignore[method-assign]
    answer = await served.http.post(SWEEPS)
    assert problem(answer)["status"] == 500
    assert "secret" not in answer.text


async def test_a_clock_that_is_off_is_a_refusal_that_says_what_to_do(served: Served) -> None:
    served.started.world.jobs.skew = timedelta(minutes=30)
    answer = await served.http.post(SWEEPS)
    assert answer.status_code == 503
    assert "synchronise" in problem(answer)["detail"]
    assert served.started.world.sweeps.sweeps == {}


async def test_metrics_are_there_from_the_start_and_count(served: Served) -> None:
    before = (await served.http.get("/metrics")).text
    assert 'botdel_recovery_sweeps_total{status="failed"} 0.0' in before
    assert "botdel_recovery_last_sweep_end_timestamp_seconds 0.0" in before
    served.started.world.jobs.add()
    served.started.world.jobs.add(attempt=5)
    await served.http.post(SWEEPS)
    await served.ended()
    after = (await served.http.get("/metrics")).text
    assert 'botdel_recovery_sweeps_total{status="complete"} 1.0' in after
    assert 'botdel_recovery_jobs_total{outcome="resumed"} 1.0' in after
    assert 'botdel_recovery_jobs_total{outcome="exhausted"} 1.0' in after
    assert 'botdel_recovery_jobs_total{outcome="skipped"} 0.0' in after
    assert "botdel_recovery_last_sweep_end_timestamp_seconds 1.74329999925e+09" in after


async def test_openapi_knows_every_answer_and_the_credential(served: Served) -> None:
    paths = (await served.http.get("/openapi.json")).json()["paths"]
    start, show = paths[SWEEPS]["post"], paths[f"{SWEEPS}/{{sweep_id}}"]["get"]
    assert set(start["responses"]) == {"202", "401", "408", "431", "500", "503"}
    assert set(show["responses"]) == {"200", "401", "404", "408", "422", "431", "500", "503"}
    assert start["security"] == show["security"] == [{"bearer": []}]
    for operation in (start, show):
        for status, answer in operation["responses"].items():
            kind = "application/json" if status < "300" else PROBLEM
            assert list(answer["content"]) == [kind]
    assert "Location" in start["responses"]["202"]["headers"]
    assert "Retry-After" in start["responses"]["503"]["headers"]
    assert "WWW-Authenticate" in start["responses"]["401"]["headers"]
