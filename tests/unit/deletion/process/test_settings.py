"""A process refuses to start on a wrong or missing setting, and names it, never its value."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from console.settings import ConsoleSettings
from consumers.settings import ConsumerSettings
from deletion.errors import ConfigurationError, SettingsError
from deletion.process.http_connections import BOUNDS
from deletion.process.settings import load
from deletion.process.store_settings import (
    ActingSettings,
    JobsSettings,
    OperatorSettings,
    TopologySettings,
)
from gateway.settings import GatewaySettings
from recovery.settings import RecoverSettings, RecoverySettings

TOKEN = "0123456789abcdef"
NEEDED = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "BOTDEL_MONGODB_URI": "mongodb://127.0.0.1/",
    "BOTDEL_RECOVERY_TOKEN": TOKEN,
    "BOTDEL_GATEWAY_TOKENS": f"{TOKEN},{TOKEN[::-1]}",
    "BOTDEL_CONSOLE_USERS": f"vera:viewer:{TOKEN},otto:operator:{TOKEN[::-1]}",
}
EXPECTED = {
    "GOOGLE_CLOUD_PROJECT": "project of the topic",
    "BOTDEL_MONGODB_URI": "where the jobs are, and the data of steps without a `uri`; `mongodb://`",
    "BOTDEL_RECOVERY_TOKEN": "bearer token of the recovery endpoint, at least 16 characters",
    "BOTDEL_GATEWAY_TOKENS": "accepted bearer tokens as `name:token`, separated by commas",
    "BOTDEL_CONSOLE_USERS": "who may use the console as `name:role:token`, separated by commas",
}
"""How what is expected in place of each begins."""
NEEDS: dict[type[BaseSettings], list[str]] = {
    GatewaySettings: ["GOOGLE_CLOUD_PROJECT", "BOTDEL_GATEWAY_TOKENS"],
    ConsumerSettings: ["GOOGLE_CLOUD_PROJECT", "BOTDEL_MONGODB_URI"],
    RecoverySettings: ["GOOGLE_CLOUD_PROJECT", "BOTDEL_MONGODB_URI", "BOTDEL_RECOVERY_TOKEN"],
    ConsoleSettings: ["GOOGLE_CLOUD_PROJECT", "BOTDEL_MONGODB_URI", "BOTDEL_CONSOLE_USERS"],
    JobsSettings: ["BOTDEL_MONGODB_URI"],
    ActingSettings: ["BOTDEL_MONGODB_URI"],
    OperatorSettings: ["GOOGLE_CLOUD_PROJECT", "BOTDEL_MONGODB_URI"],
    TopologySettings: ["GOOGLE_CLOUD_PROJECT", "BOTDEL_MONGODB_URI"],
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what is needed is set, and no `.env` is found."""
    for name in list(os.environ):
        if name.startswith("BOTDEL_"):
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def refused(settings: type[BaseSettings]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(settings)
    assert caught.value.__cause__ is None, "the cause would print the value"
    assert caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize("settings", NEEDS)
def test_what_is_needed_is_enough(settings: type[BaseSettings]) -> None:
    load(settings)


@pytest.mark.parametrize(
    ("settings", "name"), [(settings, name) for settings, names in NEEDS.items() for name in names]
)
def test_a_missing_setting_is_named(
    settings: type[BaseSettings], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)
    said = refused(settings)
    assert f"\n  {name}: not set; expected: {EXPECTED[name]}" in said
    assert said.count("\n") == 1, "and no other"


def test_a_file_of_settings_that_is_not_text_is_named_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"BOTDEL_TOPIC=\xffsecret")
    said = refused(RecoverySettings)
    assert said.endswith("\n  .env: expected UTF-8 text, found byte 0xff at offset 13")


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name)
    said = refused(RecoverySettings)
    assert all(name in said for name in NEEDS[RecoverySettings])


def test_a_callback_without_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTDEL_CALLBACK_URL", "https://receiver.example/hook?key=hunter22")
    said = refused(RecoverySettings)
    assert "BOTDEL_CALLBACK_SECRET" in said
    assert "hunter22" not in said


