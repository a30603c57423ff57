"""Generations and kept objects of GCS, which its emulator lacks, over a client in memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from google.api_core.exceptions import BadRequest, Forbidden, NotFound

from deletion.adapters.objects.bucket import PER_REQUEST, Item
from deletion.adapters.objects.gcs import KEPT_PAGES, OpenGcs
from deletion.adapters.objects.gcs_listers import THREADS, Api, Generations
from deletion.adapters.objects.step import ObjectsStep
from deletion.clock import Clock, SystemClock
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from tests.support.clock import START
from tests.support.polling import eventually

BOT = str(ObjectId())
MINE = f"bots/{BOT}"
LATER = datetime(2026, 12, 5, tzinfo=UTC)


class Stopped(SystemClock):
    """A clock that always says the same."""

    def now(self) -> datetime:
        return START


@dataclass
class Blob:
    name: str
    generation: int
    hard_delete_time: datetime | None = None


@dataclass
class Listing:
    """One page, as an iterator of google-cloud-storage."""

    blobs: Sequence[Blob]
    next_page_token: str | None

    @property
    def pages(self) -> Iterator[Sequence[Blob]]:
        return iter([self.blobs])


@dataclass
class Client:
    """A bucket as its client sees it; a token is good only as long as its page is there."""

    blobs: list[Blob] = field(default_factory=list)
    held: set[tuple[str, int]] = field(default_factory=set)
    kept: list[Blob] = field(default_factory=list)
    keeps_for: timedelta | None = timedelta(days=7)
    goes_on: threading.Event = field(default_factory=threading.Event)
    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    versioning_enabled: bool = True

    def __post_init__(self) -> None:
        self.goes_on.set()

    def list_blobs(
        self,
        _bucket: str,
        *,
        prefix: str,
        page_size: int,
        page_token: str | None = None,
        start_offset: str | None = None,
        soft_deleted: bool = False,
        **_options: Any,
    ) -> Listing:
        self._called()
        if soft_deleted and self.keeps_for is None:
            raise BadRequest("no soft delete")  # type: ignore[no-untyped-call]
        blobs = sorted(
            (
                blob
                for blob in (self.kept if soft_deleted else self.blobs)
                if blob.name.startswith(prefix) and blob.name >= (start_offset or "")
            ),
            key=lambda blob: (blob.name, blob.generation),
        )
        begins = [f"{blob.name}#{blob.generation}" for blob in blobs]
        start = begins.index(page_token) if page_token else 0
        end = start + page_size
        return Listing(blobs[start:end], begins[end] if end < len(begins) else None)

    def get_bucket(self, _bucket: str, **_options: Any) -> "Client":
        self._called()
        return self

    def bucket(self, _bucket: str) -> "Client":
        return self

    @property
    def soft_delete_policy(self) -> dict[str, str]:
        seconds = self.keeps_for.total_seconds() if self.keeps_for else 0
        return {"retentionDurationSeconds": f"{seconds:.0f}"}

    def delete_blob(self, key: str, *, generation: int, **_options: Any) -> None:
        self._called()
        if (key, generation) in self.held:
            raise Forbidden("held")  # type: ignore[no-untyped-call]
        with self.lock:
            before = len(self.blobs)
            self.blobs = [b for b in self.blobs if (b.name, b.generation) != (key, generation)]
        if len(self.blobs) == before:
            raise NotFound("gone")  # type: ignore[no-untyped-call]

    def _called(self) -> None:
        with self.lock:
            self.calls += 1
        self.goes_on.wait(20)


@dataclass
class Bucket:
    client: Client
    clock: Clock
    url: str = "gs://media"

    def __post_init__(self) -> None:
        self.api = Api(self.url, ThreadPoolExecutor(THREADS), 10)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenGcs]:
        yield OpenGcs("media", self.client, self.api, None, self.clock)


def step_of(client: Client, batch_size: int = 1000, call_seconds: float = 10) -> ObjectsStep:
    bucket = Bucket(client, Stopped())
    return ObjectsStep("media", bucket, "bots/{bot_id}/", True, batch_size, call_seconds)


def generations(keys: int, of_each: int) -> list[Blob]:
    return [Blob(f"{MINE}/{k:03}", g) for k in range(keys) for g in range(of_each)]


@pytest.mark.proves("refused-object")
@pytest.mark.parametrize("batch_size", [1000, 7, 1])
async def test_a_generation_that_is_held_holds_up_no_other(batch_size: int) -> None:
    held = {(f"{MINE}/{k:03}", g) for k, g in ((0, 0), (0, 2), (3, 1), (29, 2))}
    held |= {(f"{MINE}/010", g) for g in range(3)}
    client = Client(generations(30, 3), held)
    with pytest.raises(ObjectsRefused, match=r"7 objects were not deleted.* in version 0 \(403"):
        async for _ in (step := step_of(client, batch_size)).delete(BOT, None):
            pass
    assert {(blob.name, blob.generation) for blob in client.blobs} == held
    client.held.clear()
    assert sum([b.deleted async for b in step.delete(BOT, None)]) == 7
    assert client.blobs == []


async def test_more_generations_of_one_key_may_be_held_than_a_page_has() -> None:
    held = PER_REQUEST + 200
    client = Client(generations(2, held), {(f"{MINE}/000", g) for g in range(held)})
    with pytest.raises(ObjectsRefused, match=f"{held} objects were"):
        async for _ in step_of(client, 100).delete(BOT, None):
            pass
    assert len(client.blobs) == held


async def test_all_that_is_kept_is_looked_at_where_it_is_not_too_much() -> None:
    kept = [Blob(f"{MINE}/{n}", 1, LATER - timedelta(hours=n)) for n in range(3000)]
    step = step_of(Client(kept=kept))
    assert await step.is_empty(BOT)
    assert step.read_back == "retained until 2026-12-05"


async def test_millions_of_kept_objects_take_no_more_than_a_few_calls() -> None:
    client = Client(kept=[Blob(f"{MINE}/{n}", 1, LATER) for n in range(20_000)])
    step = step_of(client)
    assert await step.is_empty(BOT)
    assert client.calls == KEPT_PAGES + 2, "one for the bucket, one for what is live"
    until = START + timedelta(days=7)
    assert step.read_back == f"retained until {max(until, LATER):%Y-%m-%d}"


async def test_what_a_longer_policy_kept_before_counts_too() -> None:
    far = START + timedelta(days=80)
    client = Client(kept=[Blob(f"{MINE}/{n}", 1, far) for n in range(20_000)])
    await (step := step_of(client)).is_empty(BOT)
    assert step.read_back == f"retained until {far:%Y-%m-%d}"


async def test_a_bucket_without_soft_delete_keeps_nothing() -> None:
    step = step_of(Client(keeps_for=None))
    assert await step.is_empty(BOT)
    assert step.read_back == "strong"


async def given_up(client: Client, call: Awaitable[object], calls: int) -> None:
    """Cancel `call` when so many of its calls hang; then let them go on."""
    running = asyncio.ensure_future(call)
    await eventually(lambda: client.calls == calls)
    running.cancel()
    await asyncio.wait([running])
    client.goes_on.set()


@pytest.mark.proves("given-up-call")
async def test_a_deletion_that_is_given_up_ends_with_the_calls_under_way() -> None:
    client = Client(generations(100, 1))
    bucket = Bucket(client, Stopped())
    client.goes_on.clear()
    lister = Generations("media", client, bucket.api)
    items = [Item(blob.name, str(blob.generation)) for blob in client.blobs]
    await given_up(client, lister.remove(items), THREADS)
    await asyncio.to_thread(bucket.api.threads.shutdown)
    assert len(client.blobs) == 100 - THREADS


@pytest.mark.proves("given-up-call")
async def test_a_listing_of_kept_objects_that_is_given_up_ends_with_its_page() -> None:
    client = Client(kept=[Blob(f"{MINE}/{n}", 1, LATER) for n in range(20_000)])
    bucket = Bucket(client, Stopped())
    client.goes_on.clear()
    async with bucket.opened() as opened:
        await given_up(client, opened.retained_until(f"{MINE}/"), 1)
    await asyncio.to_thread(bucket.api.threads.shutdown)
    assert client.calls == 1


async def test_a_slow_bucket_is_unavailable_and_not_empty() -> None:
    client = Client()
    client.goes_on.clear()
    with pytest.raises(ObjectsUnavailable, match="did not answer"):
        await step_of(client, call_seconds=0.05).is_empty(BOT)
    client.goes_on.set()
