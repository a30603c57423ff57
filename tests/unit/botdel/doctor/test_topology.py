"""Topics and subscriptions: what differs, and the command that puts it right."""

import re
from datetime import timedelta

import pytest

from botdel.doctor.findings import ok
from botdel.doctor.topology import (
    FLAGS,
    POLICY,
    SOUGHT,
    subscription_finding,
    topic_finding,
)
from deletion.adapters.pubsub.wanted import DELETED_TOPIC, Difference
from deletion.doctor import Verdict
from tests.support.factories import SERVICE
from tests.unit.botdel.doctor.installation import NAMES, PATH


def difference(setting: str, found: object, expected: object, path: str = PATH) -> Difference:
    return Difference(path, setting, found, expected)


def test_a_subscription_as_it_should_be_is_fine_and_says_when_its_plan_is_not_known() -> None:
    planned = subscription_finding(NAMES, PATH, [], {SERVICE})
    assert planned == ok(f"subscription bot-deletion.{SERVICE}", "as it should be")
    unplanned = subscription_finding(NAMES, PATH, [], {"another"})
    assert (unplanned.status, "without its --plan" in unplanned.detail) == (Verdict.WARNING, True)
    assert unplanned.remedy == "give its --plan too"
    without_any = subscription_finding(NAMES, PATH, [], set())
    assert (without_any.status, without_any.detail) == (Verdict.OK, unplanned.detail)
    keeper = subscription_finding(NAMES, NAMES.dead_letter_subscription, [], set())
    assert keeper.detail == "as it should be"


@pytest.mark.proves("subscription-kept")
def test_only_a_subscription_without_jobs_comes_with_a_command_that_deletes_it() -> None:
    """The service of another team has jobs, and its requests must not be lost by a paste."""
    unused = subscription_finding(NAMES, PATH, [], {"another"}, unused=True)
    assert unused.status is Verdict.WARNING
    assert unused.remedy.startswith("give its --plan too; it has no job: if there is no service")
    assert f"subscriptions delete bot-deletion.{SERVICE} --project=" in unused.remedy


@pytest.mark.proves("subscription-kept")
@pytest.mark.parametrize("unused", [False, True])
def test_no_plan_is_asked_for_of_a_service_that_is_retired(unused: bool) -> None:
    """Its plan would be a fault. What it owes already may wait in its subscription."""
    found = subscription_finding(NAMES, PATH, [], {"another"}, unused=unused, retired=True)
    assert (found.status, "retired" in found.detail) == (Verdict.WARNING, True)
    assert "--plan" not in found.detail
    assert "deploy.md#removing-a-service" in found.remedy
    assert "gcloud" not in found.remedy


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
    assert found.status is Verdict.FAILED
    assert "ack_deadline_seconds is 10, expected 60; message_retention_duration is" in found.detail
    assert found.remedy == (
        "`gcloud pubsub subscriptions update bot-deletion.conversations --project=a-project "
        "--ack-deadline=60 --message-retention-duration=604800s --expiration-period=never "
        "--min-retry-delay=10s "
        "--dead-letter-topic=projects/a-project/topics/bot-deletion.dead-letter "
        "--max-delivery-attempts=5`"
    )


LOST = difference("topic", DELETED_TOPIC, NAMES.topic)


def test_a_subscription_that_lost_its_topic_is_emptied_and_then_made_again() -> None:
    found = subscription_finding(NAMES, PATH, [LOST], {SERVICE})
    assert (found.status, "does not reach it" in found.remedy) == (Verdict.FAILED, True)
    steps = ("running: they still get what it holds", "once it is empty", "delete it", "topology a")
    places = [found.remedy.index(step) for step in steps]
    assert places == sorted(places)
    assert "gcloud" not in found.remedy


SETTINGS = [*sorted(FLAGS), *sorted(POLICY), SOUGHT, "topic", "filter", "push_config.push_endpoint"]


@pytest.mark.proves("subscription-kept")
@pytest.mark.parametrize("planned", [{SERVICE}, {"another"}, set()], ids=str)
@pytest.mark.parametrize(
    "differences",
    [[LOST], *([difference(each, None, timedelta(days=1))] for each in SETTINGS)],
    ids=lambda differences: str(differences[0].setting),
)
def test_no_remedy_deletes_a_subscription_that_may_hold_requests(
    differences: list[Difference], planned: set[str]
) -> None:
    remedy = subscription_finding(NAMES, PATH, differences, planned).remedy
    before, *deletes = re.split(r"\bdelete\b", remedy)
    assert not deletes or "empty" in before


def test_a_subscription_that_was_not_sought_back_is_completed_by_another_apply() -> None:
    pending = difference("labels.botdel-seek", "pending", None)
    found = subscription_finding(NAMES, PATH, [pending], {SERVICE})
    assert (found.status, "run it again" in found.remedy) == (Verdict.FAILED, True)


def test_a_topic_that_forgets_too_early_is_changed_by_one_command() -> None:
    assert topic_finding(NAMES, NAMES.topic, []).status is Verdict.OK
    differences = [difference("message_retention_duration", None, timedelta(days=31), NAMES.topic)]
    found = topic_finding(NAMES, NAMES.topic, differences)
    assert (found.check, found.status) == ("topic bot-deletion", Verdict.FAILED)
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


@pytest.mark.parametrize("path", [NAMES.dead_letter_subscription, NAMES.ledger_subscription])
def test_dead_letters_and_requests_of_the_ledger_are_given_up_by_nobody(path: str) -> None:
    differences = [difference("dead_letter_policy.max_delivery_attempts", 5, 0, path)]
    found = subscription_finding(NAMES, path, differences, set())
    assert "--clear-dead-letter-policy" in found.remedy
    assert "--dead-letter-topic" not in found.remedy


@pytest.mark.parametrize(
    ("path", "service"),
    [
        (PATH, SERVICE),
        (NAMES.dead_letter_subscription, None),
        (NAMES.ledger_subscription, None),
        (NAMES.subscription("doctor.0123456789abcdef"), None),
        ("projects/another/subscriptions/bot-deletion.conversations", None),
        ("projects/a-project/subscriptions/conversations", None),
    ],
)
def test_a_subscription_is_a_services_by_its_name(path: str, service: str | None) -> None:
    assert NAMES.service_of(path) == service
