"""What `botdel doctor` makes of the facts: each is found, with what to do about it."""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from google.api_core.exceptions import Forbidden, GoogleAPICallError
from google.iam.v1 import policy_pb2  # type: ignore[import-untyped]
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from pymongo import ASCENDING, IndexModel
from pymongo.errors import InvalidURI, OperationFailure

from botdel.doctor.breakers import breaker_findings
from botdel.doctor.command import doctor, examine
from botdel.doctor.environment import environment_findings
from botdel.doctor.findings import (
    Finding,
    Status,
    could_not,
    failed,
    guarded,
    ok,
    together,
    warning,
)
from botdel.doctor.grants import PUBLISHER, grant_finding, grant_findings
from botdel.doctor.indexes import index_finding, retention_finding
from botdel.doctor.plans import build_plans, read_plans
from botdel.doctor.report import line, show, tabulate
from botdel.doctor.timing import (
    clock_finding,
    grace_finding,
    grace_findings,
    heartbeat_finding,
    slowest_batch,
)
from botdel.doctor.topology import subscription_finding, topic_finding
from botdel.terminal import Terminal
from deletion.adapters.mongo.jobs import BY_DUE, BY_EVENTS, BY_LIVE_BOT, BY_SILENCE, INDEXES
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.wanted import DELETED_TOPIC, Difference
from deletion.adapters.spec import Outside
from deletion.breaker import Breaker, BreakerPolicy, LocalBreakerStore
from deletion.errors import (
    BusUnavailable,
    ConfigurationError,
    HttpUnavailable,
    StoreUnavailable,
    TopologyMissing,
)
from deletion.job import LeasePolicy, StepProgress
from deletion.plan import Plan
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, OTHER_BOT, SERVICE, a_job
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.scripted_stores import ScriptedStore

NAMES = Names("a-project", "bot-deletion")
PATH = NAMES.subscription(SERVICE)
TOKEN = "0123456789abcdef"
NEEDED = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1/",
    "BOTDEL_RECOVERY_TOKEN": TOKEN,
    "BOTDEL_GATEWAY_TOKENS": TOKEN,
}
AGENT = "serviceAccount:service-123456@gcp-sa-pubsub.iam.gserviceaccount.com"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what is needed is set, and no `.env` is found."""
    for name in list(os.environ):
        if name.startswith("BOTDEL_") or name == "PUBSUB_EMULATOR_HOST":
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def by_check(findings: Sequence[Finding]) -> dict[str, Finding]:
    found = {finding.check: finding for finding in findings}
    assert len(found) == len(findings), "each check has a name of its own"
    return found


# --- a check that cannot look


def refusal() -> GoogleAPICallError:
    return GoogleAPICallError("Invalid name")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "detail", "remedy"),
    [
        (
            TopologyMissing("topic t does not exist: run `botdel topology apply`"),
            "topic t does not exist",
            "run `botdel topology apply`",
        ),
        (StoreUnavailable("MongoDB: AutoReconnect"), "AutoReconnect", "BOTDEL_MONGODB_URI"),
        (BusUnavailable("Pub/Sub, t: RetryError"), "RetryError", "PUBSUB_EMULATOR_HOST"),
        (refusal(), "Invalid name", "PUBSUB_EMULATOR_HOST"),
        (OperationFailure("Not authorized", 13, {"ok": 0}), "Not authorized", "user"),
        (HttpUnavailable("GET x.example: ConnectError"), "ConnectError", "that it answers"),
        (ConfigurationError("no credentials:\n  set them"), "no credentials: set them", "correct"),
    ],
)
async def test_an_error_is_a_finding_with_its_remedy(
    error: Exception, detail: str, remedy: str
) -> None:
    async def looking() -> list[Finding]:
        raise error

    [found] = await guarded("a check", looking())
    assert (found.check, found.status) == ("a check", Status.FAILED)
    assert found.detail.endswith(detail)
    assert remedy in found.remedy


def test_a_uri_that_cannot_be_read_is_never_quoted() -> None:
    found = could_not("MongoDB", InvalidURI("no such port: 'hunter22@host'"))
    assert "hunter22" not in line(found)
    assert "not a MongoDB URI" in found.detail


@pytest.mark.proves("broken-step-hides-nothing")
@pytest.mark.parametrize("error", [RuntimeError("boom\n twice"), TimeoutError("boom\n twice")])
async def test_an_error_nobody_foresaw_is_a_finding_with_its_type_and_text(
    error: Exception,
) -> None:
    async def looking() -> list[Finding]:
        raise error

    [found] = await guarded("a check", looking())
    assert (found.check, found.status) == ("a check", Status.FAILED)
    assert found.detail == f"{type(error).__name__}: boom twice"
    assert "a class of your own" in found.remedy


@pytest.mark.proves("broken-step-hides-nothing")
async def test_a_look_that_does_not_end_is_given_up_and_found() -> None:
    async def looking() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    [found] = await asyncio.wait_for(guarded("a check", looking(), longest=0.01), 10)
    assert found == failed("a check", "no answer within 0.01 s", found.remedy)


async def test_a_look_that_is_cancelled_is_no_finding() -> None:
    looking = asyncio.create_task(asyncio.Event().wait())
    guard = asyncio.create_task(guarded("a check", cast("Any", looking)))
    await asyncio.sleep(0)
    guard.cancel()
    with pytest.raises(asyncio.CancelledError):
        await guard


async def test_looks_that_are_cancelled_have_tidied_up_before_it_ends() -> None:
    """The canary's subscription is removed over a connection that is closed after that."""
    began, tidied = asyncio.Event(), list[str]()

    async def canary() -> Sequence[Finding]:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            tidied.append("canary")
        return []

    async def quick() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    looking = asyncio.create_task(together(quick(), canary()))
    await began.wait()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert tidied == ["canary"]


