"""Spans of commands, from the events that the driver publishes."""

from datetime import timedelta

from bson import ObjectId
from bson.son import SON
from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

from deletion.adapters.mongo.command_spans import CommandSpans
from deletion.sampling import Sampling
from deletion.tracing import Kind, Tracer
from tests.support.factories import BOT
from tests.support.spans import Kept

SERVER = ("db.example", 27017)


class World:
    """A listener, and a driver's calls of it."""

    def __init__(self, sampling: Sampling | None = None) -> None:
        self.kept = Kept()
        self.tracer = Tracer(self.kept, sampling)
        self.listener = CommandSpans(self.tracer)

    def start(self, name: str, value: object, **more: object) -> None:
        command = SON([(name, value), *more.items()])
        self.listener.started(CommandStartedEvent(command, "shop", 1, SERVER, 1))

    def succeed(self, name: str) -> None:
        self.listener.succeeded(CommandSucceededEvent(timedelta(), {"ok": 1}, name, 1, SERVER, 1))

    def fail(self, name: str, failure: dict[str, object]) -> None:
        self.listener.failed(CommandFailedEvent(timedelta(), failure, name, 1, SERVER, 1))


def test_a_command_below_a_span_has_one_without_its_query() -> None:
    world = World()
    with world.tracer.span("outer") as outer:
        world.start("find", "messages", filter={"botId": ObjectId(BOT)})
        world.succeed("find")
    span = world.kept.one("find messages")
    assert span.kind is Kind.CLIENT
    assert span.parent_id == outer.span_id
    assert span.attributes == {
        "db.system.name": "mongodb",
        "db.namespace": "shop",
        "db.operation.name": "find",
        "db.collection.name": "messages",
        "server.address": "db.example",
        "server.port": 27017,
    }


def test_the_next_page_names_its_collection_too() -> None:
    world = World()
    with world.tracer.span("outer"):
        world.start("getMore", 4711, collection="messages")
        world.succeed("getMore")
    assert world.kept.one("getMore messages").attributes["db.operation.name"] == "getMore"


def test_a_command_of_a_database_has_no_collection() -> None:
    world = World()
    with world.tracer.span("outer"):
        world.start("ping", 1)
        world.succeed("ping")
    assert "db.collection.name" not in world.kept.one("ping shop").attributes


def test_a_failure_has_the_servers_code_and_never_its_text() -> None:
    world = World()
    with world.tracer.span("outer"):
        world.start("insert", "messages")
        world.fail("insert", {"code": 11600, "errmsg": f"bot {BOT}"})
        world.start("insert", "messages")
        world.fail("insert", {"errtype": "NetworkTimeout", "errmsg": f"bot {BOT}"})
    first, second = world.kept.named("insert messages")
    assert first.attributes["db.response.status_code"] == "11600"
    assert (first.error, second.error) == ("11600", "NetworkTimeout")
    assert not any(BOT in str(span.attributes) for span in world.kept.spans)


def test_without_a_recorded_span_there_is_none() -> None:
    world = World()
    world.start("find", "messages")
    world.succeed("find")
    unrecorded = World(Sampling(0.0))
    with unrecorded.tracer.span("outer"):
        unrecorded.start("find", "messages")
        unrecorded.succeed("find")
    assert world.kept.spans == unrecorded.kept.spans == []
