"""A call that a plan names: where it goes, and what its answers mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpx

from deletion.adapters.http_api.client import Answer
from deletion.gate import Gate
from deletion.ids import BOT_ID


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A call that a plan names, or one that is made of it. `url` and `headers` may hold secrets.

    In the plan's own, `url` contains `{bot_id}`; `of` makes the call for one bot. `gone` are the
    statuses that mean that the host has nothing of the bot.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    gone: frozenset[int]
    gate: Gate = field(repr=False)

    @property
    def what(self) -> str:
        """Method and host, for messages."""
        return f"{self.method} {self.gate.host}"

    def of(self, bot_id: str) -> "Endpoint":
        """The call for a bot."""
        return replace(self, url=self.url.replace(BOT_ID, bot_id))

    def found(self, answer: Answer) -> bool | None:
        """Whether the host had something of the bot; None when the answer does not say."""
        if answer.status in self.gone:
            return False
        return True if httpx.codes.is_success(answer.status) else None
