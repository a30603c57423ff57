"""What `deploy/terraform` creates is what the code wants. The module is read without Terraform."""

import re
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    RetryPolicy,
    Subscription,
    Topic,
)

from deletion.adapters.pubsub.wanted import (
    subscription_differences,
    topic_differences,
    wanted_topics,
)
from deletion.ids import PLANNED_SERVICE_PATTERN, RESERVED_SERVICES
from deletion.process.settings import PubSubSettings
from deletion.sweep import PATH
from recovery.settings import RecoverySettings
from tests.architecture.terraform_site import (
    GIVEN,
    NAMES,
    SERVICES,
    module,
    wanted_subscriptions,
)
from tests.support.paths import DOCS
from tests.support.terraform import MODULE, Instance, Module, texts

ACCOUNT: Final = "google_service_account"
PROCESSES_OF_GOOGLE: Final = ("gateway", "recovery", "console", "topology", "cron")
"""Those that have one account, however many services there are."""
SCHEDULER: Final = {"url": "https://recovery.example.org", "region": "europe-west1"}


# --- topics and subscriptions


def seconds(text: str | None) -> timedelta | None:
    return None if text is None else timedelta(seconds=float(text.removesuffix("s")))


def topic(found: Instance) -> Topic:
    return Topic(
        name=f"projects/{found['project']}/topics/{found['name']}",
        message_retention_duration=seconds(found["message_retention_duration"]),
    )


def subscription(found: Instance) -> Subscription:
    """As Pub/Sub would create it: without a block it has its defaults."""
    expires, retry = found.block("expiration_policy"), found.block("retry_policy")
    letters = found.block("dead_letter_policy")
    ttl = timedelta(days=31) if expires is None else seconds(expires["ttl"] or None)
    return Subscription(
        name=f"projects/{found['project']}/subscriptions/{found['name']}",
        topic=found["topic"],
        filter=found["filter"],
        ack_deadline_seconds=found["ack_deadline_seconds"],
        message_retention_duration=seconds(found["message_retention_duration"]),
        labels=found["labels"],
        expiration_policy=ExpirationPolicy(ttl=ttl),
        retry_policy=retry
        and RetryPolicy(
            minimum_backoff=seconds(retry["minimum_backoff"]),
            maximum_backoff=seconds(retry["maximum_backoff"]),
        ),
        dead_letter_policy=letters
        and DeadLetterPolicy(
            dead_letter_topic=letters["dead_letter_topic"],
            max_delivery_attempts=letters["max_delivery_attempts"],
        ),
    )


def differences(read: Module) -> list[str]:
    """How what the module creates differs from what the code wants."""
    topics = {each.name: each for each in map(topic, read.instances("google_pubsub_topic"))}
    made = [subscription(each) for each in read.instances("google_pubsub_subscription")]
    subscriptions = {each.name: each for each in made}
    wanted, subscribed = wanted_topics(NAMES), wanted_subscriptions()
    names = {each.name for each in wanted} | {each.name for each in subscribed}
    found = [f"{name}: only one of them" for name in names ^ (topics.keys() | subscriptions.keys())]
    for each in wanted:
        if each.name in topics:
            found += map(str, topic_differences(each, topics[each.name]))
    for expected in subscribed:
        if expected.name in subscriptions:
            found += map(str, subscription_differences(expected, subscriptions[expected.name]))
    return found


@pytest.mark.proves("terraform")
def test_topics_and_subscriptions_are_those_of_the_code() -> None:
    assert differences(module()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"${var.topic}.${each.key}"\n  topic', '"${var.topic}-${each.key}"\n  topic'),
        ('"${var.topic}.completed"', '"${var.topic}.settled"'),
        ('"${var.topic}.ledger"', '"${var.topic}.requests"'),
        ('"2678400s"', '"604800s"'),
        ("  message_retention_duration = local.retention\n  kms_key_name", "  kms_key_name"),
        ("ack_deadline_seconds       = 60", "ack_deadline_seconds       = 10"),
        ('filter                     = "NOT attributes:service"', 'filter = "attributes:service"'),
        ('NOT attributes:service OR attributes.service = \\"${each.key}\\"', "NOT attributes:x"),
        ('expiration_policy {\n    ttl = "" # never\n  }', ""),
        ('ttl = ""', 'ttl = "2678400s"'),
        ('minimum_backoff = "10s"', 'minimum_backoff = "1s"'),
        ('maximum_backoff = "600s"', 'maximum_backoff = "60s"'),
        ("max_delivery_attempts = 5", "max_delivery_attempts = 6"),
        (
            "= google_pubsub_topic.dead_letter.id\n    max",
            "= google_pubsub_topic.completed.id\n    max",
        ),
        ('botdel-seek = "pending"', 'botdel-seek = "done"'),
    ],
)
def test_a_difference_would_be_noticed(old: str, new: str) -> None:
    assert differences(module(old, new)) != []


def test_labels_are_written_once_and_topics_are_kept() -> None:
    """`topology apply` removes a label; a topic that is recreated has no subscriptions."""
    read = module()
    for each in read.instances("google_pubsub_subscription"):
        lifecycle = each.block("lifecycle")
        assert lifecycle
        assert lifecycle.body["ignore_changes"] == ["labels"]
        assert lifecycle.body.get("prevent_destroy", False) is (each.name != "service")
    for each in read.instances("google_pubsub_topic"):
        lifecycle = each.block("lifecycle")
        assert lifecycle
        assert lifecycle.body["prevent_destroy"] is True


# --- the scheduler, alerts