# --- settings


def test_settings_and_credentials_that_are_there_are_fine_and_alerts_worth_a_warning() -> None:
    found = by_check(environment_findings())
    for process in ("gateway", "consumer", "recovery"):
        assert found[f"settings of {process}"].status is Status.OK
    assert found["alerts"].status is Status.WARNING
    assert "BOTDEL_ALERT_WEBHOOK_URL" in found["alerts"].remedy


def test_where_alerts_go_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTDEL_ALERT_WEBHOOK_URL", "https://hooks.example/hunter22")
    found = by_check(environment_findings())["alerts"]
    assert found.status is Status.OK
    assert "hunter22" not in line(found)


@pytest.mark.parametrize(
    ("name", "value", "process"),
    [
        ("BOTDEL_GATEWAY_TOKENS", "", "gateway"),
        ("BOTDEL_GATEWAY_TOKENS", "hunter22", "gateway"),
        ("BOTDEL_RECOVERY_TOKEN", "", "recovery"),
        ("BOTDEL_RECOVERY_TOKEN", "hunter22", "recovery"),
        ("BOTDEL_MONGODB_URI", "hunter22", "consumer"),
        ("BOTDEL_ALERT_WEBHOOK_URL", "hunter22", "alerts"),
    ],
)
def test_a_missing_or_wrong_setting_is_named_and_not_shown(
    name: str, value: str, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    found = by_check(environment_findings())
    finding = found[process if process == "alerts" else f"settings of {process}"]
    assert finding.status is Status.FAILED
    assert f"{name}: " in finding.detail
    assert "openssl rand -hex 32" in finding.remedy
    assert "hunter22" not in "".join(map(line, found.values()))


async def test_without_any_setting_everything_that_can_be_said_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name)
    assert await doctor([], 60, as_json=True) == 1
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert "GOOGLE_CLOUD_PROJECT: Field required" in found["Pub/Sub"]["detail"]
    assert "BOTDEL_MONGODB_URI: Field required" in found["MongoDB"]["detail"]
    assert {found[each]["status"] for each in ("Pub/Sub", "MongoDB")} == {"failed"}
    assert "canary" not in found


