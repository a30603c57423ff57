"""Sample data: real dialogue in 28 languages, spread over the bots of two services."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from typing import Any, Final

from bson import ObjectId
from ruamel.yaml import YAML

from deletion.adapters.mongo.connection import Client, Collection

CONVERSATIONS: Final = "botdel_sample_conversations"
ANALYTICS: Final = "botdel_sample_analytics"
INSERT_BATCH: Final = 2_000
"""Documents in one insert."""

Census = Mapping[str, frozenset[Any]]
"""For each bot, the `_id`s of its documents in one collection."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One conversation of the corpus: its lines, in order."""

    language: str
    lines: tuple[str, ...]


def dialogues() -> Iterator[Dialogue]:
    """Every conversation of the package `chatterbot-corpus`, about 7,600 with 21,000 lines."""
    yaml = YAML(typ="safe")
    for language in sorted(files("chatterbot_corpus").joinpath("data").iterdir(), key=str):
        for file in sorted(language.iterdir(), key=str):
            if file.name.endswith(".yml"):
                document = yaml.load(file.read_text(encoding="utf-8"))
                for lines in document.get("conversations", []):
                    yield Dialogue(language.name, tuple(str(line) for line in lines))


class Samples:
    """The data of two services: `messages` and `sessions` of one, `events` of the other."""

    def __init__(self, client: Client) -> None:
        self._client = client
        conversations, analytics = client[CONVERSATIONS], client[ANALYTICS]
        self.owned: dict[str, dict[str, Collection]] = {
            "conversations": {
                "messages": conversations["messages"],
                "sessions": conversations["sessions"],
            },
            "analytics": {"events": analytics["events"]},
        }

    async def fill(self, bots: int, rng: random.Random) -> list[str]:
        """Replace all data by the corpus, spread over `bots` bots; their ids, busiest first."""
        await self.clear()
        ids = [ObjectId() for _ in range(bots)]
        busy = [1 / (rank + 10) for rank in range(bots)]
        documents: dict[str, list[dict[str, Any]]] = {"messages": [], "sessions": [], "events": []}
        for dialogue in dialogues():
            _spread(dialogue, rng.choices(ids, busy)[0], documents)
        for collections in self.owned.values():
            for name, collection in collections.items():
                field = "bot" if name == "events" else "botId"
                await collection.create_index([(field, 1), ("_id", 1)])
                rest = iter(documents[name])
                while batch := list(islice(rest, INSERT_BATCH)):
                    await collection.insert_many(batch, ordered=False)
        return [str(bot) for bot in ids]

    async def census(self) -> dict[str, Census]:
        """The ids of all documents, by collection and bot."""
        counted: dict[str, Census] = {}
        for collections in self.owned.values():
            for name, collection in collections.items():
                field = "bot" if name == "events" else "botId"
                found: dict[str, set[Any]] = {}
                async for document in collection.find({}, {field: 1}):
                    found.setdefault(str(document[field]), set()).add(document["_id"])
                counted[name] = {bot: frozenset(ids) for bot, ids in found.items()}
        return counted

    async def left(self, bots: Sequence[str]) -> dict[str, int]:
        """How many documents of these bots each service has."""
        owners = {"bot": [*bots], "botId": [ObjectId(bot) for bot in bots]}
        found = dict.fromkeys(self.owned, 0)
        for service, collections in self.owned.items():
            for name, collection in collections.items():
                field = "bot" if name == "events" else "botId"
                found[service] += await collection.count_documents({field: {"$in": owners[field]}})
        return found

    async def clear(self) -> None:
        """Remove what an earlier run may have left in a database that is not its own."""
        for collections in self.owned.values():
            for collection in collections.values():
                await collection.delete_many({})


def _spread(dialogue: Dialogue, bot: ObjectId, into: dict[str, list[dict[str, Any]]]) -> None:
    session = ObjectId()
    into["sessions"].append({"_id": session, "botId": bot, "language": dialogue.language})
    for position, text in enumerate(dialogue.lines):
        into["messages"].append(
            {"botId": bot, "session": session, "position": position, "text": text}
        )
        into["events"].append(
            {"bot": str(bot), "kind": "said", "characters": len(text), "at": position}
        )
