"""What a user of MongoDB may not do, as the server reports it.

https://www.mongodb.com/docs/manual/reference/command/connectionStatus/
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo.errors import OperationFailure

from deletion.adapters.mongo.connection import Collection

COMMAND_NOT_FOUND: Final = 59
NEEDED: Final = ("find", "remove", "listIndexes")
"""The actions of a step: it reads, deletes, and checks whether an index serves it."""


async def forbidden(collection: Collection) -> list[str] | None:
    """Those of `NEEDED` that this user may not do on `collection`.

    None when the server does not say, or nobody has logged in: most likely it runs without access
    control.
    """
    try:
        status: Mapping[str, Any] = await collection.database.command(
            "connectionStatus", showPrivileges=True
        )
    except OperationFailure as error:
        if error.code != COMMAND_NOT_FOUND:
            raise
        return None
    login = status.get("authInfo", {})
    privileges = login.get("authenticatedUserPrivileges")
    if privileges is None or not login.get("authenticatedUsers"):
        return None
    allowed = {
        action
        for each in privileges
        if _covers(each["resource"], collection)
        for action in each["actions"]
    }
    return [action for action in NEEDED if action not in allowed]


def _covers(resource: Mapping[str, Any], collection: Collection) -> bool:
    """An empty name stands for any: https://www.mongodb.com/docs/manual/reference/resource-document/"""
    if resource.get("anyResource"):
        return True
    wanted: Sequence[tuple[str, str]] = (
        ("db", collection.database.name),
        ("collection", collection.name),
    )
    return all(resource.get(part) in ("", name) for part, name in wanted)
