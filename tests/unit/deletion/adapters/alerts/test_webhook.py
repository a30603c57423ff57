"""Alerts are grouped, posted once, retried, given up and logged; the work never waits for them."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from structlog.typing import EventDict

from deletion.adapters.alerts.groups import MOST_GROUPS
from deletion.adapters.alerts.webhook import (
    ANSWER_SECONDS,
    TRIES,
    Webhook,
    WebhookAlerts,
    webhook_alerts,
)
from deletion.alerts import Alert, AlertKind
from deletion.errors import ConfigurationError
from deletion.process.alert_settings import AlertSettings
from deletion.process.settings import load
from deletion.retry import Retry
from tests.support.clock import START, VirtualClock

pytestmark = pytest.mark.virtual_time

SECRET = "T0123-hunter22"
URL = SecretStr(f"https://hooks.invalid/services/{SECRET}?key={SECRET}")
QUIET = 5.0
POISON = Alert(AlertKind.DEAD_LETTER, "conversations", "undecodable", "65f0a1b2c3d4e5f607180001")
SPENT = Alert(AlertKind.JOB_EXHAUSTED, "analytics", "OperationFailure", "65f0a1b2c3d4e5f607180002")


class Receiver(httpx.MockTransport):
    """What a webhook's server sees. It takes the next `script` entry for each POST, then 200."""

    def __init__(self, clock: VirtualClock, *script: int | Exception) -> None:
        super().__init__(self.answer)
        self._clock = clock
        self.script = deque(script)
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.takes = 0.0
        self.is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True

    async def answer(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", URL.get_secret_value())
        assert request.headers["content-type"] == "application/json"
        self.times.append(self._clock.monotonic())
        self.bodies.append(httpx.Response(200, content=await request.aread()).json())
        await self._clock.sleep(self.takes)
        action = self.script.popleft() if self.script else 200
        if isinstance(action, Exception):
            raise action
        return httpx.Response(action, headers={"Location": "https://elsewhere.invalid/"})


def alerting(
    clock: VirtualClock, receiver: Receiver, answer_seconds: float = ANSWER_SECONDS
) -> WebhookAlerts:
    webhook = Webhook(URL, Retry(clock, TRIES), answer_seconds=answer_seconds, transport=receiver)
    return WebhookAlerts(webhook, clock, group_seconds=QUIET)


def named(logs: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logs if line["event"] == event]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def receiver(clock: VirtualClock) -> Receiver:
    return Receiver(clock)


@pytest.fixture(autouse=True)
def _never_shows_the_url(caplog: pytest.LogCaptureFixture) -> Iterator[list[EventDict]]:
    """Whatever happens in a test, and whatever a library says above the level it is kept at."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # as `logs.configure` does
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        yield logs
    assert SECRET not in caplog.text + repr(logs)


@pytest.fixture
def logs(_never_shows_the_url: list[EventDict]) -> list[EventDict]:
    return _never_shows_the_url


# --- grouping


@pytest.mark.proves("one-alert")
async def test_a_thousand_poison_messages_are_one_alert_with_their_count(
    clock: VirtualClock, receiver: Receiver, logs: list[EventDict]
) -> None:
    alerts = alerting(clock, receiver)
    for number in range(1000):
        alerts.tell(Alert(AlertKind.DEAD_LETTER, "conversations", "undecodable", f"{number:024}"))
        await clock.sleep(0.002)
    await clock.sleep(1000)
    [body] = receiver.bodies
    assert body == {
        "text": "1,000 new dead letters of conversations (undecodable): botdel dead-letters list "
        "--service conversations --reason undecodable",
        "kind": "dead_letter",
        "service": "conversations",
        "reason": "undecodable",
        "count": 1000,
        "examples": [f"{number:024}" for number in range(5)],
        "first_at": "2025-03-30T01:59:59.250Z",
        "last_at": "2025-03-30T02:00:01.248Z",
    }
    [line] = named(logs, "alert")
    assert line.items() >= {"log_level": "warning", **body}.items()


async def test_a_group_goes_out_once_it_was_quiet(clock: VirtualClock, receiver: Receiver) -> None:
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    await clock.sleep(QUIET - 1)
    alerts.tell(POISON)
    await clock.sleep(100)
    alerts.tell(POISON)
    await clock.sleep(100)
    assert receiver.times == [2 * QUIET - 1, QUIET - 1 + 100 + QUIET]
    assert [body["count"] for body in receiver.bodies] == [2, 1]


async def test_a_steady_drip_is_told_of_after_ten_quiet_times_at_the_latest(
    clock: VirtualClock, receiver: Receiver
) -> None:
    alerts = alerting(clock, receiver)
    for _ in range(145):
        alerts.tell(POISON)
        await clock.sleep(0.7)
    await clock.sleep(100)
    assert receiver.times == pytest.approx([50, 50.4 + 50, 144 * 0.7 + QUIET])
    assert sum(body["count"] for body in receiver.bodies) == 145


@pytest.mark.proves("clock-set-aside")
@pytest.mark.parametrize("by", [timedelta(hours=-6), timedelta(hours=6)], ids=["back", "forward"])
async def test_a_clock_that_is_set_neither_delays_nor_hastens_an_alert(
    by: timedelta, clock: VirtualClock, receiver: Receiver
) -> None:
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    alerts.tell(SPENT)
    await clock.sleep(1)
    clock.set(by)
    alerts.tell(SPENT)
    await clock.sleep(100)
    assert receiver.times == [QUIET, 1 + QUIET]
    assert [body["count"] for body in receiver.bodies] == [1, 2]


async def test_each_kind_service_and_reason_is_an_alert_of_its_own(
    clock: VirtualClock, receiver: Receiver
) -> None:
    alerts = alerting(clock, receiver)
    told = [
        POISON,
        Alert(AlertKind.DEAD_LETTER, "conversations", "invalid", "a"),
        Alert(AlertKind.DEAD_LETTER, "analytics", "undecodable", "b"),
        Alert(AlertKind.JOB_EXHAUSTED, "conversations", "undecodable", "c"),
    ]
    for alert in told * 2:
        alerts.tell(alert)
    await clock.sleep(100)
    assert [(b["kind"], b["service"], b["reason"], b["count"]) for b in receiver.bodies] == [
        (alert.kind, alert.service, alert.reason, 2) for alert in told
    ]


async def test_groups_are_bounded_and_none_is_uncounted(
    clock: VirtualClock, receiver: Receiver
) -> None:
    alerts = alerting(clock, receiver)
    for number in range(3 * MOST_GROUPS):
        alerts.tell(Alert(AlertKind.JOB_EXHAUSTED, f"service-{number}", "E", str(number)))
    await clock.sleep(100)
    assert len(receiver.bodies) == MOST_GROUPS + 1
    assert [body for body in receiver.bodies if body["count"] > 1] == [
        receiver.bodies[-1] | {"service": "", "reason": "other", "count": 2 * MOST_GROUPS}
    ]


# --- what it says


@pytest.mark.parametrize(
    ("alert", "text"),
    [
        (
            POISON,
            "1 new dead letter of conversations (undecodable): "
            "botdel dead-letters list --service conversations --reason undecodable",
        ),
        (
            Alert(AlertKind.DEAD_LETTER, "", "undelivered", "a", 2),
            "2 new dead letters (undelivered): botdel dead-letters list --reason undelivered",
        ),
        (
            Alert(AlertKind.DEAD_LETTER, "", "other", "a", 2),
            "2 new dead letters (other): botdel dead-letters list",
        ),
        (
            Alert(AlertKind.JOB_EXHAUSTED, "analytics", "OperationFailure", "a", 3),
            "3 jobs of analytics exhausted (OperationFailure): "
            "botdel jobs list --service analytics --status exhausted",
        ),
        (
            Alert(AlertKind.JOB_COMPENSATED, "billing", "HttpRefused", "a"),
            "1 job of billing rolled back, the bot is not deleted (HttpRefused): "
            "botdel jobs list --service billing --status compensated",
        ),
        (
            Alert(AlertKind.JOBS_STALE, "", "over 50% of those in progress", "a", 12),
            "12 jobs found stale by a sweep (over 50% of those in progress): "
            "botdel jobs list --status in_progress",
        ),
        (
            Alert(AlertKind.JOBS_WAITING, "", "not taken up for over 1 day", "a", 2),
            "2 jobs waiting for a worker (not taken up for over 1 day): "
            "botdel jobs list --status pending and botdel jobs list --status failed",
        ),
        (
            Alert(AlertKind.BREAKER_OPEN, "billing", "billing.example", "billing.example"),
            "calls of billing to an external API fail and are suspended "
            "(billing.example): botdel doctor and "
            "botdel jobs list --service billing --status pending",
        ),
        (
            Alert(AlertKind.JOBS_IMMOVABLE, "", "unreadable", "a"),
            "1 job that no sweep can move on (unreadable): "
            "botdel jobs list --status failed and botdel jobs list --status in_progress",
        ),
        (
            Alert(AlertKind.REQUESTS_NEAR, "billing", "little time is left", "e", 2),
            "2 open requests of billing near the deadline (little time is left): "
            "botdel requests list --owed-by billing --state open",
        ),
        (
            Alert(AlertKind.REQUESTS_OVERDUE, "billing", "still owed", "e"),
            "1 open request of billing past the deadline (still owed): "
            "botdel requests list --owed-by billing --state overdue",
        ),
        (
            Alert(AlertKind.REQUESTS_MISSING, "billing", "published again", "e", 2),
            "2 requests of billing without a job (published again): "
            "botdel doctor and botdel requests list --owed-by billing --state open",
        ),
    ],
)
async def test_the_text_says_what_happened_and_which_command_shows_it(
    alert: Alert, text: str, clock: VirtualClock, receiver: Receiver
) -> None:
    alerts = alerting(clock, receiver)
    alerts.tell(alert)
    await alerts.close(1)
    assert [body["text"] for body in receiver.bodies] == [text]


async def test_what_came_from_a_message_can_neither_format_nor_forge_nor_run(
    clock: VirtualClock, receiver: Receiver
) -> None:
    alerts = alerting(clock, receiver)
    alerts.tell(
        Alert(AlertKind.DEAD_LETTER, "<!channel>; rm &\n\u202e\ud800 x", "r" * 999, "i" * 999)
    )
    await alerts.close(1)
    [body] = receiver.bodies
    assert (body["service"], body["reason"]) == ("<!channel>; rm & x", "r" * 100)
    assert body["examples"] == ["i" * 100]
    assert body["text"].startswith("1 new dead letter of &lt;!channel&gt;; rm &amp; x (rrr")
    assert "--service '&lt;!channel&gt;; rm &amp; x' --reason rrr" in body["text"]


# --- sending


async def test_without_a_webhook_alerts_are_grouped_and_logged(
    clock: VirtualClock, logs: list[EventDict]
) -> None:
    alerts = webhook_alerts(None, clock, QUIET)
    for alert in [POISON, SPENT] * 3:
        alerts.tell(alert)
    await clock.sleep(100)
    assert [line["count"] for line in named(logs, "alert")] == [3, 3]
    await alerts.close(1)
    assert not named(logs, "alert not delivered")


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError(f"cannot reach {URL.get_secret_value()}"),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError(""),
        TimeoutError(),
        408,
        429,
        500,
        503,
    ],
    ids=lambda fault: str(fault) if isinstance(fault, int) else type(fault).__name__,
)
async def test_what_may_pass_is_tried_again_until_it_has(
    fault: int | Exception, clock: VirtualClock, logs: list[EventDict]
) -> None:
    receiver = Receiver(clock, *[fault] * (TRIES - 1))
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    await clock.sleep(200)
    assert len(receiver.bodies) == TRIES
    assert all(body == receiver.bodies[0] for body in receiver.bodies)
    assert not named(logs, "alert not delivered")
    assert len(named(logs, "alert")) == 1


@pytest.mark.proves("alerts-wait-for-nobody")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (httpx.ConnectError(f"cannot reach {URL.get_secret_value()}"), "ConnectError"),
        (503, "answered 503"),
    ],
)
async def test_what_does_not_pass_is_given_up_and_logged_as_lost(
    fault: int | Exception, why: str, clock: VirtualClock, logs: list[EventDict]
) -> None:
    receiver = Receiver(clock, *[fault] * TRIES)
    alerts = alerting(clock, receiver)
    for _ in range(7):
        alerts.tell(SPENT)
    await clock.sleep(200)
    [line] = named(logs, "alert not delivered")
    assert line.items() >= {"log_level": "error", "why": why, **receiver.bodies[0]}.items()
    assert len(receiver.bodies) == TRIES
    assert receiver.times[-1] - QUIET <= 31

    alerts.tell(POISON)
    await clock.sleep(100)
    assert receiver.bodies[-1]["kind"] == "dead_letter", "the next one is sent all the same"
    assert len(named(logs, "alert not delivered")) == 1


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 410, 413])
async def test_an_answer_that_will_stay_is_not_asked_for_twice(
    status: int, clock: VirtualClock, logs: list[EventDict]
) -> None:
    receiver = Receiver(clock, status)
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    await clock.sleep(200)
    assert len(receiver.bodies) == 1
    assert [line["why"] for line in named(logs, "alert not delivered")] == [f"answered {status}"]


async def test_a_fault_nobody_thought_of_is_logged_and_the_next_alert_is_sent(
    clock: VirtualClock, logs: list[EventDict]
) -> None:
    receiver = Receiver(clock, ValueError(URL.get_secret_value()))
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    alerts.tell(SPENT)
    await clock.sleep(200)
    assert [line["why"] for line in named(logs, "alert not delivered")] == ["ValueError"]
    assert [body["kind"] for body in receiver.bodies] == ["dead_letter", "job_exhausted"]


async def test_what_is_told_during_a_slow_post_is_the_next_alert(
    clock: VirtualClock, receiver: Receiver
) -> None:
    receiver.takes = 100
    alerts = alerting(clock, receiver, answer_seconds=200)
    alerts.tell(POISON)
    await clock.sleep(QUIET + 1)
    for _ in range(90):
        before = clock.now()
        alerts.tell(POISON)
        assert clock.now() == before
        await clock.sleep(1)
    await clock.sleep(300)
    assert receiver.times == [QUIET, QUIET + 100], "one at a time"
    assert [body["count"] for body in receiver.bodies] == [1, 90]


# --- the end


async def test_a_clean_end_sends_at_once_what_waits(
    clock: VirtualClock, receiver: Receiver, logs: list[EventDict]
) -> None:
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    await clock.sleep(1)
    alerts.tell(SPENT)
    await alerts.close(3)
    assert receiver.times == [1, 1]
    assert [body["kind"] for body in receiver.bodies] == ["dead_letter", "job_exhausted"]
    assert receiver.is_closed
    assert not named(logs, "alert not delivered")


async def test_a_post_under_way_at_the_end_is_waited_for_not_repeated(
    clock: VirtualClock, receiver: Receiver, logs: list[EventDict]
) -> None:
    receiver.takes = 2
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    await clock.sleep(QUIET + 1)
    await alerts.close(3)
    assert len(receiver.bodies) == 1
    assert not named(logs, "alert not delivered")


@pytest.mark.proves("alerts-wait-for-nobody")
@pytest.mark.parametrize("hanging", [True, False], ids=["hangs", "refuses"])
async def test_the_end_is_bounded_and_what_was_not_sent_is_in_the_log(
    hanging: bool, clock: VirtualClock, logs: list[EventDict]
) -> None:
    receiver = Receiver(clock, *[503] * 99)
    receiver.takes = 1000 if hanging else 0
    alerts = alerting(clock, receiver)
    alerts.tell(POISON)
    alerts.tell(SPENT)
    await alerts.close(0.5)
    assert clock.now() - START <= timedelta(seconds=0.5)
    lost = named(logs, "alert not delivered")
    assert [line["kind"] for line in lost] == ["dead_letter", "job_exhausted"]
    assert {line["why"] for line in lost} == {"the process ended"}


async def test_an_end_with_nothing_to_tell_takes_no_time(
    clock: VirtualClock, receiver: Receiver
) -> None:
    await alerting(clock, receiver).close(60)
    assert clock.now() == START
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing is set, and no `.env` is found."""
    for name in list(os.environ):
        if name.startswith("BOTDEL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_nothing_needs_to_be_set(environment: pytest.MonkeyPatch) -> None:
    settings = load(AlertSettings)
    assert (settings.alert_webhook_url, settings.alert_group_seconds) == (None, 5)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "https://u:p@hooks.invalid/a?b=c"])