async def test_a_database_whose_uri_is_wrong_is_one_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://user:hunt@er22@host:port:port/")
    found = by_check(await examine([], 60, lambda _: None))
    assert found["MongoDB"].status is Status.FAILED
    assert "er22" not in "".join(map(line, found.values()))


# --- plans

PLAN = "service: {service}\nsteps:\n  - {{name: messages, mongo: {{database: {database}, "
PLAN += "collection: {collection}, field: bot}}}}\n"


@pytest.mark.proves("broken-step-hides-nothing")
def test_a_plan_that_cannot_be_read_or_built_is_one_finding_and_the_others_are_there(
    tmp_path: Path,
) -> None:
    texts = {
        "right.yaml": PLAN.format(service="right", database="chat", collection="messages"),
        "unset.yaml": PLAN.format(service="away", database="'${NOT}'", collection="'${NOR}'"),
        "records.yaml": PLAN.format(service="records", database="own", collection="deletion_jobs"),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    findings: list[Finding] = []
    paths = [tmp_path / name for name in (*texts, "none.yaml")]
    sources = read_plans(paths, findings)
    assert [source.service for source in sources.values()] == ["right", "records"]
    clients = MagicMock()
    [plan] = build_plans(sources, Outside(clients, own_database="own"), findings)
    assert plan.service == "right"
    found = by_check(findings)
    unset, none, records = (
        found[f"plan {tmp_path / name}"] for name in ("unset.yaml", "none.yaml", "records.yaml")
    )
    assert {each.status for each in found.values()} == {Status.FAILED}
    assert f"{tmp_path}/unset.yaml:3: steps.0.mongo.database: the env" in unset.detail
    assert "variable NOR is not set" in unset.detail
    assert "cannot be read" in none.detail
    assert "records.yaml:3: plan of records, step messages: deletion_jobs" in records.detail


async def test_a_plan_whose_class_raises_what_nobody_foresaw_is_one_finding(
    tmp_path: Path,
) -> None:
    class Raising:
        service = "raising"

        def build(self, outside: Outside) -> Plan:
            raise RuntimeError("boom")

    findings: list[Finding] = []
    assert build_plans({"mine:PLAN": Raising()}, Outside(MagicMock()), findings) == []
    assert [(each.check, each.detail) for each in findings] == [
        ("plan mine:PLAN", "RuntimeError: boom")
    ]


# --- subscriptions


def difference(setting: str, found: object, expected: object, path: str = PATH) -> Difference:
    return Difference(path, setting, found, expected)


def test_a_subscription_as_it_should_be_is_fine_and_says_when_its_plan_is_not_known() -> None:
    planned = subscription_finding(NAMES, PATH, [], {SERVICE})
    assert planned == ok(f"subscription bot-deletion.{SERVICE}", "as it should be")
    unplanned = subscription_finding(NAMES, PATH, [], {"another"})
    assert (unplanned.status, "without its --plan" in unplanned.detail) == (Status.WARNING, True)
    assert unplanned.remedy == "give its --plan too"
    without_any = subscription_finding(NAMES, PATH, [], set())
    assert (without_any.status, without_any.detail) == (Status.OK, unplanned.detail)
    keeper = subscription_finding(NAMES, NAMES.dead_letter_subscription, [], set())
    assert keeper.detail == "as it should be"


@pytest.mark.proves("subscription-kept")
def test_only_a_subscription_without_jobs_comes_with_a_command_that_deletes_it() -> None:
    """The service of another team has jobs, and its requests must not be lost by a paste."""
    unused = subscription_finding(NAMES, PATH, [], {"another"}, unused=True)
    assert unused.status is Status.WARNING
    assert unused.remedy.startswith("give its --plan too; it has no job: if there is no service")
    assert f"subscriptions delete bot-deletion.{SERVICE} --project=" in unused.remedy


def test_settings_that_can_be_changed_are_changed_by_one_command() -> None:
    found = subscription_finding(
        NAMES,
        PATH,
        [
            difference("ack_deadline_seconds", 10, 60),
            difference("message_retention_duration", timedelta(days=1), timedelta(days=7)),
            difference("expiration_policy.ttl", timedelta(days=31), None),
            difference("retry_policy.minimum_backoff", None, timedelta(seconds=10)),
            difference("dead_letter_policy.max_delivery_attempts", 0, 5),
        ],
        {SERVICE},
    )
    assert found.status is Status.FAILED
    assert "ack_deadline_seconds is 10, expected 60; message_retention_duration is" in found.detail
    assert found.remedy == (
        "`gcloud pubsub subscriptions update bot-deletion.conversations --project=a-project "
        "--ack-deadline=60 --message-retention-duration=604800s --expiration-period=never "
        "--min-retry-delay=10s "
        "--dead-letter-topic=projects/a-project/topics/bot-deletion.dead-letter "
        "--max-delivery-attempts=5`"
    )


def test_a_subscription_that_lost_its_topic_is_deleted_and_made_again() -> None:
    lost = difference("topic", DELETED_TOPIC, NAMES.topic)
    found = subscription_finding(NAMES, PATH, [lost], {SERVICE})
    assert (found.status, "it gets nothing" in found.remedy) == (Status.FAILED, True)
    places = [found.remedy.index(step) for step in ("delete bot-deletion.conv", "topology apply")]
    assert places == sorted(places)


def test_a_subscription_that_was_not_sought_back_is_completed_by_another_apply() -> None:
    pending = difference("labels.botdel-seek", "pending", None)
    found = subscription_finding(NAMES, PATH, [pending], {SERVICE})
    assert (found.status, "run it again" in found.remedy) == (Status.FAILED, True)


def test_a_topic_that_forgets_too_early_is_changed_by_one_command() -> None:
    assert topic_finding(NAMES, NAMES.topic, []).status is Status.OK
    differences = [difference("message_retention_duration", None, timedelta(days=31), NAMES.topic)]
    found = topic_finding(NAMES, NAMES.topic, differences)
    assert (found.check, found.status) == ("topic bot-deletion", Status.FAILED)
    assert found.remedy == (
        "`gcloud pubsub topics update bot-deletion --project=a-project "
        "--message-retention-duration=2678400s`"
    )


@pytest.mark.parametrize("setting", ["topic", "filter"])
def test_a_subscription_that_has_to_be_replaced_is_emptied_first(setting: str) -> None:
    others = [difference("ack_deadline_seconds", 10, 60)]
    found = subscription_finding(NAMES, PATH, [*others, difference(setting, "", "x")], {SERVICE})
    assert f"{setting} is '', expected 'x'" in found.detail
    steps = ("cannot be changed", "empty it", "delete bot-deletion.conversations", "topology apply")
    places = [found.remedy.index(step) for step in steps]
    assert places == sorted(places)


def test_dead_letters_are_given_up_by_nobody() -> None:
    path = NAMES.dead_letter_subscription
    differences = [difference("dead_letter_policy.max_delivery_attempts", 5, 0, path)]
    found = subscription_finding(NAMES, path, differences, set())
    assert "--clear-dead-letter-policy" in found.remedy
    assert "--dead-letter-topic" not in found.remedy


@pytest.mark.parametrize(
    ("path", "service"),
    [
        (PATH, SERVICE),
        (NAMES.dead_letter_subscription, None),
        (NAMES.subscription("doctor.0123456789abcdef"), None),
        ("projects/another/subscriptions/bot-deletion.conversations", None),
        ("projects/a-project/subscriptions/conversations", None),
    ],
)
def test_a_subscription_is_a_services_by_its_name(path: str, service: str | None) -> None:
    assert NAMES.service_of(path) == service


# --- grants


def granted(**roles: list[str]) -> Finding:
    bindings = {f"roles/{role.replace('_', '.')}": members for role, members in roles.items()}
    return grant_finding("a-project", "topic", NAMES.dead_letter_topic, PUBLISHER, bindings)


@pytest.mark.parametrize("role", ["pubsub_publisher", "pubsub_editor", "pubsub_admin", "owner"])
def test_a_role_of_the_service_agent_that_may_publish_is_enough(role: str) -> None:
    found = granted(**{role: ["user:somebody@example.com", AGENT]})
    assert (found.status, AGENT in found.detail) == (Status.OK, True)


@pytest.mark.parametrize(
    "roles",
    [
        {},
        {"pubsub_viewer": [AGENT]},
        {"pubsub_publisher": ["user:somebody@example.com"]},
        {"pubsub_publisher": [AGENT.replace("gcp-sa-pubsub", "gcp-sa-other")]},
        {"pubsub_publisher": [f"{AGENT}?uid=1"]},
    ],
)
def test_without_one_it_cannot_be_told_and_the_command_grants_it(
    roles: dict[str, list[str]],
) -> None:
    found = granted(**roles)
    assert found.status is Status.WARNING
    assert "the canary decides" in found.detail
    assert found.remedy == (
        "`gcloud pubsub topics add-iam-policy-binding bot-deletion.dead-letter "
        '--project=a-project --role=roles/pubsub.publisher --member="serviceAccount:service-'
        "$(gcloud projects describe a-project --format='value(projectNumber)')"
        '@gcp-sa-pubsub.iam.gserviceaccount.com"`'
    )


class Policies:
    """Pub/Sub's policies by resource; others may not be read."""

    def __init__(self, policies: dict[str, policy_pb2.Policy]) -> None:
        self._policies = policies

    async def get_iam_policy(self, request: dict[str, str], **_: object) -> policy_pb2.Policy:
        if request["resource"] not in self._policies:
            raise Forbidden("not to be read")  # type: ignore[no-untyped-call]
        return self._policies[request["resource"]]


async def test_topic_and_subscriptions_are_asked_and_a_policy_may_be_unreadable() -> None:
    binding = policy_pb2.Binding(role=PUBLISHER, members=[AGENT])
    policies = {
        NAMES.dead_letter_topic: policy_pb2.Policy(bindings=[binding]),
        PATH: policy_pb2.Policy(bindings=[binding]),
    }
    client = cast("PublisherAsyncClient", Policies(policies))
    found = by_check(await grant_findings(client, NAMES, [SERVICE, "analytics"]))
    assert found["grant on topic bot-deletion.dead-letter"].status is Status.OK
    unread = found["grant on subscription bot-deletion.analytics"]
    assert (unread.status, "cannot be told" in unread.detail) == (Status.WARNING, True)
    assert "subscriptions add-iam-policy-binding bot-deletion.analytics" in unread.remedy
    asked = found[f"grant on subscription bot-deletion.{SERVICE}"]
    assert asked.status is Status.WARNING, "to publish is not to subscribe"
    assert "roles/pubsub.subscriber" in asked.remedy


# --- indexes


def described(*indexes: IndexModel) -> dict[str, dict[str, Any]]:
    """As the driver tells them."""
    told = {"_id_": {"v": 2, "key": [("_id", 1)]}}
    for index in indexes:
        document = dict(index.document)
        document["key"] = list(document["key"].items())
        told[document.pop("name")] = {"v": 2, **document}
    return told


def jobs_with(**changed: dict[str, Any]) -> Finding:
    found = described(*INDEXES)
    for name, options in changed.items():
        found[name] |= options
    return index_finding("deletion_jobs", INDEXES, found)


def test_indexes_as_they_should_be_are_fine_beside_others() -> None:
    others = described(*INDEXES, IndexModel([("placedAt", ASCENDING)], name="somebodys"))
    assert index_finding("deletion_jobs", INDEXES, others).status is Status.OK


def test_what_a_server_adds_by_itself_is_no_difference() -> None:
    assert (
        jobs_with(**{BY_SILENCE: {"ns": "x", "background": True, "sparse": False}}).status == "ok"
    )


@pytest.mark.parametrize(
    ("days", "difference", "exists", "status", "said"),
    [
        (None, None, False, Status.OK, "kept for ever"),
        (90, None, True, Status.OK, "deleted 90 days after"),
        (90, None, False, Status.FAILED, "BOTDEL_KEEP_COMPLETE_DAYS is 90"),
        (90, "after 31 days: run `drop`", True, Status.FAILED, "after 31 days"),
        (None, "after 31 days: run `drop`", True, Status.FAILED, "after 31 days"),
    ],
)
def test_how_long_complete_jobs_are_kept_is_held_to_the_setting(
    days: int | None, difference: str | None, exists: bool, status: Status, said: str
) -> None:
    found = retention_finding(days, difference, exists=exists)
    assert found.status is status
    assert said in found.detail
    remedy = "run `drop`" if difference else "run `botdel topology apply`"
    assert found.remedy == ("" if status is Status.OK else remedy)


def test_missing_indexes_are_named_and_made_by_apply() -> None:
    found = index_finding("deletion_jobs", INDEXES, described())
    assert found.status is Status.FAILED
    assert all(name in found.detail for name in (BY_EVENTS, BY_LIVE_BOT, BY_SILENCE, BY_DUE))
    assert found.remedy == "run `botdel topology apply`"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (BY_EVENTS, {"unique": False}),
        (BY_EVENTS, {"key": [("service", 1), ("botId", 1), ("eventIds", 1)]}),
        (BY_SILENCE, {"key": [("status", 1), ("lastModifiedAt", -1)]}),
        (BY_SILENCE, {"unique": True}),
        (BY_SILENCE, {"expireAfterSeconds": 60}),
        (BY_LIVE_BOT, {"partialFilterExpression": {"live": False}}),
    ],
)
def test_an_index_that_differs_has_to_be_dropped_first(name: str, options: dict[str, Any]) -> None:
    found = jobs_with(**{name: options})
    assert found.status is Status.FAILED
    assert name in found.detail
    drop = f'`db.deletion_jobs.dropIndex("{name}")`'
    assert found.remedy == f"{drop}, then run `botdel topology apply`"


