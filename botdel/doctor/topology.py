"""Topics and subscriptions: there, and set as this pipeline needs them. Nothing is created."""

import re
from collections.abc import Collection, Sequence
from datetime import timedelta

from google.pubsub_v1.types import Subscription

from botdel.doctor.findings import Finding, failed, ok, together, told
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import MAX_DELIVERY_ATTEMPTS, Difference, Topology

FLAGS = {
    "ack_deadline_seconds": "ack-deadline",
    "message_retention_duration": "message-retention-duration",
    "expiration_policy.ttl": "expiration-period",
    "retry_policy.minimum_backoff": "min-retry-delay",
    "retry_policy.maximum_backoff": "max-retry-delay",
}
"""Of `gcloud pubsub subscriptions update`, which cannot change topic and filter."""
POLICY = {"dead_letter_policy.dead_letter_topic", "dead_letter_policy.max_delivery_attempts"}


async def topology_findings(
    topology: Topology, services: Sequence[str], planned: Collection[str]
) -> list[Finding]:
    """Of both topics, of the subscription of dead letters, and of each of `services`."""
    names = topology.names
    topics = [names.topic, names.dead_letter_topic]
    return await together(
        *(told(_label("topic", path), _topic(topology, path)) for path in topics),
        *(
            told(_label("subscription", wanted.name), _subscription(topology, wanted, planned))
            for wanted in topology.wanted(services)
        ),
    )


async def _topic(topology: Topology, path: str) -> list[Finding]:
    await topology.require_topic(path)
    return [ok(_label("topic", path), "is there")]


async def _subscription(
    topology: Topology, wanted: Subscription, planned: Collection[str]
) -> list[Finding]:
    differences = await topology.compare(wanted)
    return [subscription_finding(topology.names, wanted.name, differences, planned)]


def subscription_finding(
    names: Names, path: str, differences: Sequence[Difference], planned: Collection[str]
) -> Finding:
    """Of a subscription that exists. `planned` are the services whose plans were given."""
    check = _label("subscription", path)
    if differences:
        return failed(check, "; ".join(map(str, differences)), remedy(names, path, differences))
    service = names.service_of(path)
    if service and service not in planned:
        return ok(check, "as it should be; without its --plan the steps were not looked at")
    return ok(check, "as it should be")


def remedy(names: Names, path: str, differences: Sequence[Difference]) -> str:
    """The command that changes the settings, or how to replace a subscription that has to be."""
    name, settings = path.rpartition("/")[2], {difference.setting for difference in differences}
    if settings - FLAGS.keys() - POLICY:
        return (
            "topic and filter cannot be changed: stop the gateway, let the consumer empty it, "
            f"`gcloud pubsub subscriptions delete {name} --project={names.project}`, "
            "then `botdel topology apply --plan FILE`"
        )
    flagged = [difference for difference in differences if difference.setting in FLAGS]
    flags = [f"--{FLAGS[each.setting]}={_value(each.expected)}" for each in flagged]
    if settings & POLICY:
        flags.append(_policy(names, path))
    update = f"gcloud pubsub subscriptions update {name} --project={names.project}"
    return f"`{update} {' '.join(flags)}`"


def _policy(names: Names, path: str) -> str:
    if path == names.dead_letter_subscription:
        return "--clear-dead-letter-policy"
    topic = f"--dead-letter-topic={names.dead_letter_topic}"
    return f"{topic} --max-delivery-attempts={MAX_DELIVERY_ATTEMPTS}"


def _value(expected: object) -> str:
    if expected is None:
        return "never"  # of the expiration alone: the others have a value
    if isinstance(expected, timedelta):
        return f"{expected.total_seconds():g}s"
    return str(expected)


def _label(kind: str, path: str) -> str:
    return f"{kind} {re.sub('.*/', '', path)}"
