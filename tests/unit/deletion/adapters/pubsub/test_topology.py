"""What the emulator cannot show of the topology: seeking back, rights, and readiness."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    Forbidden,
    GoogleAPICallError,
    InvalidArgument,
    NotFound,
    ServiceUnavailable,
)
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.types import SeekRequest, Subscription, Topic, UpdateSubscriptionRequest

from deletion.adapters.pubsub.attachment import KEEP_SECONDS, AttachmentCheck
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import CONSUME, Applied, Topology
from deletion.adapters.pubsub.wanted import (
    DELETED_TOPIC,
    RETENTION,
    SEEK_LABEL,
    SEEK_PENDING,
    wanted_topics,
)
from deletion.errors import BusUnavailable, TopologyMissing

NAMES = Names("a-project", "bot-deletion")
PATH = NAMES.subscription("conversations")


def error(kind: type[GoogleAPICallError]) -> GoogleAPICallError:
    return kind("no")


class Died(Exception):
    """Whoever called did not live to see the answer."""


class Server:
    """Pub/Sub's administration, as both clients; the next call named in `breaking` raises.

    Whoever calls dies at call number `dies_at`, before it is carried out or, where its answer
    `is_lost`, after it. Where labels are `fixed`, an update of them is refused, as by Google's
    emulator.
    """

    def __init__(self, *, emulated: bool = False, fixed: bool = False) -> None:
        self.emulated = emulated
        self.fixed = fixed
        self.dies_at = 0
        self.is_lost = False
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.sought: dict[str, datetime] = {}
        self.permissions = [CONSUME]
        self.breaking: dict[str, GoogleAPICallError] = {}
        self.calls: list[str] = []

    def topology(self) -> Topology:
        publisher = cast("PublisherAsyncClient", self)
        return Topology(
            publisher, cast("SubscriberAsyncClient", self), NAMES, emulated=self.emulated
        )

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if broken := self.breaking.pop(name, None):
            raise broken
        if len(self.calls) == self.dies_at and not self.is_lost:
            raise Died

    def _answered(self) -> None:
        if len(self.calls) == self.dies_at:
            raise Died

    async def create_topic(self, topic: Topic, **_: object) -> None:
        self._called("create_topic")
        if topic.name in self.topics:
            raise error(AlreadyExists)
        self.topics[topic.name] = Topic(topic)
        self._answered()

    async def get_topic(self, *, topic: str, **_: object) -> Topic:
        self._called("get_topic")
        if topic not in self.topics:
            raise error(NotFound)
        return self.topics[topic]

    async def create_subscription(self, subscription: Subscription, **_: object) -> None:
        self._called("create_subscription")
        if subscription.name in self.subscriptions:
            raise error(AlreadyExists)
        self.subscriptions[subscription.name] = Subscription(subscription)
        self._answered()

    async def get_subscription(self, *, subscription: str, **_: object) -> Subscription:
        self._called("get_subscription")
        if subscription not in self.subscriptions:
            raise error(NotFound)
        return Subscription(self.subscriptions[subscription])

    async def seek(self, request: SeekRequest, **_: object) -> None:
        self._called("seek")
        self.sought[request.subscription] = cast("datetime", request.time)
        self._answered()

    async def update_subscription(self, request: UpdateSubscriptionRequest, **_: object) -> None:
        self._called("update_subscription")
        assert list(request.update_mask.paths) == ["labels"]
        if self.fixed:
            raise error(InvalidArgument)
        self.subscriptions[request.subscription.name].labels = request.subscription.labels
        self._answered()

    async def test_iam_permissions(
        self, request: dict[str, object], **_: object
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        self._called("test_iam_permissions")
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=self.permissions)


@pytest.fixture
def server() -> Server:
    return Server()


# --- seeking back


@pytest.mark.proves("sought-back")
async def test_on_a_topic_of_the_same_apply_it_is_sought_back_too(server: Server) -> None:
    """Gateways publish as soon as there is a topic."""
    applied = await server.topology().apply(["conversations"])
    topics = [NAMES.topic, NAMES.dead_letter_topic, NAMES.completed_topic]
    subscriptions = [NAMES.dead_letter_subscription, NAMES.ledger_subscription, PATH]
    assert applied == Applied(created=topics + subscriptions, sought=subscriptions)
    assert set(server.sought) == set(subscriptions)
    assert SEEK_LABEL not in server.subscriptions[PATH].labels
    assert server.subscriptions[PATH].message_retention_duration == RETENTION
    assert {topic.message_retention_duration for topic in server.topics.values()} == {RETENTION}


@pytest.mark.proves("sought-back")
async def test_on_a_topic_from_before_it_is_sought_back_to_what_the_topic_keeps_once(
    server: Server,
) -> None:
    await server.topology().apply(["conversations"])
    del server.subscriptions[PATH]
    server.sought.clear()
    applied = await server.topology().apply(["conversations"])
    assert applied == Applied(sought=[PATH], created=[PATH])
    assert list(server.sought) == [PATH], "and nothing that existed"
    ago = datetime.now(UTC) - server.sought[PATH]
    assert RETENTION <= ago < RETENTION + timedelta(minutes=1)
    assert SEEK_LABEL not in server.subscriptions[PATH].labels
    server.sought.clear()
    assert await server.topology().apply(["conversations"]) == Applied()
    assert server.sought == {}


@pytest.mark.proves("sought-back")
@pytest.mark.parametrize("call", ["seek", "update_subscription"])
async def test_an_apply_that_breaks_off_before_it_has_sought_is_completed_by_the_next(
    server: Server, call: str
) -> None:
    await server.topology().apply()
    server.breaking[call] = error(Forbidden)
    with pytest.raises(TopologyMissing):
        await server.topology().apply(["conversations"])
    wanted = server.topology().wanted(["conversations"])[-1]
    [difference] = await server.topology().compare(wanted)
    assert (difference.setting, difference.found) == (f"labels.{SEEK_LABEL}", "pending")
    server.sought.clear()
    assert await server.topology().apply(["conversations"]) == Applied(sought=[PATH])
    assert list(server.sought) == [PATH]
    assert await server.topology().compare(wanted) == []


@pytest.mark.proves("sought-back")
@pytest.mark.parametrize("emulated", [False, True], ids=["real", "embedded"])
@pytest.mark.parametrize("is_lost", [False, True], ids=["before", "after"])
async def test_an_apply_that_dies_at_any_call_is_completed_by_the_next(
    emulated: bool, is_lost: bool
) -> None:
    for call in count(1):
        server = Server(emulated=emulated)
        await server.topology().apply()
        server.calls.clear()
        server.sought.clear()
        server.dies_at, server.is_lost = call, is_lost
        with suppress(Died):
            await server.topology().apply(["conversations"])
        has_died = len(server.calls) >= call
        server.dies_at = 0
        await server.topology().apply(["conversations"])
        assert list(server.sought) == [PATH], f"call {call}"
        server.sought.clear()
        assert await server.topology().apply(["conversations"]) == Applied()
        assert server.sought == {}, "once is enough"
        if not has_died:
            break
    assert call > 5


@pytest.mark.parametrize("is_lost", [False, True], ids=["before", "after"])
async def test_where_labels_are_fixed_nothing_is_sought_however_often_it_is_applied(
    is_lost: bool,
) -> None:
    """Google's emulator gives a new subscription what its topic keeps by itself; a seek in each
    apply would bring all of it again.
    """
    for call in range(1, 12):
        server = Server(emulated=True, fixed=True)
        await server.topology().apply()
        server.calls.clear()
        server.sought.clear()
        server.dies_at, server.is_lost = call, is_lost
        with suppress(Died):
            await server.topology().apply(["conversations"])
        server.dies_at = 0
        await server.topology().apply(["conversations"])
        assert await server.topology().apply(["conversations"]) == Applied()
        assert server.sought == {}
        wanted = server.topology().wanted(["conversations"])[-1]
        assert await server.topology().compare(wanted) == []


async def test_labels_of_others_stay(server: Server) -> None:
    await server.topology().apply()
    server.breaking["seek"] = error(Forbidden)
    with pytest.raises(TopologyMissing):
        await server.topology().apply(["conversations"])
    server.subscriptions[PATH].labels["team"] = "chat"
    await server.topology().apply(["conversations"])
    assert dict(server.subscriptions[PATH].labels) == {"team": "chat"}


# --- rights


CREATED_BY_OTHERS = ("create_topic", "create_subscription")


async def test_who_may_create_nothing_applies_what_others_have_created(server: Server) -> None:
    """As beside Terraform: a right to create is a right on the whole project."""
    for topic in wanted_topics(NAMES):
        server.topics[topic.name] = topic
    for wanted in server.topology().wanted(["conversations"]):
        wanted.labels[SEEK_LABEL] = SEEK_PENDING
        server.subscriptions[wanted.name] = wanted
    applied = await server.topology().apply(["conversations"])
    assert not {*server.calls} & {*CREATED_BY_OTHERS}
    assert (applied.created, applied.differences) == ([], [])
    assert PATH in applied.sought
    assert all(SEEK_LABEL not in each.labels for each in server.subscriptions.values())


@pytest.mark.parametrize("call", ["get_topic", "get_subscription"])
async def test_what_may_not_be_looked_at_is_not_taken_for_missing(
    server: Server, call: str
) -> None:
    server.breaking[call] = error(Forbidden)
    with pytest.raises(TopologyMissing, match="may not be used by this identity"):
        await server.topology().apply(["conversations"])
    assert server.calls[-1] == call, "nothing is created instead"


@pytest.mark.parametrize("call", CREATED_BY_OTHERS)
async def test_what_somebody_else_creates_meanwhile_is_in_place(server: Server, call: str) -> None:
    create = getattr(server, call)

    async def overtaken(wanted: Any, **_: object) -> None:
        await create(wanted)
        await create(wanted)

    setattr(server, call, overtaken)
    assert (await server.topology().apply(["conversations"])).differences == []
    assert await server.topology().apply(["conversations"]) == Applied()


async def test_the_ledger_gets_requests_only_and_no_policy_takes_one_from_it(
    server: Server,
) -> None:
    await server.topology().apply()
    found = server.subscriptions[NAMES.ledger_subscription]
    assert (found.topic, found.filter) == (NAMES.topic, "NOT attributes:service")
    assert found.message_retention_duration == RETENTION
    assert not found.dead_letter_policy.dead_letter_topic
    assert NAMES.service_of(found.name) is None


@pytest.mark.proves("letters-recorded")
async def test_recovery_does_not_start_without_the_subscription_of_the_ledger_or_its_topic(
    server: Server,
) -> None:
    await server.topology().apply()
    await server.topology().ready_for(recovery=True)
    assert await server.topology().ledger_attachment()() is None
    server.subscriptions[NAMES.ledger_subscription].topic = DELETED_TOPIC
    with pytest.raises(TopologyMissing, match=r"bot-deletion.ledger belongs to _deleted"):
        await server.topology().ready_for(recovery=True)
    assert "bot-deletion.ledger belongs to" in str(await server.topology().ledger_attachment()())
    del server.subscriptions[NAMES.ledger_subscription]
    with pytest.raises(TopologyMissing, match=r"bot-deletion.ledger does not exist"):
        await server.topology().ready_for(recovery=True)
    await server.topology().apply()
    del server.topics[NAMES.completed_topic]
    with pytest.raises(TopologyMissing, match=r"bot-deletion.completed does not exist"):
        await server.topology().ready_for(recovery=True)
    await server.topology().ready_for(["conversations"][:0])


@pytest.mark.proves("letters-recorded")
async def test_who_may_look_at_a_subscription_but_not_pull_does_not_start(server: Server) -> None:
    await server.topology().apply(["conversations"])
    await server.topology().ready_for(["conversations"], recovery=True)
    server.permissions = []
    with pytest.raises(TopologyMissing, match=rf"conversations may not be pulled .*{CONSUME}"):
        await server.topology().ready_for(["conversations"])
    with pytest.raises(TopologyMissing, match=r"dead-letter may not be pulled"):
        await server.topology().ready_for(recovery=True)


async def test_who_only_publishes_needs_no_right_to_pull_what_it_publishes_to(
    server: Server,
) -> None:
    await server.topology().apply(["conversations"])
    server.permissions = []
    server.calls.clear()
    await server.topology().require_attached("conversations")
    assert server.calls == ["get_subscription"]
    server.subscriptions[PATH].topic = DELETED_TOPIC
    with pytest.raises(TopologyMissing, match=f"belongs to {DELETED_TOPIC}"):
        await server.topology().require_attached("conversations")
    with pytest.raises(TopologyMissing):
        await server.topology().require_attached("nobody")


async def test_a_bus_that_does_not_answer_is_waited_for(server: Server) -> None:
    server.breaking["get_topic"] = error(ServiceUnavailable)
    await server.topology().ready_for(["conversations"], recovery=True)
    server.breaking["get_topic"] = error(ServiceUnavailable)
    with pytest.raises(BusUnavailable):
        await server.topology().require()


# --- readiness


class Checked:
    """The check of a probe over `server`, in time of its own."""

    def __init__(self, server: Server) -> None:
        self.now = 0.0
        client = cast("SubscriberAsyncClient", server)
        self.check = AttachmentCheck(client, PATH, NAMES.topic, monotonic=lambda: self.now)

    async def __call__(self) -> str | None:
        return await self.check()


@pytest.mark.proves("lost-topic")
async def test_pubsub_is_asked_once_a_minute_however_many_probes_come(server: Server) -> None:
    await server.topology().apply(["conversations"])
    server.calls.clear()
    checked = Checked(server)
    for _ in range(100):
        assert await checked() is None
        checked.now += KEEP_SECONDS / 50
    assert server.calls == ["get_subscription"] * 2


@pytest.mark.proves("lost-topic")
async def test_a_lost_topic_is_a_problem_until_it_is_seen_to_be_the_right_one(
    server: Server,
) -> None:
    await server.topology().apply(["conversations"])
    checked = Checked(server)
    server.subscriptions[PATH].topic = DELETED_TOPIC
    assert "botdel topology apply" in str(await checked())
    server.breaking["get_subscription"] = error(ServiceUnavailable)
    checked.now += KEEP_SECONDS
    assert "botdel topology apply" in str(await checked()), "no answer is no good news"
    server.subscriptions[PATH].topic = NAMES.topic
    checked.now += KEEP_SECONDS
    assert await checked() is None


@pytest.mark.proves("lost-topic")
@pytest.mark.parametrize("kind", [Forbidden, ServiceUnavailable, NotFound])
async def test_a_question_that_is_not_answered_makes_nobody_unready(
    server: Server, kind: type[GoogleAPICallError]
) -> None:
    server.breaking["get_subscription"] = error(kind)
    assert await Checked(server)() is None
    assert server.calls == ["get_subscription"], "and nothing is created"