# --- periods


def progress(name: str, slowest: float) -> StepProgress:
    return StepProgress(name, batches=1 if slowest else 0, slowest=slowest)


def test_the_slowest_batch_is_that_of_all_jobs_and_steps() -> None:
    jobs = [
        a_job(steps=(progress("messages", 0.5), progress("sessions", 2.5))),
        a_job(steps=(progress("messages", 1.5), progress("sessions", 0))),
    ]
    assert slowest_batch(jobs) == progress("sessions", 2.5)
    assert slowest_batch([a_job(steps=(progress("messages", 0),)), a_job()]) is None


@pytest.mark.parametrize(("seconds", "status"), [(9.9, Status.OK), (10.0, Status.FAILED)])
def test_a_batch_has_half_of_the_grace_period(seconds: float, status: Status) -> None:
    assert grace_finding(SERVICE, progress("messages", seconds), 20).status is status


def test_a_batch_that_is_too_slow_is_named_with_both_ways_out() -> None:
    found = grace_finding(SERVICE, progress("messages", 15.2), 20)
    assert "of step messages, took 15 s; a run has 10 s" in found.detail
    assert "a smaller `batch_size` of step messages" in found.remedy
    assert "BOTDEL_SHUTDOWN_GRACE_SECONDS above 30" in found.remedy


