"""An empty answer is told from none."""

from typing import cast

import pytest
from google.api_core.exceptions import (
    DeadlineExceeded,
    Forbidden,
    GoogleAPICallError,
    ServiceUnavailable,
)
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import PullResponse, Subscription

from deletion.adapters.pubsub.subscription import PULL_SECONDS, SILENT_SECONDS, PullSubscription
from deletion.errors import BusUnavailable

PATH = "projects/a-project/subscriptions/bot-deletion.conversations"


def error(kind: type[GoogleAPICallError]) -> GoogleAPICallError:
    return kind("no")


class Server:
    """A server, in time of its own, that answers empty pulls itself or lets them run out."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.answers_empty_pulls = False
        self.refusal: GoogleAPICallError | None = None
        self.asked = 0
        client = cast("SubscriberAsyncClient", self)
        self.subscription = PullSubscription(client, PATH, monotonic=lambda: self.now)

    async def pull(self, _: object, **__: object) -> PullResponse:
        self.now += PULL_SECONDS
        if self.answers_empty_pulls:
            return PullResponse()
        raise error(DeadlineExceeded)

    async def get_subscription(self, **_: object) -> Subscription:
        self.asked += 1
        if self.refusal:
            raise self.refusal
        return Subscription(name=PATH)

    async def pull_for(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            assert await self.subscription.pull(1) == []


async def test_a_server_that_answers_empty_pulls_is_asked_nothing_else() -> None:
    server = Server()
    server.answers_empty_pulls = True
    await server.pull_for(10 * SILENT_SECONDS)
    assert server.asked == 0


@pytest.mark.proves("swallowed-packets")
async def test_one_that_lets_them_run_out_is_asked_whether_it_is_there_now_and_then() -> None:
    server = Server()
    await server.pull_for(10 * SILENT_SECONDS)
    assert 9 <= server.asked <= 11


async def test_a_refusal_is_an_answer() -> None:
    server = Server()
    server.refusal = error(Forbidden)
    await server.pull_for(2 * SILENT_SECONDS)


@pytest.mark.proves("swallowed-packets")
@pytest.mark.parametrize("kind", [DeadlineExceeded, ServiceUnavailable])
async def test_a_server_that_answers_nothing_is_away_until_it_does(
    kind: type[GoogleAPICallError],
) -> None:
    server = Server()
    await server.pull_for(PULL_SECONDS)
    server.refusal = error(kind)
    await server.pull_for(SILENT_SECONDS - PULL_SECONDS)
    for _ in range(3):
        with pytest.raises(BusUnavailable, match="neither pulls nor other calls"):
            await server.subscription.pull(1)
    server.refusal = None
    await server.pull_for(SILENT_SECONDS)
