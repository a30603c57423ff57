"""What one version has begun, the other finishes: jobs, dead letters, sweeps."""

import json
from typing import Any

import pytest
from bson import ObjectId

from botdel.local.database import EmbeddedMongo
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.job import Status
from tests.support.pipeline import letters, until
from tests.upgrade.goldens import documents_of, fill, golden_folder, read_goldens
from tests.upgrade.releases import TODAY, Code, Release
from tests.upgrade.rolling import CONSUMERS, RECOVERY, SERVICES, Installation, sweep

CONSUMER, SERVICE = CONSUMERS[0], SERVICES[0]
EACH = 7
"""Documents of each bot."""


async def shown(installation: Installation, code: Code, *command: str) -> list[dict[str, Any]]:
    """What a command of that version lists."""
    lines = await installation.run(code, *command, "--limit", "100", "--json")
    listed: list[dict[str, Any]] = json.loads(lines[-1])
    return listed


async def data_of(installation: Installation) -> None:
    """Give the bot of each job of the service that is not complete its data."""
    bots = await installation.pipeline.jobs.distinct(
        "botId", {"service": SERVICE, "status": {"$ne": Status.COMPLETE}}
    )
    documents = [{"botId": bot, "n": n} for bot in bots for n in range(EACH)]
    await installation.data(SERVICE).insert_many(documents)


async def finished(installation: Installation, code: Code) -> None:
    """Let recovery and a consumer of that version finish every job of the service."""
    await installation.apply(TODAY)
    await installation.roll_all([CONSUMER, RECOVERY], code)
    await installation.run(code, "jobs", "retry", "--status", Status.EXHAUSTED)

    async def are_complete() -> bool:
        await sweep(installation, TODAY)
        statuses = await installation.pipeline.jobs.distinct("status", {"service": SERVICE})
        return bool(statuses == [Status.COMPLETE])

    await until(are_complete)
    assert await installation.data(SERVICE).count_documents({}) == 0


async def replayed(installation: Installation, code: Code) -> None:
    """Replay a dead letter: it arrives, and comes back, because it is still no event."""
    await installation.run(code, "dead-letters", "replay", "--reason", Reason.UNDECODABLE)

    async def is_back() -> bool:
        found = await letters(installation.pipeline)
        [letter] = [each for each in found if each["messageId"] == Reason.UNDECODABLE]
        return (letter["returns"], letter["status"]) == (1, DeadLetterStatus.NEW)

    await until(is_back)
    await installation.run(code, "dead-letters", "discard", "--all")
    standing = {each["status"] for each in await letters(installation.pipeline)}
    assert DeadLetterStatus.NEW not in standing


@pytest.mark.proves("mixed-versions")
@pytest.mark.parametrize("direction", ["upgrade", "rollback"])
async def test_what_the_other_version_has_left_is_finished(
    installation: Installation,
    old: Code,
    last_release: Release,
    mongo: EmbeddedMongo,
    direction: str,
) -> None:
    database = installation.pipeline.database
    if direction == "upgrade":
        code = TODAY
        await fill(mongo.uri, database, read_goldens(golden_folder(last_release)))
    else:
        code = old
        await documents_of(TODAY, mongo.uri, database)
    await data_of(installation)

    jobs = await shown(installation, code, "jobs", "list")
    assert {each["status"] for each in jobs} == {*map(str, Status)}
    assert len(jobs) == await installation.pipeline.jobs.count_documents({})
    dead = await shown(installation, code, "dead-letters", "list")
    assert len(dead) == len(await letters(installation.pipeline))

    await finished(installation, code)
    await replayed(installation, code)
    compensated = await installation.pipeline.jobs.find_one({"status": Status.COMPENSATED})
    assert compensated
    await installation.run(code, "jobs", "retry", str(ObjectId(compensated["_id"])))
