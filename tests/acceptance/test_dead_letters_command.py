"""What an operator does about poison, against the real broker, database and processes."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from deletion.adapters.mongo.connection import Client
from deletion.adapters.mongo.dead_letters import MongoDeadLetterStore
from deletion.clock import truncated
from deletion.dead_letter import DeadLetter, Reason
from deletion.events import BotDeletionSubject, to_message
from deletion.operating.dead_letters import PAGE
from tests.support.commands import botdel, output_of
from tests.support.indexed import indexed
from tests.support.pipeline import (
    SERVICE,
    Pipeline,
    letters,
    listening,
    publish,
    publish_raw,
    request_placed,
    until,
)

OTHER_SERVICE = "analytics"
POISON = b"\x0a\x24not the whole of an id"


@pytest.fixture
async def store(client: Client, pipeline: Pipeline) -> MongoDeadLetterStore:
    return await indexed(MongoDeadLetterStore, client, pipeline.database)


def undelivered(subject: BotDeletionSubject, **values: Any) -> DeadLetter:
    """A sound event that was given up, as recovery records it."""
    now = truncated(datetime.now(UTC))
    message = to_message(subject)
    fields: dict[str, Any] = {
        "id": str(ObjectId()),
        "service": SERVICE,
        "message_id": subject.event_id,
        "data": message.data,
        "attributes": {**message.attributes, "CloudPubSubDeadLetterSourceDeliveryCount": "5"},
        "published_at": now,
        "delivery_attempt": 5,
        "reason": Reason.UNDELIVERED,
        "detail": "delivered 5 times",
        "first_seen_at": now,
        "last_seen_at": now,
    }
    return DeadLetter(**(fields | values))


async def refused(pipeline: Pipeline, *arguments: str) -> str:
    """What a command says that does not work."""
    code, lines = await botdel(pipeline, "dead-letters", *arguments)
    assert code == 1, lines
    return "\n".join(lines)


@pytest.mark.proves("explained")
async def test_poison_is_listed_shown_and_discarded(pipeline: Pipeline) -> None:
    async with pipeline.consumer():
        await publish_raw(pipeline, POISON, b"\x18\x01", colour="green")

        async def recorded() -> bool:
            return len(await letters(pipeline)) == 2

        await until(recorded)
    pipeline.settings["GOOGLE_CLOUD_PROJECT"] = ""  # none of this needs Pub/Sub
    everything = await output_of(pipeline, "dead-letters", "list")
    assert {letter["reason"] for letter in everything} == {"undecodable", "invalid"}
    filters = ["--reason", "undecodable", "--service", SERVICE, "--status", "new", "--limit", "1"]
    (letter,) = await output_of(pipeline, "dead-letters", "list", *filters)
    assert (letter["service"], letter["attributes"]) == (SERVICE, {"colour": "green"})
    assert await output_of(pipeline, "dead-letters", "list", "--service", OTHER_SERVICE) == []

    shown = await output_of(pipeline, "dead-letters", "show", letter["_id"])
    assert base64.b64decode(shown["data"]) == POISON
    assert shown["fault"]["offset"] == 1
    assert "event_id has length 36, but 22 bytes are left" in shown["fault"]["problem"]
    code, lines = await botdel(pipeline, "dead-letters", "show", letter["_id"])
    assert code == 0
    assert any("fault at byte 1: event_id" in line for line in lines), lines
    assert any("not the whole" in line for line in lines), lines

    dry = await output_of(pipeline, "dead-letters", "discard", letter["_id"], "--dry-run")
    assert dry == {
        "discarded": [],
        "to_be_discarded": [letter["_id"]],
        "refused": {},
        "dry_run": True,
    }
    why = ("--why", "it was a test")
    done = await output_of(pipeline, "dead-letters", "discard", letter["_id"], *why)
    assert done == {"discarded": [letter["_id"]], "refused": {}, "dry_run": False}
    (action,) = await output_of(pipeline, "actions", "list")
    assert (action["kind"], action["done"], action["reason"]) == ("discard", 1, "it was a test")
    assert "it is discarded already" in await refused(pipeline, "discard", letter["_id"])
    code, lines = await botdel(pipeline, "dead-letters", "list", "--status", "discarded")
    assert (code, any(letter["_id"] in line for line in lines)) == (0, True), lines
    assert (
        "1 discarded, 0 refused"
        in (await botdel(pipeline, "dead-letters", "discard", "--all"))[1][-1]
    )


@pytest.mark.proves("replay")
async def test_a_replay_that_comes_back_dead_is_joined_and_not_replayed_again_without_force(
    pipeline: Pipeline,
) -> None:
    async def letter_is(**expected: object) -> None:
        async def so() -> bool:
            found = await letters(pipeline)
            return [{name: each[name] for name in expected} for each in found] == [expected]

        await until(so)

    async with pipeline.consumer() as consumer:
        await listening(consumer)
        await publish_raw(pipeline, POISON, event_id="the first", service=SERVICE)
        await letter_is(count=1, returns=0, status="new")
        [before] = await letters(pipeline)
        letter_id = str(before["_id"])

        done = await output_of(pipeline, "dead-letters", "replay", letter_id)
        assert done == {"replayed": [letter_id], "refused": {}, "dry_run": False}
        await letter_is(count=2, returns=1, status="new")
        [after] = await letters(pipeline)
        assert (after["data"], after["attributes"]) == (before["data"], before["attributes"])

        said = await refused(pipeline, "replay", letter_id)
        assert f"{letter_id} is refused: it came back dead after a replay" in said
        assert "--force" in said
        assert "0 replayed, 1 refused" in await refused(pipeline, "replay", "--service", SERVICE)
        code, lines = await botdel(pipeline, "dead-letters", "replay", letter_id, "--force")
        assert code == 0, lines
        actions = await output_of(pipeline, "actions", "list", "--kind", "replay")
        done_by = [(each["options"], each["done"], each["refused"]) for each in actions]
        assert len(done_by) == 4
        assert done_by.count(({}, 0, 1)) == 2
        assert ({}, 1, 0) in done_by
        assert ({"force": "yes"}, 1, 0) in done_by
        await letter_is(count=3, returns=2, status="new")


@pytest.mark.proves("replay")
async def test_a_sound_event_is_replayed_to_its_own_service_under_its_own_id(
    pipeline: Pipeline, store: MongoDeadLetterStore
) -> None:
    (bot,) = await pipeline.fill(5)
    event = request_placed(bot)
    [letter] = await store.record([undelivered(event)])
    async with pipeline.consumer() as first, another_consumer(pipeline) as second:
        await listening(first)
        await listening(second)
        done = await output_of(pipeline, "dead-letters", "replay", "--reason", "undelivered")
        assert done == {"replayed": [letter.id], "refused": {}, "dry_run": False}
        marker = request_placed(str(ObjectId()))
        await publish(pipeline, marker)

        async def jobs_are_complete() -> bool:
            jobs = await pipeline.jobs.find({"status": "complete"}).to_list(9)
            return len(jobs) >= 3

        await until(jobs_are_complete)
    jobs = await pipeline.jobs.find({}).to_list(9)
    assert sorted((job["service"], job["eventId"]) for job in jobs) == sorted(
        [
            (SERVICE, event.event_id),
            (SERVICE, marker.event_id),
            (OTHER_SERVICE, marker.event_id),
        ]
    )
    assert await pipeline.left(bot) == 0
    [kept] = await letters(pipeline)
    assert (kept["status"], kept["count"]) == ("replayed", 1)
    assert "it is replayed already" in await refused(pipeline, "replay", letter.id)


def another_consumer(pipeline: Pipeline) -> Any:
    """A second service on the same topic; the emulator gives it every message."""
    plan: Path = pipeline.folder / "another.yaml"
    plan.write_text(pipeline.plan.read_text().replace(SERVICE, OTHER_SERVICE))
    return pipeline.process("another", "botdel.cli", "consumer", "--plan", str(plan), "--port", "0")


async def test_many_are_replayed_page_by_page_and_what_has_no_way_is_refused(
    pipeline: Pipeline, store: MongoDeadLetterStore
) -> None:
    bots = [str(ObjectId()) for _ in range(2 * PAGE + 5)]
    many = await store.record([undelivered(request_placed(bot)) for bot in bots])
    lost = await store.record(
        [
            undelivered(request_placed(bots[0]), service="nobody"),
            undelivered(request_placed(bots[1]), service=""),
        ]
    )
    dry = await output_of(pipeline, "dead-letters", "replay", "--service", SERVICE, "--dry-run")
    assert (len(dry["to_be_replayed"]), dry["replayed"]) == (len(bots), [])
    code, lines = await botdel(pipeline, "dead-letters", "replay", "--all", "--dry-run")
    assert (code, lines[-1]) == (1, f"{len(bots)} to be replayed, 2 refused"), lines
    assert {letter["status"] for letter in await letters(pipeline)} == {"new"}

    code, lines = await botdel(pipeline, "dead-letters", "replay", "--all", "--limit", "7")
    assert (code, lines[-2]) == (1, "7 replayed, 2 refused"), lines
    assert "`botdel jobs list --bot BOT_ID` shows the job" in lines[-1]
    code, lines = await botdel(pipeline, "dead-letters", "replay", "--all")
    assert (code, lines[-2]) == (1, f"{len(bots) - 7} replayed, 2 refused"), lines
    said = {letter.id: line for letter in lost for line in lines if letter.id in line}
    assert "bot-deletion.nobody does not exist" in said[lost[0].id]
    assert "nothing says which service" in said[lost[1].id]
    status = {str(letter["_id"]): letter["status"] for letter in await letters(pipeline)}
    assert status == {each.id: "replayed" for each in many} | {each.id: "new" for each in lost}

    async with pipeline.consumer():

        async def all_complete() -> bool:
            return bool(await pipeline.jobs.count_documents({"status": "complete"}) == len(bots))

        await until(all_complete)


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["discard"],
        ["replay", "0" * 24, "--all"],
        ["replay", "no id"],
        ["show", "0" * 24],
        ["list", "--reason", "none"],
        ["list", "--limit", "0"],
    ],
    ids=" ".join,
)
async def test_misuse_is_told_apart_from_what_did_not_work(
    pipeline: Pipeline, arguments: list[str]
) -> None:
    code, lines = await botdel(pipeline, "dead-letters", *arguments)
    assert code == 2, lines


@pytest.mark.proves("replay-crash")
async def test_without_a_topic_nothing_is_marked(
    pipeline: Pipeline, store: MongoDeadLetterStore
) -> None:
    [letter] = await store.record([undelivered(request_placed(str(ObjectId())))])
    pipeline.settings["BOTDEL_TOPIC"] = "no-such-topic"
    assert "does not exist" in await refused(pipeline, "replay", letter.id)
    assert await store.get(letter.id) == letter
