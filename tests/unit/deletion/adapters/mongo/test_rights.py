"""A step says which of the rights that it needs the server does not give it."""

from collections.abc import Mapping
from typing import Any

import pytest

from deletion.adapters.mongo.connection import connect
from deletion.adapters.mongo.step import MongoStep
from tests.support.fake_mongo import REPLICA_SET, FakeMongo, failure

READ, ALL = ["find", "listIndexes"], ["find", "remove", "insert", "listIndexes"]


def may(actions: list[str], **resource: Any) -> dict[str, Any]:
    return {"resource": resource, "actions": actions}


def told(*privileges: dict[str, Any], users: tuple[str, ...] = ("reader",)) -> dict[str, Any]:
    names = [{"user": user, "db": "admin"} for user in users]
    known = {"authenticatedUsers": names, "authenticatedUserPrivileges": list(privileges)}
    return {"authInfo": known}


async def forbidden(answer: Mapping[str, Any]) -> list[str] | None:
    def reply(command: dict[str, Any]) -> Mapping[str, Any]:
        if "connectionStatus" not in command:
            return {}
        assert command["showPrivileges"] is True
        return answer

    async with FakeMongo(REPLICA_SET, reply) as server:
        client = connect(server.uri)
        try:
            return await MongoStep("messages", client["chat"]["messages"], "botId").forbidden()
        finally:
            client.close()


@pytest.mark.parametrize(
    "privilege",
    [
        may(ALL, db="chat", collection="messages"),
        may(ALL, db="chat", collection=""),
        may(ALL, db="", collection=""),
        may(ALL, db="", collection="messages"),
        may(ALL, anyResource=True),
    ],
)
async def test_a_superuser_lacks_no_right(privilege: dict[str, Any]) -> None:
    assert await forbidden(told(may(["find"], cluster=True), privilege)) == []


async def test_rights_add_up() -> None:
    reads, removes = may(READ, db="chat", collection=""), may(["remove"], db="", collection="")
    assert await forbidden(told(reads, removes)) == []


@pytest.mark.proves("wrong-plan")
@pytest.mark.parametrize(
    ("privilege", "missing"),
    [
        (may(READ, db="chat", collection="messages"), ["remove"]),
        (may(ALL, db="chat", collection="drafts"), ["find", "remove", "listIndexes"]),
        (may(ALL, db="shop", collection=""), ["find", "remove", "listIndexes"]),
        (may(ALL, cluster=True), ["find", "remove", "listIndexes"]),
    ],
)
async def test_what_is_missing_is_named(privilege: dict[str, Any], missing: list[str]) -> None:
    assert await forbidden(told(privilege)) == missing


@pytest.mark.parametrize("answer", [told(users=()), {}, {"authInfo": {}}, failure(59)])
async def test_a_server_that_reports_no_rights_proves_nothing(answer: dict[str, Any]) -> None:
    assert await forbidden(answer) is None
