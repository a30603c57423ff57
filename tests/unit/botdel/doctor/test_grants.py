"""Whether Pub/Sub may hand dead letters on."""

from typing import cast

import pytest
from google.api_core.exceptions import Forbidden
from google.iam.v1 import policy_pb2  # type: ignore[import-untyped]
from google.pubsub_v1.services.publisher import PublisherAsyncClient

from botdel.doctor.grants import PUBLISHER, grant_finding, grant_findings
from deletion.doctor import Finding, Verdict
from tests.support.factories import SERVICE
from tests.unit.botdel.doctor.installation import AGENT, NAMES, PATH, by_check


def granted(**roles: list[str]) -> Finding:
    bindings = {f"roles/{role.replace('_', '.')}": members for role, members in roles.items()}
    return grant_finding("a-project", "topic", NAMES.dead_letter_topic, PUBLISHER, bindings)


@pytest.mark.parametrize("role", ["pubsub_publisher", "pubsub_editor", "pubsub_admin", "owner"])
def test_a_role_of_the_service_agent_that_may_publish_is_enough(role: str) -> None:
    found = granted(**{role: ["user:somebody@example.com", AGENT]})
    assert (found.status, AGENT in found.detail) == (Verdict.OK, True)


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
    assert found.status is Verdict.WARNING
    assert "the canary shows" in found.detail
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
    assert found["grant on topic bot-deletion.dead-letter"].status is Verdict.OK
    unread = found["grant on subscription bot-deletion.analytics"]
    assert (unread.status, "not known" in unread.detail) == (Verdict.WARNING, True)
    assert "subscriptions add-iam-policy-binding bot-deletion.analytics" in unread.remedy
    asked = found[f"grant on subscription bot-deletion.{SERVICE}"]
    assert asked.status is Verdict.WARNING, "to publish is not to subscribe"
    assert "roles/pubsub.subscriber" in asked.remedy
