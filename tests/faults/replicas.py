"""Processes that nobody may disturb, and what they did."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.faulty_consumer import ledger_of
from tests.support.ledger import Entry, read_ledger, violations
from tests.support.pipeline import Pipeline, is_ready, listening, until
from tests.support.recovering import STALE_AFTER

NEVER_STALE = {"BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER.total_seconds())}
"""Where a second claim would be one too many, however slow the machine is."""


@asynccontextmanager
async def recoveries(pipeline: Pipeline, count: int) -> AsyncIterator[list[str]]:
    """So many processes of recovery, each of them ready; their URLs."""
    async with AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(
                pipeline.process(f"recovery {n}", "botdel.cli", "recovery", "--port", "0")
            )
            for n in range(count)
        ]
        urls = [await listening(process) for process in started]
        for url in urls:
            await until(partial(is_ready, url))  # a call before that is refused
        yield urls


def ledger(pipeline: Pipeline) -> list[Entry]:
    """What the consumers did, in which they broke no rule."""
    entries = read_ledger(ledger_of(pipeline))
    assert violations(entries) == []
    return entries


async def taken(http: httpx.AsyncClient, url: str) -> Counter[str]:
    """How many messages a consumer took in, by outcome."""
    families = text_string_to_metric_families((await http.get(f"{url}/metrics")).text)
    samples = [sample for family in families for sample in family.samples]
    return Counter(
        {s.labels["outcome"]: int(s.value) for s in samples if s.name.endswith("messages_total")}
    )
