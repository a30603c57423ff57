"""Checks that Pub/Sub itself may move messages to the dead-letter topic; on real Pub/Sub only.

Its service agent publishes there and acks at the source, and somebody has to grant it both rights:
https://cloud.google.com/pubsub/docs/handling-failures#grant_forwarding_permissions
"""

import re
from collections.abc import Collection, Iterable, Mapping

from google.pubsub_v1.services.publisher import PublisherAsyncClient

from botdel.doctor.findings import guarded, ok, together, warning
from deletion.adapters.pubsub.connection import BOUNDED_RETRY, CALL_SECONDS, translated
from deletion.adapters.pubsub.names import Names
from deletion.doctor import Finding
from deletion.errors import TopologyMissing

Bindings = Mapping[str, Collection[str]]
"""The members of each role."""

AGENT = re.compile(r"serviceAccount:service-\d+@gcp-sa-pubsub\.iam\.gserviceaccount\.com")
PUBLISHER, SUBSCRIBER = "roles/pubsub.publisher", "roles/pubsub.subscriber"
WIDER = ("roles/pubsub.editor", "roles/pubsub.admin", "roles/editor", "roles/owner")


async def grant_findings(
    publisher: PublisherAsyncClient, names: Names, services: Iterable[str]
) -> list[Finding]:
    """Return the findings for the dead-letter topic, and for each service's subscription."""
    needed = [("topic", names.dead_letter_topic, PUBLISHER)]
    needed += [("subscription", names.subscription(each), SUBSCRIBER) for each in services]
    return await together(
        *(
            guarded(_label(kind, path), _grant(publisher, names, kind, path, role))
            for kind, path, role in needed
        )
    )


async def _grant(
    publisher: PublisherAsyncClient, names: Names, kind: str, path: str, role: str
) -> list[Finding]:
    try:
        with translated(path):
            policy = await publisher.get_iam_policy(
                {"resource": path}, retry=BOUNDED_RETRY, timeout=CALL_SECONDS
            )
    except TopologyMissing as error:
        command = grant_command(names.project, kind, path, role)
        return [warning(_label(kind, path), f"not known: {error}", command)]
    bindings = {binding.role: list(binding.members) for binding in policy.bindings}
    return [grant_finding(names.project, kind, path, role, bindings)]


def grant_finding(project: str, kind: str, path: str, role: str, bindings: Bindings) -> Finding:
    """Return the finding from the IAM policy of the topic or subscription itself."""
    for each in (role, *WIDER):
        for agent in filter(AGENT.fullmatch, bindings.get(each, ())):
            return ok(_label(kind, path), f"{agent} has {each}")
    return warning(
        _label(kind, path),
        f"Pub/Sub's service agent has no {role} here; a grant on the whole project cannot be seen "
        "from here, but the canary shows whether it works",
        grant_command(project, kind, path, role),
    )


def grant_command(project: str, kind: str, path: str, role: str) -> str:
    """Return the command with which an administrator grants `role`."""
    number = f"$(gcloud projects describe {project} --format='value(projectNumber)')"
    agent = f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    name = path.rpartition("/")[2]
    return (
        f"`gcloud pubsub {kind}s add-iam-policy-binding {name} --project={project} "
        f'--role={role} --member="{agent}"`'
    )


def _label(kind: str, path: str) -> str:
    return f"grant on {kind} {path.rpartition('/')[2]}"
