"""How far the secondaries of a replica set are behind its primary."""

from datetime import datetime
from typing import Any, Final

from pymongo.errors import OperationFailure

from deletion.adapters.mongo.connection import Client, bounded
from deletion.adapters.mongo.rights import COMMAND_NOT_FOUND
from deletion.errors import PressureUnknown, StoreUnavailable
from deletion.pressure import READ_SECONDS

PRIMARY, SECONDARY = "PRIMARY", "SECONDARY"
WITHOUT_THE_RIGHT: Final = frozenset({13, COMMAND_NOT_FOUND})
"""Error codes that stay: Unauthorized, and that of a server without the command."""


class ReplicationLag:
    """The lag of the slowest secondary, in seconds.

    Without the right to see the members (`clusterMonitor`), and whenever the server refuses to show
    them, it is the lag of the majority, which `hello` reports to everybody.
    """

    what = "replication lag"
    unit = "s"

    def __init__(self, client: Client) -> None:
        self._client = client
        self._may_see_members = True

    async def read(self) -> float:
        """Send one command, or two when the members may not be seen. Raises `PressureUnknown`."""
        try:
            with bounded(READ_SECONDS):
                slowest = await self._of_members()
                return await self._of_majority() if slowest is None else slowest
        except (StoreUnavailable, OperationFailure, LookupError) as error:
            raise PressureUnknown(f"the server reports no lag ({type(error).__name__})") from error

    async def _of_members(self) -> float | None:
        """None when the server does not show the members, or none is primary or secondary."""
        if not self._may_see_members:
            return None
        try:
            status: dict[str, Any] = await self._client.admin.command("replSetGetStatus")
        except OperationFailure as error:
            self._may_see_members = error.code not in WITHOUT_THE_RIGHT
            return None
        primary = _written(status, PRIMARY)
        secondaries = _written(status, SECONDARY)
        if not primary or not secondaries:
            return None
        return max(0.0, (max(primary) - min(secondaries)).total_seconds())

    async def _of_majority(self) -> float:
        hello: dict[str, Any] = await self._client.admin.command("hello")
        if "lastWrite" not in hello:
            raise PressureUnknown("the server reports no replication lag")
        last = hello["lastWrite"]
        behind = last["lastWriteDate"] - last["majorityWriteDate"]
        return float(max(0.0, behind.total_seconds()))


def _written(status: dict[str, Any], state: str) -> list[datetime]:
    """The time of the latest write that each member of `state` has."""
    return [each["optimeDate"] for each in status["members"] if each["stateStr"] == state]