async def test_each_service_has_its_own_and_without_a_batch_it_cannot_be_told() -> None:
    store = ScriptedStore(VirtualClock())
    store.put(a_job(steps=(progress("messages", 15),)))
    found = by_check(await grace_findings(store, [SERVICE, "analytics"], 20))
    assert found[f"grace period of {SERVICE}"].status is Status.FAILED
    unknown = found["grace period of analytics"]
    assert (unknown.status, "cannot tell" in unknown.detail) == (Status.WARNING, True)


@pytest.mark.parametrize(
    ("stale_after", "round_trip", "status"),
    [
        (600, 0.002, Status.OK),
        (600, 149.9, Status.OK),
        (600, 150, Status.FAILED),
        (2, 0.49, Status.OK),
        (2, 0.5, Status.FAILED),
    ],
)
def test_a_heartbeat_has_to_get_through(
    stale_after: float, round_trip: float, status: Status
) -> None:
    found = heartbeat_finding(round_trip, lease(stale_after))
    assert found.status is status
    assert ("BOTDEL_STALE_AFTER_SECONDS" in found.remedy) == (status is not Status.OK)


@pytest.mark.parametrize(
    ("ahead", "status"),
    [
        (0.001, Status.OK),
        (200.0, Status.OK),
        (200.1, Status.FAILED),
        (-200.1, Status.FAILED),
        (None, Status.WARNING),
    ],
)
def test_clocks_may_differ_by_what_a_sweep_accepts(ahead: float | None, status: Status) -> None:
    found = clock_finding(ahead, lease(600))
    assert found.status is status
    assert ("NTP" in found.remedy) == (status is not Status.OK)


