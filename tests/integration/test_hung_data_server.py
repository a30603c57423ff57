"""A data server that hangs holds up its own jobs, and no heartbeat of any other."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from time import monotonic
from typing import Any

import pytest
from bson import ObjectId
from motor.frameworks import asyncio as framework

from botdel.local.database import EmbeddedMongo
from deletion.adapters.mongo.connection import Clients, translated
from deletion.adapters.mongo.step import MongoStep
from deletion.errors import StoreUnavailable
from tests.support.fake_mongo import REPLICA_SET, FakeMongo
from tests.support.polling import SLACK

RUNS = 12
HANGS_FOR = 13.0
"""Seconds until a call to the data is given up."""
SOON = 1 + SLACK
"""Seconds for a heartbeat: far more than it takes, and far less than a call that hangs."""


@pytest.fixture
def few_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool as on a machine with one CPU, whatever other tests have made of it."""
    monkeypatch.delenv("MOTOR_MAX_WORKERS", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(framework, "max_workers", 5)
        framework._reset_global_executor()  # type: ignore[no-untyped-call]
        yield
    framework._reset_global_executor()  # type: ignore[no-untyped-call]


@pytest.fixture(params=[REPLICA_SET, None], ids=["after hello", "from the beginning"])
async def data(request: pytest.FixtureRequest) -> AsyncIterator[FakeMongo]:
    """A server that accepts connections and answers nothing, or nothing but what it is."""
    hello: Mapping[str, Any] | None = request.param
    async with FakeMongo(hello, lambda _: None) as server:
        yield server


@pytest.mark.proves("hung-data-server")
@pytest.mark.usefixtures("few_threads")
async def test_heartbeats_go_on_while_every_run_hangs_in_its_data(
    mongo: EmbeddedMongo, data: FakeMongo, database_name: str
) -> None:
    clients = Clients(mongo.uri, runs=RUNS)
    jobs = clients.get()[database_name]["deletion_jobs"]
    ids = [ObjectId() for _ in range(RUNS)]
    await jobs.insert_many([{"_id": each, "beats": 0} for each in ids])
    collection = clients.get(data.uri)["d"]["c"]
    step = MongoStep("messages", collection, "botId", call_seconds=HANGS_FOR)

    async def beat(job: ObjectId) -> float:
        began = monotonic()
        with translated():
            await jobs.update_one({"_id": job}, {"$inc": {"beats": 1}})
        return monotonic() - began

    runs = [asyncio.create_task(step.is_empty(str(each))) for each in ids]
    try:
        await asyncio.sleep(0.2)  # every run is in its call
        for _ in range(2):
            assert max(await asyncio.gather(*map(beat, ids))) < SOON
        assert not any(run.done() for run in runs), "they hang all that time"
        given_up = await asyncio.gather(*runs, return_exceptions=True)
        assert {type(error) for error in given_up} == {StoreUnavailable}
    finally:
        clients.close()