def test_a_url_is_kept_and_not_printed(url: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BOTDEL_ALERT_WEBHOOK_URL", url)
    settings = load(AlertSettings)
    assert settings.alert_webhook_url == SecretStr(url)
    assert url not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOTDEL_ALERT_WEBHOOK_URL", f"ftp://{SECRET}.invalid/"),
        ("BOTDEL_ALERT_WEBHOOK_URL", f"hooks.invalid/{SECRET}"),
        ("BOTDEL_ALERT_WEBHOOK_URL", f"https:///{SECRET}"),
        ("BOTDEL_ALERT_WEBHOOK_URL", f"https://hooks.invalid/\n{SECRET}"),
        ("BOTDEL_ALERT_WEBHOOK_URL", f"https://hooks.invalid:{SECRET}/"),
        ("BOTDEL_ALERT_WEBHOOK_URL", f"https://hooks.invalid:65536/{SECRET}"),
        ("BOTDEL_ALERT_GROUP_SECONDS", "0"),
        ("BOTDEL_ALERT_GROUP_SECONDS", "601"),
        ("BOTDEL_ALERT_GROUP_SECONDS", "nan"),
        ("BOTDEL_ALERT_GROUP_SECONDS", SECRET),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(
    name: str, value: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"  {name}: ") as caught:
        load(AlertSettings)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__
