"""A pipeline for one benchmark."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from tests.support.pipeline import Location, Pipeline, create_topology, pipeline_at

STALE_AFTER: Final = 600
"""Seconds; long enough that no job of a benchmark goes stale."""


@asynccontextmanager
async def own_pipeline(
    broker: str, mongo_uri: str, settings: Mapping[str, str] | None = None, **others: Any
) -> AsyncIterator[Pipeline]:
    """Yield a pipeline with its topology created; `others` are its remaining fields."""
    name = f"bench-{uuid4().hex[:8]}"
    settings = {"BOTDEL_STALE_AFTER_SECONDS": str(STALE_AFTER), **(settings or {})}
    with tempfile.TemporaryDirectory() as folder:
        location = Location(broker, mongo_uri, name, name, Path(folder))
        async with pipeline_at(
            location, answer_seconds=120, settings=settings, **others
        ) as pipeline:
            await create_topology(pipeline)
            yield pipeline
