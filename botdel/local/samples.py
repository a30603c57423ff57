"""Sample data: real dialogue in 28 languages, spread over the bots of four services."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice
from typing import Any, Final

from bson import ObjectId
from ruamel.yaml import YAML

from botdel.local.billing import Account
from botdel.local.sample_data import Accounts, Census, Data, Documents, Files
from deletion.adapters.mongo.connection import Client

DATABASES: Final = "botdel_sample_"
BUCKET: Final = "botdel-sample-media"
EVERY: Final = 2
"""Only every second conversation is used, so that a demo takes less than a minute."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One conversation of the corpus: its lines, in order."""

    language: str
    lines: tuple[str, ...]


def dialogues() -> Iterator[Dialogue]:
    """Yield the conversations of the package `chatterbot-corpus`: 7,600 with 21,000 lines."""
    yaml = YAML(typ="safe")
    for language in sorted(files("chatterbot_corpus").joinpath("data").iterdir(), key=str):
        for file in sorted(language.iterdir(), key=str):
            if file.name.endswith(".yml"):
                document = yaml.load(file.read_text(encoding="utf-8"))
                for lines in document.get("conversations", []):
                    yield Dialogue(language.name, tuple(str(line) for line in lines))


class Samples:
    """The data of four services; `s3` and `billing` are the URLs of what two of them use."""

    def __init__(self, client: Client, s3: str, billing: str) -> None:
        def collection(service: str, name: str) -> Documents:
            return Documents(client[f"{DATABASES}{service}"][name])

        self.messages = collection("conversations", "messages")
        self.sessions = collection("conversations", "sessions")
        self.events = Documents(client[f"{DATABASES}analytics"]["events"], "bot", as_text=True)
        self.files = Files(s3, BUCKET)
        self.invoices = collection("billing", "invoices")
        self.accounts = Accounts(billing)
        self.owned: dict[str, dict[str, Data]] = {
            "conversations": {"messages": self.messages, "sessions": self.sessions},
            "analytics": {"events": self.events},
            "media": {"files": self.files},
            "billing": {"invoices": self.invoices, "accounts": self.accounts},
        }

    async def fill(self, bots: int, rng: random.Random) -> list[str]:
        """Replace all data with half of the corpus, spread over `bots` bots.

        Returns their ids, busiest first.
        """
        ids = [ObjectId() for _ in range(bots)]
        busy = [1 / (rank + 10) for rank in range(bots)]
        spread = _Spread()
        for dialogue in islice(dialogues(), 0, None, EVERY):
            spread.add(dialogue, rng.choices(ids, busy)[0])
        await self.messages.fill(spread.messages)
        await self.sessions.fill(spread.sessions)
        await self.events.fill(spread.events)
        await self.files.fill(spread.transcripts)
        await self.invoices.fill(spread.invoices)
        await self.accounts.fill({str(bot): Account() for bot in ids})
        return [str(bot) for bot in ids]

    async def dispute(self, bot: str) -> None:
        """Make the billing API refuse to unpublish this bot's channels from now on."""
        accounts = await self.accounts.census()
        kept = {each: account for each, [account] in accounts.items()}
        await self.accounts.fill(kept | {bot: Account(disputed=True)})

    async def census(self) -> dict[str, dict[str, Census]]:
        """Return everything there is, by service, place and bot."""
        return {
            service: {name: await data.census() for name, data in places.items()}
            for service, places in self.owned.items()
        }

    async def left(self, bots: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Return how many items each service has of its `bots`."""
        return {
            service: sum([await data.left(bots[service]) for data in places.values()])
            for service, places in self.owned.items()
        }

    async def clear(self) -> None:
        """Remove all sample data, from a database that outlives the demo."""
        for places in self.owned.values():
            for data in places.values():
                await data.clear()


@dataclass
class _Spread:
    """What the dialogues become in each service."""

    sessions: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)
    transcripts: dict[str, bytes] = field(default_factory=dict)

    def add(self, dialogue: Dialogue, bot: ObjectId) -> None:
        session, text = ObjectId(), "\n".join(dialogue.lines)
        self.sessions.append({"_id": session, "botId": bot, "language": dialogue.language})
        for position, line in enumerate(dialogue.lines):
            self.messages.append(
                {"botId": bot, "session": session, "position": position, "text": line}
            )
            self.events.append(
                {"bot": str(bot), "kind": "said", "characters": len(line), "at": position}
            )
        if len(self.sessions) % 5 == 0:  # some are billed, and kept as files
            self.invoices.append({"botId": bot, "session": session, "characters": len(text)})
            self.transcripts[f"bots/{bot}/transcripts/{session}.txt"] = text.encode()
