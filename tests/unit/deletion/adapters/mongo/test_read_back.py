"""How a step reads back on each kind of deployment: told by the commands that reach the server."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.step import NOT_SUPPORTED, MongoStep
from deletion.errors import StoreUnavailable
from deletion.plan import Verified
from tests.support.fake_mongo import (
    MONGOS,
    NO_DOCUMENTS,
    REPLICA_SET,
    STANDALONE,
    FakeMongo,
    Reply,
    failure,
)
from tests.support.polling import SLACK

BOT = str(ObjectId())
LEVELS = {
    "a replica set": (REPLICA_SET, "linearizable"),
    "mongos": (MONGOS, "majority"),
    "a standalone": (STANDALONE, "majority"),
}


async def looks(
    hello: Mapping[str, Any], reply: Reply, *, times: int = 1, seconds: float = 5
) -> tuple[FakeMongo, MongoStep]:
    """A step that has looked `times` times, and the server that was asked."""
    async with FakeMongo(hello, reply) as server:
        client = connect(server.uri)
        step = MongoStep("messages", client["d"]["c"], "botId", call_seconds=seconds)
        try:
            for _ in range(times):
                assert await step.is_empty(BOT)
        finally:
            client.close()
    return server, step


@pytest.mark.proves("read-concern")
@pytest.mark.parametrize(("hello", "level"), LEVELS.values(), ids=LEVELS.keys())
async def test_a_read_back_is_as_strong_as_the_deployment_allows(
    hello: Mapping[str, Any], level: str
) -> None:
    server, step = await looks(hello, lambda _: NO_DOCUMENTS, times=2)
    for command in server.sent("find"):
        assert command["readConcern"] == {"level": level}
        assert 0 < command["maxTimeMS"] <= 5000
    assert isinstance(step, Verified)
    assert step.read_back == level


async def test_the_kind_of_deployment_is_asked_for_once() -> None:
    server, _ = await looks(REPLICA_SET, lambda _: NO_DOCUMENTS, times=3)
    assert (len(server.sent("hello")), len(server.sent("find"))) == (1, 3)


@pytest.mark.proves("read-concern")
@pytest.mark.parametrize("code", sorted(NOT_SUPPORTED))
async def test_a_read_concern_that_is_refused_is_replaced_for_good(code: int) -> None:
    def reply(command: Mapping[str, Any]) -> Mapping[str, Any]:
        linearizable = command.get("readConcern") == {"level": "linearizable"}
        return failure(code) if linearizable else NO_DOCUMENTS

    server, step = await looks(REPLICA_SET, reply, times=2)
    levels = [command["readConcern"]["level"] for command in server.sent("find")]
    assert levels == ["linearizable", "majority", "majority"]
    assert step.read_back == "majority"


@pytest.mark.proves("read-concern")
@pytest.mark.parametrize("code", [50, 189, 10107])
async def test_a_primary_that_cannot_confirm_the_look_is_never_taken_for_empty(code: int) -> None:
    with pytest.raises(StoreUnavailable):
        await looks(REPLICA_SET, lambda _: failure(code))


async def test_every_call_of_a_step_is_bounded_by_the_server_too() -> None:
    """`maxTimeMS` goes with each call but `getMore`, where MongoDB refuses it for such cursors."""

    def reply(command: Mapping[str, Any]) -> Mapping[str, Any]:
        mine = [{"_id": len(server.commands), "botId": ObjectId(BOT)}]
        if "find" in command:
            return {"cursor": {"id": 7, "ns": "d.c", "firstBatch": mine}}
        if "getMore" in command:
            first = len(server.sent("getMore")) == 1
            page = {"id": 7, "nextBatch": mine} if first else {"id": 0, "nextBatch": []}
            return {"cursor": {"ns": "d.c", **page}}
        return {"n": 1}

    async with FakeMongo(REPLICA_SET, reply) as server:
        client = connect(server.uri)
        step = MongoStep("messages", client["d"]["c"], "botId", batch_size=1, call_seconds=2)
        try:
            assert [batch.deleted async for batch in step.delete(BOT, None)] == [1, 1]
        finally:
            client.close()
    assert len(server.sent("getMore")) == 2
    for command in server.commands:
        if "getMore" in command:
            assert "maxTimeMS" not in command
        else:
            assert 0 < command["maxTimeMS"] <= 2000


@pytest.mark.proves("hung-data-server")
@pytest.mark.parametrize("hello", [REPLICA_SET, None], ids=["after hello", "from the beginning"])
@pytest.mark.parametrize("call", ["is_empty", "delete"])
async def test_a_call_to_a_server_that_never_answers_ends_in_time(
    hello: Mapping[str, Any] | None, call: str
) -> None:
    async with FakeMongo(hello, lambda _: None) as server:
        client = connect(server.uri)
        step = MongoStep("messages", client["d"]["c"], "botId", call_seconds=0.5)
        try:
            async with asyncio.timeout(0.5 + SLACK):
                with pytest.raises(StoreUnavailable):
                    await (
                        step.is_empty(BOT) if call == "is_empty" else anext(step.delete(BOT, None))
                    )
        finally:
            client.close()
