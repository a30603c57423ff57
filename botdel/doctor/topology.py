"""Checks that topics and subscriptions exist, with the right settings. Creates nothing."""

import re
from collections.abc import Collection, Sequence
from datetime import timedelta

from google.pubsub_v1.types import Subscription, Topic
from pymongo.errors import PyMongoError

from botdel.doctor.findings import failed, guarded, ok, together, warning
from botdel.doctor.services import retired_services
from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import Topology
from deletion.adapters.pubsub.wanted import (
    DELETED_TOPIC,
    MAX_DELIVERY_ATTEMPTS,
    SEEK_LABEL,
    Difference,
    wanted_topics,
)
from deletion.doctor import Finding
from deletion.errors import StoreUnavailable
from deletion.ledger import ServiceStore
from deletion.ports import JobStore

FLAGS = {
    "ack_deadline_seconds": "ack-deadline",
    "message_retention_duration": "message-retention-duration",
    "expiration_policy.ttl": "expiration-period",
    "retry_policy.minimum_backoff": "min-retry-delay",
    "retry_policy.maximum_backoff": "max-retry-delay",
}
"""Flags of `gcloud pubsub subscriptions update`, which cannot change topic and filter. The flag for
retention also works with `gcloud pubsub topics update`."""
SOUGHT = f"labels.{SEEK_LABEL}"
LOST_TOPIC = (
    "its topic was deleted, and a new topic of that name does not reach it. Leave the processes "
    "that pull from it running: they still get what it holds. Only once it is empty, delete it and "
    "run `botdel topology apply` again: see docs/runbooks/deploy.md#a-topic-that-was-deleted"
)
"""Says no command that deletes it: what it still holds can be had from nowhere else."""
RETIRED = (
    "once it has done what it owes, stop its consumer and delete the subscription: see "
    "docs/runbooks/deploy.md#removing-a-service"
)
POLICY = {"dead_letter_policy.dead_letter_topic", "dead_letter_policy.max_delivery_attempts"}


async def topology_findings(
    topology: Topology,
    services: Sequence[str],
    planned: Collection[str],
    jobs: JobStore | None,
    registered: ServiceStore | None,
) -> list[Finding]:
    """Return the findings for the topics, and the subscriptions of dead letters and `services`.

    Of a service without a plan, `jobs` is asked whether it has a job, and `registered` whether it
    is retired.
    """
    is_asked = planned and set(services) - set(planned)
    retired = await retired_services(registered) if is_asked else set[str]()
    return await together(
        *(
            guarded(_label("topic", wanted.name), _topic(topology, wanted))
            for wanted in wanted_topics(topology.names)
        ),
        *(
            guarded(
                _label("subscription", wanted.name),
                _subscription(topology, wanted, planned, jobs, retired),
            )
            for wanted in topology.wanted(services)
        ),
    )


async def _topic(topology: Topology, wanted: Topic) -> list[Finding]:
    differences = await topology.compare_topic(wanted)
    return [topic_finding(topology.names, wanted.name, differences)]


async def _subscription(
    topology: Topology,
    wanted: Subscription,
    planned: Collection[str],
    jobs: JobStore | None,
    retired: Collection[str],
) -> list[Finding]:
    differences = await topology.compare(wanted)
    service = topology.names.service_of(wanted.name)
    unused = False
    if service and service not in planned:
        unused = await _has_no_job(jobs, service)
    return [
        subscription_finding(
            topology.names,
            wanted.name,
            differences,
            planned,
            unused=unused,
            retired=service in retired,
        )
    ]


async def _has_no_job(jobs: JobStore | None, service: str) -> bool:
    """Whether the service is known to have no job."""
    try:
        return jobs is not None and not await jobs.find(service=service, limit=1)
    except (StoreUnavailable, PyMongoError):
        return False  # another finding says that the database does not answer


def topic_finding(names: Names, path: str, differences: Sequence[Difference]) -> Finding:
    """Return the finding for a topic that exists."""
    check = _label("topic", path)
    if not differences:
        return ok(check, "as it should be")
    update = f"gcloud pubsub topics update {path.rpartition('/')[2]} --project={names.project}"
    return failed(check, "; ".join(map(str, differences)), f"`{update} {_flags(differences)}`")


def subscription_finding(
    names: Names,
    path: str,
    differences: Sequence[Difference],
    planned: Collection[str],
    *,
    unused: bool = False,
    retired: bool = False,
) -> Finding:
    """Return the finding for a subscription that exists. `planned` are the services with plans.

    It says how to delete the subscription only if it is `unused`, because its service has no job: a
    copied command must not delete another team's requests. Nor does it if the service is `retired`:
    what it owed before may still wait there.
    """
    check = _label("subscription", path)
    if differences:
        return failed(check, "; ".join(map(str, differences)), remedy(names, path, differences))
    service = names.service_of(path)
    if service and service not in planned:
        unseen = "as it should be; without its --plan, the steps were not checked"
        if not planned:
            return ok(check, unseen)
        if retired:
            return warning(check, "as it should be, but its service is retired", RETIRED)
        advice = "give its --plan too"
        if unused:
            name = path.rpartition("/")[2]
            delete = f"gcloud pubsub subscriptions delete {name} --project={names.project}"
            advice += f"; it has no job: if there is no service of that name, `{delete}`"
        return warning(check, unseen, advice)
    return ok(check, "as it should be")


def remedy(names: Names, path: str, differences: Sequence[Difference]) -> str:
    """Return the command that corrects the settings, or how to replace the subscription."""
    name, settings = path.rpartition("/")[2], {difference.setting for difference in differences}
    if SOUGHT in settings:
        return "`botdel topology apply` ended before seeking it back: run it again"
    if any(difference.found == DELETED_TOPIC for difference in differences):
        return LOST_TOPIC
    if settings - FLAGS.keys() - POLICY:
        return (
            "topic and filter cannot be changed: stop the gateway, let the consumer empty it, "
            f"`gcloud pubsub subscriptions delete {name} --project={names.project}`, "
            "then `botdel topology apply --plan FILE`"
        )
    flags = [_flags(differences)] if settings & FLAGS.keys() else []
    if settings & POLICY:
        flags.append(_policy(names, path))
    update = f"gcloud pubsub subscriptions update {name} --project={names.project}"
    return f"`{update} {' '.join(flags)}`"


def _flags(differences: Sequence[Difference]) -> str:
    return " ".join(
        f"--{FLAGS[each.setting]}={_value(each.expected)}"
        for each in differences
        if each.setting in FLAGS
    )


def _policy(names: Names, path: str) -> str:
    if names.service_of(path) is None:
        return "--clear-dead-letter-policy"
    topic = f"--dead-letter-topic={names.dead_letter_topic}"
    return f"{topic} --max-delivery-attempts={MAX_DELIVERY_ATTEMPTS}"


def _value(expected: object) -> str:
    if expected is None:
        return "never"  # only the expiration may have no value
    if isinstance(expected, timedelta):
        return f"{int(expected.total_seconds())}s"
    return str(expected)


def _label(kind: str, path: str) -> str:
    return f"{kind} {re.sub('.*/', '', path)}"