def test_accounts_that_may_call_recovery_and_their_audience_need_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(RecoverySettings).recovery_oidc_emails is None
    monkeypatch.setenv("BOTDEL_RECOVERY_OIDC_EMAILS", "hunter22@p.iam.gserviceaccount.com")
    only_emails = refused(RecoverySettings)
    assert "\n  BOTDEL_RECOVERY_OIDC_AUDIENCE: " in only_emails
    monkeypatch.delenv("BOTDEL_RECOVERY_OIDC_EMAILS")
    monkeypatch.setenv("BOTDEL_RECOVERY_OIDC_AUDIENCE", "https://hunter22.example")
    only_audience = refused(RecoverySettings)
    assert "BOTDEL_RECOVERY_OIDC_EMAILS" in only_audience
    assert "hunter22" not in only_emails + only_audience
    monkeypatch.setenv("BOTDEL_RECOVERY_OIDC_EMAILS", " a@p.example , b@p.example")
    assert load(RecoverySettings).recovery_oidc_emails == ("a@p.example", "b@p.example")


WRONG: list[tuple[type[BaseSettings], str, str]] = [
    (ConsumerSettings, "GOOGLE_CLOUD_PROJECT", ""),
    (ConsumerSettings, "BOTDEL_MONGODB_URI", "http://user:hunter22@host"),
    *(
        (settings, "PUBSUB_EMULATOR_HOST", address)
        for settings in (GatewaySettings, ConsumerSettings, RecoverySettings, TopologySettings)
        for address in ("hunter22", "hunter22:", "http://hunter22:80", "hunter22:65536", "h:22:80")
    ),
    (ConsumerSettings, "BOTDEL_MONGODB_DATABASE", "hunter22/x"),
    (ConsumerSettings, "BOTDEL_TOPIC", "hunter22 x"),
    (ConsumerSettings, "BOTDEL_LOG_FORMAT", "hunter22"),
    (ConsumerSettings, "BOTDEL_STALE_AFTER_SECONDS", "0"),
    (ConsumerSettings, "BOTDEL_STALE_AFTER_SECONDS", "hunter22"),
    (ConsumerSettings, "BOTDEL_STALE_AFTER_SECONDS", "nan"),
    (ConsumerSettings, "BOTDEL_MAX_ATTEMPTS", "0"),
    (ConsumerSettings, "BOTDEL_CONSUMER_SLOTS", "0"),
    (ConsumerSettings, "BOTDEL_BATCH_SECONDS", "0"),
    (ConsumerSettings, "BOTDEL_REST_SECONDS", "-1"),
    (ConsumerSettings, "BOTDEL_RETRY_SECONDS", "hunter22"),
    (RecoverySettings, "BOTDEL_ALERT_WAITING_SECONDS", "0"),
    (RecoverySettings, "BOTDEL_DEADLINE_HOURS", "0"),
    (RecoverySettings, "BOTDEL_MISSING_AFTER_MINUTES", "-1"),
    (RecoverySettings, "BOTDEL_CALLBACK_URL", "ftp://hunter22"),
    (RecoverySettings, "BOTDEL_CALLBACK_SECRET", "hunter22"),
    (ConsumerSettings, "BOTDEL_CONSUMER_PORT", "65536"),
    (ConsumerSettings, "BOTDEL_SHUTDOWN_GRACE_SECONDS", "0"),
    (RecoverySettings, "BOTDEL_RECOVERY_TOKEN", "hunter22"),
    (RecoverySettings, "BOTDEL_RECOVERY_TOKEN", f"{TOKEN},hunter22"),
    (RecoverSettings, "BOTDEL_RECOVERY_TOKEN", " , "),
    (ConsoleSettings, "BOTDEL_RECOVERY_TOKEN", f"{TOKEN},hunter22"),
    (GatewaySettings, "BOTDEL_GATEWAY_KEEP_ALIVE_SECONDS", "0"),
    (RecoverySettings, "BOTDEL_RECOVERY_OIDC_EMAILS", "hunter22"),
    (RecoverySettings, "BOTDEL_RECOVERY_OIDC_EMAILS", "hunter22@p.example,"),
    (RecoverySettings, "BOTDEL_RECOVERY_OIDC_EMAILS", " , "),
    (RecoverySettings, "BOTDEL_RECOVERY_OIDC_EMAILS", "Hunter22@p.example"),
    (RecoverySettings, "BOTDEL_RECOVERY_OIDC_AUDIENCE", "hunter22" * 100),
    (RecoverySettings, "BOTDEL_SWEEP_PAGE_SIZE", "0"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", "hunter22"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", f"{TOKEN},hunter22"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", " , "),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", "portal:hunter22"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", f"hunter22 portal:{TOKEN}"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", f":hunter22{TOKEN}"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", f"{'n' * 101}:hunter22{TOKEN}"),
    (GatewaySettings, "BOTDEL_GATEWAY_TOKENS", f"a:hunter22{TOKEN},b:hunter22{TOKEN}"),
    (GatewaySettings, "BOTDEL_GATEWAY_PUBLISH_REQUESTS", "0"),
    *(
        (ConsoleSettings, "BOTDEL_CONSOLE_USERS", users)
        for users in (
            f"hunter22{TOKEN}",
            f"vera:hunter22{TOKEN}",
            "vera:viewer:hunter22",
            f"vera:admin:hunter22{TOKEN}",
            f":viewer:hunter22{TOKEN}",
            f"ve ra:viewer:hunter22{TOKEN}",
            " , ",
            f"vera:viewer:hunter22{TOKEN},otto:operator:hunter22{TOKEN}",
            f"vera:viewer:hunter22{TOKEN}1,Vera:operator:hunter22{TOKEN}2",
            ",".join(f"u{n}:viewer:hunter22{TOKEN}{n}" for n in range(201)),
        )
    ),
    *(
        (ConsoleSettings, "BOTDEL_CONSOLE_URL", url)
        for url in ("hunter22", "ftp://hunter22", "https://hunter22/path", "https://u:hunter22@h")
    ),
    (ConsoleSettings, "BOTDEL_CONSOLE_SECRET", "hunter22"),
    (GatewaySettings, "BOTDEL_GATEWAY_MAX_CONNECTIONS", "0"),
]


@pytest.mark.parametrize(("settings", "name", "value"), WRONG)
def test_a_wrong_setting_is_named_without_its_value(
    settings: type[BaseSettings], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    said = refused(settings)
    assert f"  {name}: " in said
    assert "hunter22" not in said
    assert "Value error" not in said, "how pydantic says it"


@pytest.mark.parametrize("address", ["127.0.0.1:8085", "pubsub-emulator:1", "[::1]:65535"])
def test_an_emulator_has_a_host_and_a_port(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
    assert load(ConsumerSettings).emulator == address


def test_a_token_of_sixteen_characters_is_long_enough_and_one_less_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(RecoverySettings)
    monkeypatch.setenv("BOTDEL_RECOVERY_TOKEN", TOKEN[:-1])
    assert "at least 16 characters" in refused(RecoverySettings)


@pytest.mark.parametrize("settings", [RecoverySettings, RecoverSettings, ConsoleSettings])
def test_two_tokens_of_recovery_are_one_and_the_next(
    settings: type[RecoverySettings | RecoverSettings | ConsoleSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOTDEL_RECOVERY_TOKEN", f"{TOKEN}0, {TOKEN}1")
    tokens = load(settings).recovery_token or ()
    assert [each.get_secret_value() for each in tokens] == [f"{TOKEN}0", f"{TOKEN}1"]


def test_a_load_balancer_may_keep_connections_longer_than_the_gateway_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(GatewaySettings).bounds.idle_seconds == BOUNDS.idle_seconds
    monkeypatch.setenv("BOTDEL_GATEWAY_KEEP_ALIVE_SECONDS", "620")
    monkeypatch.setenv("BOTDEL_GATEWAY_MAX_CONNECTIONS", "7")
    bounds = load(GatewaySettings).bounds
    assert bounds == replace(BOUNDS, idle_seconds=620, connections=7)


def test_tokens_have_names_and_a_client_may_have_two(monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"portal:{TOKEN}0, {TOKEN}1 ,portal:{TOKEN}2,{'n' * 100}:{TOKEN}:3"
    monkeypatch.setenv("BOTDEL_GATEWAY_TOKENS", value)
    tokens = load(GatewaySettings).gateway_tokens
    assert [(each.name, each.token.get_secret_value()) for each in tokens] == [
        ("portal", f"{TOKEN}0"),
        ("client", f"{TOKEN}1"),
        ("portal", f"{TOKEN}2"),
        ("n" * 100, f"{TOKEN}:3"),
    ]


def test_users_of_the_console_have_a_name_a_role_and_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = f"vera@example.org:viewer:{TOKEN}1, otto:operator:{TOKEN}:2,otto:operator:{TOKEN}3"
    monkeypatch.setenv("BOTDEL_CONSOLE_USERS", value)
    users = load(ConsoleSettings).console_users
    assert [(each.name, each.role, each.token.get_secret_value()) for each in users] == [
        ("vera@example.org", "viewer", f"{TOKEN}1"),
        ("otto", "operator", f"{TOKEN}:2"),
        ("otto", "operator", f"{TOKEN}3"),
    ]


def test_the_address_of_the_console_is_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("https://console.example.org", "http://127.0.0.1:8083"):
        for given in (url, f"{url}/"):
            monkeypatch.setenv("BOTDEL_CONSOLE_URL", given)
            assert load(ConsoleSettings).console_url == url


def test_secrets_are_not_printed() -> None:
    for settings in NEEDS:
        assert TOKEN not in repr(load(settings))
    assert "127.0.0.1/" not in repr(load(ConsumerSettings).mongodb_uri)


def test_the_lease_follows_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTDEL_STALE_AFTER_SECONDS", "90")
    monkeypatch.setenv("BOTDEL_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("BOTDEL_REST_SECONDS", "33")
    monkeypatch.setenv("BOTDEL_BATCH_SECONDS", "44")
    for lease in (load(ConsumerSettings).lease, load(RecoverySettings).lease):
        assert (lease.stale_after, lease.max_attempts) == (timedelta(seconds=90), 7)
        assert (lease.rest, lease.longest_batch) == (timedelta(seconds=33), timedelta(seconds=44))
        assert lease == load(JobsSettings).lease


def test_errors_are_retried_for_ten_minutes_unless_it_is_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(ConsumerSettings).retry_seconds == 600
    monkeypatch.setenv("BOTDEL_RETRY_SECONDS", "5")
    assert load(ConsumerSettings).retry_seconds == 5


def test_names_derive_from_project_and_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTDEL_TOPIC", "erasure")
    names = load(ConsumerSettings).names
    assert names.topic == "projects/a-project/topics/erasure"
    assert names.dead_letter_topic == "projects/a-project/topics/erasure.dead-letter"
    assert names.completed_topic == "projects/a-project/topics/erasure.completed"
    assert names.ledger_subscription == "projects/a-project/subscriptions/erasure.ledger"
    assert names.subscription("chat") == "projects/a-project/subscriptions/erasure.chat"


def test_an_option_of_the_command_line_comes_first_and_one_not_given_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOTDEL_CONSUMER_PORT", "9001")
    assert load(ConsumerSettings, consumer_port=9002).consumer_port == 9002
    assert load(ConsumerSettings, consumer_port=None).consumer_port == 9001


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (GatewaySettings, "gateway_port"),
        (ConsumerSettings, "consumer_port"),
        (RecoverySettings, "recovery_port"),
        (ConsoleSettings, "console_port"),
    ],
)
def test_a_wrong_option_is_named_as_the_option(
    settings: type[BaseSettings], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "")
    with pytest.raises(SettingsError) as caught:
        load(settings, **{name: 65_536})
    project, port = caught.value.problems
    assert project.startswith("GOOGLE_CLOUD_PROJECT: not set")
    assert port == "--port: Input should be less than or equal to 65535"


def test_a_file_of_settings_is_read_and_the_environment_comes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("BOTDEL_CONSUMER_SLOTS=3\nBOTDEL_CONSUMER_PORT=9003\n")
    monkeypatch.setenv("BOTDEL_CONSUMER_PORT", "9001")
    settings = load(ConsumerSettings)
    assert (settings.consumer_slots, settings.consumer_port) == (3, 9001)


@pytest.mark.proves("retention")
@pytest.mark.parametrize(
    ("setting", "fewest"), [("BOTDEL_KEEP_COMPLETE_DAYS", 31), ("BOTDEL_KEEP_SETTLED_DAYS", 32)]
)
def test_records_are_kept_for_as_long_as_a_message_may_come_back(
    setting: str, fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int | None:
        settings = load(TopologySettings)
        days = {31: settings.keep_complete_days, 32: settings.keep_settled_days}
        return days[fewest]

    assert kept() is None
    for days in (str(fewest - 1), "0", "-1", "24856", "a month"):
        monkeypatch.setenv(setting, days)
        assert setting in refused(TopologySettings)
    monkeypatch.setenv(setting, str(fewest))
    assert kept() == fewest


def test_who_acts_is_whom_the_setting_names_or_the_user_and_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    monkeypatch.setenv("BOTDEL_OPERATOR", "ada@example.com")
    assert load(ActingSettings).who == "ada@example.com"
    monkeypatch.delenv("BOTDEL_OPERATOR")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    assert load(ActingSettings).who == "bob@desk"


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no username")])
def test_a_user_without_a_name_acts_under_its_number(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As in a container: `getpass` raises the one up to Python 3.12, the other from 3.13 on."""

    def nameless() -> str:
        raise error

    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert load(ActingSettings).who == "uid 1000@desk"
