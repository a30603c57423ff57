"""Names of resources: `projects/P/topics/T`, `projects/P/subscriptions/S`.

Rules: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
"""

import re
from typing import Final

from botdel.local.broker.refusals import invalid

DELETED_TOPIC: Final = "_deleted-topic_"
"""The topic of a subscription whose topic was deleted."""
_NAME: Final = re.compile(r"projects/(?P<project>[^/\s]+)/(?P<kind>[a-z]+)/(?P<id>[^/]+)")
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")
_PROJECT: Final = re.compile(r"projects/[^/\s]+")


def check_new(name: str, kind: str) -> None:
    """Raises `Refused` unless `name` may be given to a new resource of this `kind`."""
    project, found = parts(name, kind)
    if not _ID.fullmatch(found) or found.lower().startswith("goog"):
        raise invalid(
            f"Invalid [{kind}] name: (name={name}): expected an id of 3 to 255 letters, digits and "
            f"-_.~+% that begins with a letter, but not with 'goog' (project {project})"
        )


def parts(name: str, kind: str) -> tuple[str, str]:
    """Return project and id from `name`. Raises `Refused` if it is not a name of this `kind`."""
    found = _NAME.fullmatch(name)
    if found is None or found["kind"] != kind:
        raise invalid(f"Invalid [{kind}] name: (name={name}): expected projects/PROJECT/{kind}/ID")
    return found["project"], found["id"]


def check_project(name: str) -> None:
    """Raises `Refused` unless `name` is `projects/PROJECT`."""
    if not _PROJECT.fullmatch(name):
        raise invalid(f"Invalid [project] name: (name={name}): expected projects/PROJECT")
