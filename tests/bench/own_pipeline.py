"""A pipeline for one benchmark."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from tests.support.pipeline import Pipeline, Where, create_topology, pipeline_at

STALE_AFTER: Final = 600
"""Seconds; no job of a benchmark falls stale."""


@asynccontextmanager
async def own_pipeline(
    broker: str, mongo_uri: str, settings: Mapping[str, str] | None = None, **others: Any
) -> AsyncIterator[Pipeline]:
    """Its topology is in place; `others` are values of its other fields."""
    name = f"bench-{uuid4().hex[:8]}"
    settings = {"BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER), **(settings or {})}
    with tempfile.TemporaryDirectory() as folder:
        where = Where(broker, mongo_uri, name, name, Path(folder))
        async with pipeline_at(where, answer_seconds=120, settings=settings, **others) as pipeline:
            await create_topology(pipeline)
            yield pipeline