@pytest.mark.proves("terraform")
def test_the_scheduler_calls_recovery_as_an_account_without_rights() -> None:
    read = Module({**GIVEN, "scheduler": SCHEDULER})
    [job] = read.instances("google_cloud_scheduler_job")
    target = job.block("http_target")
    assert target
    token = target.block("oidc_token")
    assert token
    assert (target["http_method"], target["uri"]) == ("POST", f"{SCHEDULER['url']}{PATH}")
    assert (token["service_account_email"], token["audience"]) == ("cron", SCHEDULER["url"])
    assert not [*module().instances("google_cloud_scheduler_job")]
    settings = re.findall(r"BOTDEL_\w+", read.texts["outputs.tf"])
    known = {f"BOTDEL_{name.upper()}" for name in RecoverySettings.model_fields}
    assert set(settings) <= known
    assert len(settings) == 2


def test_each_subscription_has_an_alert() -> None:
    [policy] = [body for (type_, _), body in module().resources.items() if "alert_policy" in type_]
    assert "local.watched" in policy["for_each"]
    assert module().locals["watched"].startswith("${toset(concat(tolist(var.services), [")
    names = {each.name.split("/")[-1] for each in wanted_subscriptions()}
    assert names == {f"{NAMES.topic_id}.{each}" for each in (*SERVICES, "ledger", "dead-letter")}
    condition = policy["conditions"][0]["condition_threshold"][0]
    assert 'subscription_id = \\"${var.topic}.${each.key}\\"' in condition["filter"]


# --- variables, and the form of the files


def test_variables_are_refused_by_the_rules_of_the_code() -> None:
    text = texts(MODULE)["variables.tf"]
    [pattern] = (
        each.pattern
        for each in PubSubSettings.model_fields["topic"].metadata
        if hasattr(each, "pattern")
    )
    assert f'regex("{pattern}", var.topic)' in text
    assert f'regex("{PLANNED_SERVICE_PATTERN}", service)' in text
    [reserved] = re.findall(r"setintersection\(var\.services, \[(.*?)\]\)", text)
    assert set(re.findall(r'"([\w-]+)"', reserved)) == RESERVED_SERVICES
    default = PubSubSettings.model_fields["topic"].default
    assert module().variables["topic"] == default == NAMES.topic_id


SHORTENED: Final = re.compile(
    r'length\(service\) <= (\d+) \? service : "(\$\{substr\(.*\)\}-\$\{substr\(.*\)\})"'
)
PART: Final = re.compile(r"\$\{substr\((service|sha256\(service\)), (\d+), (\d+)\)\}")


def short_name(service: str) -> str:
    """What `local.short_names` has for it."""
    found = SHORTENED.search(str(module().locals["short_names"]))
    assert found
    if len(service) <= int(found[1]):
        return service
    values = {"service": service, "sha256(service)": sha256(service.encode()).hexdigest()}
    return PART.sub(
        lambda part: values[part[1]][int(part[2]) : int(part[2]) + int(part[3])], found[2]
    )


def ids_of_accounts(services: Sequence[str]) -> list[str]:
    """Of all accounts of an installation with these services."""
    found: list[str] = []
    for body in (each for (type_, _), each in module().resources.items() if type_ == ACCOUNT):
        written = body["account_id"].strip('"')
        if "for_each" not in body:
            found.append(written)
        for service in services if "for_each" in body else ():
            found.append(written.replace("${local.short_names[each.key]}", short_name(service)))
    return found


def test_ids_of_accounts_fit_and_differ() -> None:
    """Google allows 6 to 30 characters: a letter, then letters, digits and hyphens inside."""
    long = [f"a{'b-c' * 20}"[: n - 1] + "d" for n in range(3, 64)]
    services = [*dict.fromkeys([*long, "conversations", "conversations-of-people", "gateway"])]
    ids = ids_of_accounts([*services, "conversations-of-bots"])
    assert len(ids) == 2 * (len(services) + 1) + len(PROCESSES_OF_GOOGLE)
    assert len(set(ids)) == len(ids)
    assert [each for each in ids if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", each)] == []


def test_the_runbook_says_from_which_length_on_a_name_is_shortened() -> None:
    longest = max(n for n in range(3, 64) if short_name("s" * n) == "s" * n)
    runbook = " ".join((DOCS / "runbooks" / "deploy.md").read_text(encoding="utf-8").split())
    assert f"whose name is longer than {longest}" in runbook


FILES: Final = sorted(MODULE.rglob("*.tf"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(MODULE).as_posix())
def test_files_are_formatted_as_by_terraform(path: Path) -> None:
    """Most of what `terraform fmt` would do: two spaces for each line that opens something, and
    the equals signs of neighbouring lines below each other.
    """
    opened: list[int] = []
    aligned: tuple[int, int] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.name}:{number}"
        code = re.sub(r'"(?:\\.|[^"\\])*"', '""', line).partition("#")[0].strip()
        opens = sum(map(code.count, "{[(")) - sum(map(code.count, "}])"))
        if opens < 0 and code[0] in "}])":
            assert opened.pop() == -opens, where
        indent = len(line) - len(line.lstrip(" "))
        if code and not code.startswith("length("):  # the second line of an expression
            assert indent == 2 * len(opened), where
        if opens > 0:
            opened.append(opens)
        assert line == line.rstrip().replace("\t", ""), where
        sign = line.find(" = ") if re.match(r" *[\w-]+ += ", line) and opens == 0 else -1
        place = (indent, line.index("=", sign)) if sign >= 0 else None
        assert place is None or aligned is None or place == aligned, where
        aligned = place
    assert opened == []


def test_the_example_names_only_what_there_is() -> None:
    text = (MODULE / "example" / "main.tf").read_text(encoding="utf-8")
    body = text.partition('module "bot_deletion" {')[2].partition("\n}\n")[0]
    used = set(re.findall(r"^  (\w+) +=", body, re.M)) - {"source"}
    assert {"project_id", "services"} <= used <= module().variables.keys()