def lease(stale_after: float) -> LeasePolicy:
    return LeasePolicy(timedelta(seconds=stale_after), max_attempts=5)


# --- the report


@pytest.fixture
def findings() -> list[Finding]:
    return [ok("one", "fine"), warning("two", "who knows", "look"), failed("three", "bad", "do")]


def test_each_finding_is_a_line_with_its_remedy(
    findings: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    show(findings, as_json=False)
    assert capsys.readouterr().out == "✓ one: fine\n! two: who knows → look\n✗ three: bad → do\n"


def test_on_a_terminal_what_to_do_is_unbroken_below_the_table() -> None:
    command = f"`gcloud {'x' * 200}`"
    out = StringIO()
    tabulate([failed("one", "y" * 100, command), ok("two", "fine")], Terminal(file=out, width=40))
    lines = out.getvalue().splitlines()
    assert lines[-1] == f"one → {command}"
    assert "".join(lines[:-1]).count("y") == 100
    assert not any("two →" in line for line in lines)


def test_what_a_broker_or_a_database_says_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = [failed("one", f"detail {HOSTILE}", f"remedy {HOSTILE}")]
    tabulate(hostile, Terminal(width=1_000))
    show(hostile, as_json=False)
    shown = capsys.readouterr().out
    assert shown.count(f"detail {SHOWN}") == 2
    assert shown.count(f"→ remedy {SHOWN}") == 2
    assert harmless(shown)


def test_machines_get_the_same(findings: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    show(findings, as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"check": "one", "status": "ok", "detail": "fine", "remedy": ""},
        {"check": "two", "status": "warning", "detail": "who knows", "remedy": "look"},
        {"check": "three", "status": "failed", "detail": "bad", "remedy": "do"},
    ]


# --- the breakers of external APIs


@pytest.mark.proves("breaker-alert")
async def test_an_open_breaker_is_named_with_its_reason_and_when_it_is_tried_again() -> None:
    clock = VirtualClock()
    store = LocalBreakerStore(clock)
    [found] = await breaker_findings(store)
    assert found.status is Status.OK
    failed_once = Breaker("billing.example").failed("a", BOT, "503", START, BreakerPolicy())
    opened = failed_once.failed("b", OTHER_BOT, "answered 503", START, BreakerPolicy())
    await store.apply(Breaker("billing.example"), failed_once)
    [found] = await breaker_findings(store)
    assert found.status is Status.OK, "one bot opens none"
    await store.apply(failed_once, opened)
    [found] = await breaker_findings(store)
    assert (found.check, found.status) == ("breaker of billing.example", Status.FAILED)
    assert "answered 503" in found.detail
    assert "tried again at 2025-03-30T02:00:09.250Z" in found.detail
    assert BOT not in found.detail + found.remedy
    clock.pause(3600)
    [found] = await breaker_findings(store)
    assert found.status is Status.WARNING, "nothing has called it since"


@pytest.mark.proves("damaged-breaker")
async def test_a_breaker_that_cannot_be_read_is_named() -> None:
    class Damaged(LocalBreakerStore):
        async def damaged(self) -> Sequence[str]:
            return ["billing.example"]

    [found] = await breaker_findings(Damaged(VirtualClock()))
    assert (found.check, found.status) == ("breaker of billing.example", Status.WARNING)
    assert "cannot be read" in found.detail
    assert "the next call that fails replaces it" in found.remedy
