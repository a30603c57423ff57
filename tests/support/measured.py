"""How the queries of a test are measured: whether each of them walks an index.

The driver's commands are recorded, and run again with `explain` on a server that counts what it
reads (`tests/support/counting_mongo.py`). That number decides, not the plan: the embedded server
explains a hinted query as an index scan though it reads the whole collection, and a query on an
indexed field and another one as a collection scan though it does not.
"""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from deletion.adapters.mongo.connection import Client, Database

CROWD = 400
"""Documents in each collection that no query asks for."""
MATCHES_NOTHING = {"no such field": 1}
"""No index has this field, so the server reads the whole collection."""
READS_NOTHING = {"insert", "createIndexes", "listIndexes", "hello", "ping", "endSessions"}
GOES_ON = {"getMore", "killCursors"}

Query = Mapping[str, Any]


class Listener(CommandListener):
    """Records every query sent while `on`, each as a `find` with the same filter."""

    def __init__(self) -> None:
        self.on = False
        self.queries: list[Query] = []
        self.unknown: set[str] = set()

    def started(self, event: CommandStartedEvent) -> None:
        if not self.on or event.command_name in READS_NOTHING | GOES_ON:
            return
        command = copy.deepcopy(dict(event.command))
        match event.command_name:
            case "find":
                parts = ("find", "filter", "projection", "sort", "limit", "hint")
                self.queries.append({part: command[part] for part in parts if part in command})
            case "update" | "delete" as kind:
                for each in command[f"{kind}s"]:
                    query = {"find": command[kind], "filter": each["q"], "is_write": True}
                    self.queries.append(query | ({"hint": each["hint"]} if "hint" in each else {}))
            case "aggregate" if [*command["pipeline"][0]] == ["$match"]:  # as a count begins
                query = command["pipeline"][0]["$match"]
                self.queries.append({"find": command["aggregate"], "filter": query})
            case unknown:
                self.unknown.add(unknown)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@dataclass
class Watched:
    """A database of the real server, and the queries that are sent to it."""

    client: Client
    database: Database
    listener: Listener
    scanned: dict[str, int] = field(default_factory=dict)
    """How many documents a scan of a collection reads, by its full name."""

    def watch(self) -> None:
        self.listener.queries.clear()
        self.listener.on = True

    async def scans(self, may: Callable[[Query], bool] = lambda _: False) -> list[Query]:
        """The queries since `watch` that read more than a quarter of their collection; those that
        `may` are not measured.
        """
        self.listener.on = False
        assert not self.listener.unknown, "not measured: add these commands to `Listener.started`"
        queries = [query for query in self.listener.queries if not may(query)]
        scan = {name: await self.in_a_scan(name) for name in {each["find"] for each in queries}}
        few = {name: read for name, read in scan.items() if read < CROWD}
        assert not few, "too few documents to tell a scan from an index: put more into them"
        return [query for query in queries if await self.read(query) > scan[query["find"]] / 4]

    async def in_a_scan(self, collection: str) -> int:
        """Return how many documents a scan of the collection reads. Measured only once, because the
        number hardly changes.
        """
        name = f"{self.database.name}.{collection}"
        if name not in self.scanned:
            self.scanned[name] = await self.read({"find": collection, "filter": MATCHES_NOTHING})
        return self.scanned[name]

    async def read(self, query: Query) -> int:
        """How many documents the server reads for `query`."""
        command = {part: value for part, value in query.items() if part != "is_write"}
        answer = await self.database.command({"explain": command, "verbosity": "executionStats"})
        return int(answer["executionStats"]["totalDocsExamined"])


def public(adapter: type) -> set[str]:
    return {
        name
        for name, member in inspect.getmembers(adapter)
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member))
    }


def is_an_operators_look(query: Query) -> bool:
    """The newest jobs of all, or of a service, as `botdel jobs list` asks for.

    MongoDB stops at the limit; the embedded server reads on. Nothing in the pipeline waits for it.
    """
    fields = set(query["filter"])
    newest = query.get("sort") in ({"_id": -1}, {"createdAt": -1})
    return bool(query.get("limit")) and newest and fields in (set(), {"service", "status"})


def is_an_operators_look_at_letters(query: Query) -> bool:
    """The newest of all: MongoDB walks `_id` and stops at the limit."""
    return set(query["filter"]) <= {"_id"} and query.get("sort") == {"_id": -1}
