"""Those who call the gateway, and those who put on the topic what does not belong there."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import httpx
from google.pubsub_v1.types import PubsubMessage

from deletion.adapters.unproxied import unproxied
from deletion.dead_letter import Reason
from deletion.events import BotDeletionSubject, RequestPlaced, to_message
from deletion.events.codec import MAX_EVENT_BYTES
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from tests.faults.schedule import GATEWAY
from tests.faults.stage import Stage
from tests.support.pipeline import TOKEN, pubsub

AT_ONCE: Final = 8
"""Requests under way."""
ANSWER_SECONDS: Final = 30.0
"""A caller's patience; the gateway promises an answer long before."""
PAUSE: Final = 0.5
"""Seconds between two tries."""
COMES_BACK: Final = 0.15
"""Share of the bots that are written to again, and deleted again."""
COMES_BACK_WITHIN: Final = 6.0
"""Seconds: before its deletion has begun, in the middle of it, or after its end."""
CALLED_TWICE: Final = 0.3
"""Share of the calls that are made once more with their idempotency key, though answered."""
REPEATED: Final = 20
"""Events that are delivered again at a time, at the most."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One answer of 202."""

    event_id: str
    bot_id: str
    placed_at: datetime

    @property
    def message(self) -> PubsubMessage:
        """The event as the gateway has published it."""
        placed = RequestPlaced(self.placed_at)
        message = to_message(BotDeletionSubject(self.event_id, self.placed_at, self.bot_id, placed))
        return PubsubMessage(data=message.data, attributes=message.attributes)


@dataclass
class Callers:
    """They try until they have their 202, as clients of an API do. `answers` counts what came.

    While `paused` nobody calls, and no call is under way.
    """

    stage: Stage
    seed: int
    accepted: list[Accepted] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    poison: dict[bytes, Reason] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._open = asyncio.Event()
        self._open.set()
        self._http = unproxied(
            base_url=self.stage.urls[GATEWAY],
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=ANSWER_SECONDS,
        )

    async def call_for(self, bots: Sequence[str], seconds: float) -> None:
        """Ask for the deletion of each bot, one after the other within `seconds`."""
        async with self._http, asyncio.TaskGroup() as calls:
            for number, bot in enumerate(bots):
                calls.create_task(self._delete(bot, f"call-{number}"))
                await asyncio.sleep(seconds / len(bots))

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is called for in here."""
        self._open.clear()
        for _ in range(AT_ONCE):
            await self._places.acquire()
        try:
            yield
        finally:
            for _ in range(AT_ONCE):
                self._places.release()
            self._open.set()

    async def repeat(self, events: Sequence[Accepted], rng: random.Random) -> None:
        """Deliver some of the events again, some of them twice, in another order."""
        again = rng.sample(events, min(REPEATED, len(events)))
        again += rng.sample(again, len(again) // 2)
        rng.shuffle(again)
        await self._publish([event.message for event in again])

    async def publish_poison(self, rng: random.Random) -> None:
        """One message of every kind that can never be handled."""
        noise = rng.randbytes
        made = {
            b"\xff" + noise(40): Reason.UNDECODABLE,
            pb.BotDeletionSubject(event_id=noise(8).hex()).SerializeToString(): Reason.INVALID,
            noise(MAX_EVENT_BYTES + 1): Reason.TOO_LARGE,
        }
        await self._publish([PubsubMessage(data=data) for data in made])
        self.poison |= made

    async def _delete(self, bot: str, key: str) -> None:
        rng = random.Random(f"{self.seed} {key}")  # noqa: S311
        event = await self._accepted(bot, key)
        if rng.random() < CALLED_TWICE:
            repeated = await self._accepted(bot, key)
            assert repeated.event_id == event.event_id
        if rng.random() < COMES_BACK:
            await asyncio.sleep(rng.uniform(0, COMES_BACK_WITHIN))
            await self.stage.data.write_again(bot, rng)
            await self._accepted(bot, key=None)

    async def _accepted(self, bot: str, key: str | None) -> Accepted:
        """Call until there is a 202; without a `key` each try is a request of its own."""
        headers = {"Idempotency-Key": key} if key else {}
        while True:
            await self._open.wait()
            async with self._places:
                answer = await self._answer(f"/v1/bots/{bot}", headers)
            if answer:
                placed = answer.json()
                at = datetime.fromisoformat(placed["placed_at"])
                self.accepted.append(Accepted(placed["event_id"], placed["bot_id"], at))
                return self.accepted[-1]
            await asyncio.sleep(PAUSE)

    async def _answer(self, path: str, headers: dict[str, str]) -> httpx.Response | None:
        """The answer, if it is 202."""
        try:
            answer = await self._http.delete(path, headers=headers)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        return answer if answer.status_code == httpx.codes.ACCEPTED else None

    async def _publish(self, messages: list[PubsubMessage]) -> None:
        if messages:
            async with pubsub(self.stage.direct) as (publisher, _):
                await publisher.publish(
                    topic=self.stage.direct.names.topic, messages=messages, timeout=60
                )
