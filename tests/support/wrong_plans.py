"""The sample plans with every field made wrong in each likely way.

`WRONG` has the values to try for each field, so a new field of a plan needs an entry.
`HARMLESS` and `UNSEEN` list what no command can notice, each with the reason.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from botdel.local.installation import PLANS
from botdel.local.samples import BUCKET

FOLDER: Final = next(iter(PLANS.values())).parent
CONVERSATIONS, ANALYTICS, BILLING = (
    f"botdel_sample_{service}" for service in ("conversations", "analytics", "billing")
)
EMPTY_BUCKET: Final = "botdel-sample-empty"
ID_FIELDS: Final = ("bot", "botId", "bot_id", "_id", "session", "session.botId", "text")
REMOVED: Final = object()

Place = tuple[int | str, ...]

WRONG: Final[Mapping[str, tuple[object, ...]]] = {
    "service": (*PLANS, "conversation", "analytic", "medium", "bill", "doctor", "A", 7),
    "name": ("", "a b", "another", 7),
    "database": ("botdel_sample", CONVERSATIONS, ANALYTICS, BILLING, "admin", "a/b", "", 7),
    "collection": (
        *("message", "messages", "sessions", "events", "invoices", "system.users", "$x", "", 7),
    ),
    "field": (*ID_FIELDS, "", "$x", 7),
    "field_type": ("objectid", "string", "ObjectId", "", 7),
    "batch_size": (0, -1, 100_001, "20", 2.5),
    "prefix": (
        *("bots/{bot_id}", "bots/", "bots/{bot}/", "bots/x{bot_id}/", "bots/{bot_id}/../", "", 7),
        *("{bot_id}/", "bot/{bot_id}/", "bots/{bot_id}/transcript/", "bots/{bot_id}/transcripts/"),
    ),
    "method": ("DELETE", "POST", "PUT", "PATCH", "GET", "post", "", 7),
    "gone": (404, 409, 401, 399, "410"),
    "point_of_no_return": (False, "true", 7),
}
"""Wrong values by field. The current value is left out, and `REMOVED` is tried too."""
BUCKETS: Final = (
    *("s3://botdel-sample", f"s3://{EMPTY_BUCKET}", f"s3://{BUCKET}/bots", f"gs://{BUCKET}"),
    *(f"file:///{BUCKET}", f"http://{BUCKET}", BUCKET, "", 7),
)
URLS: Final = (
    *("${BILLING_URL}/bot/{bot_id}", "${BILLING_URL}/bots/{bot_id}/nothing"),
    *("${BILLING_URL}/bots", "${BILLING_URL}/bots/{bot}", "${NO_SUCH_URL}/bots/{bot_id}"),
    *("http://127.0.0.1:1/bots/{bot_id}", "http://billing.example/bots/{bot_id}", "", 7),
)
"""In addition, each call gets the URL of every other call in its plan."""

HARMLESS: Final = {
    "*.name='another'": "a name is free",
    "*.batch_size=removed": "the default is right",
    "*.http.method=removed DELETE": "the default is what was removed",
    "*.verify.gone=removed": "the default has it too, and only makes a wrong URL harder to notice",
    "billing.yaml:steps.0.http.verify.url=channels": "they end with the account",
    "billing.yaml:steps.1.http.verify.url=subscription": "it ends with the account",
    "billing.yaml:steps.3.http.verify.url=subscription": "it ends with the account",
    "billing.yaml:steps.3.http.verify.url=channels": "they end with the account",
    "billing.yaml:steps.0.compensation.http.verify.url=withdrawal": (
        "the other compensation ends it and is read back too; the call itself is right"
    ),
    "billing.yaml:steps.1.compensation.http.verify.url=pause": "as above, with the two exchanged",
}
"""Patterns of `str(WrongPlan)` with the reason: jobs still end correctly, as a test shows."""
UNSEEN: Final = {
    "media.yaml:*.prefix='bots/{bot_id}/transcripts/'": (
        "a folder of the same bot, inside the right one: only somebody who knows the bot's other "
        "folders can see that the count of `plan preview` is too small"
    ),
}
"""Patterns of faults that cannot be noticed, with the reason."""


@dataclass(frozen=True)
class WrongPlan:
    """The plan `file`, with these values at their paths."""

    file: str
    changes: tuple[tuple[Place, object], ...]

    def __str__(self) -> str:
        told = (f"{'.'.join(map(str, path))}={self._told(path, to)}" for path, to in self.changes)
        return f"{self.file}:{' '.join(told)}"

    def written(self, folder: Path) -> Path:
        """Write the wrong file, in YAML that is JSON too, into a new folder; return its path."""
        plan = copy.deepcopy(_load(FOLDER / self.file))
        for path, value in self.changes:
            node = _at(plan, path[:-1])
            if value is REMOVED:
                del node[path[-1]]
            else:
                node[path[-1]] = value
        folder.mkdir(exist_ok=True)
        out = folder / self.file
        out.write_text(json.dumps(plan, indent=1))
        return out

    def is_one_of(self, patterns: Mapping[str, str]) -> bool:
        """Whether a pattern matches this wrong plan."""
        return any(fnmatchcase(str(self), _escaped(pattern)) for pattern in patterns)

    def _told(self, path: Place, value: object) -> str:
        if value is not REMOVED:
            account = "${BILLING_URL}/bots/{bot_id}"
            is_call = isinstance(value, str) and value in _calls(self.file)
            return (
                (str(value).removeprefix(account).lstrip("/") or "account")
                if is_call
                else repr(value)
            )
        was = _at(_load(FOLDER / self.file), path)
        return f"removed {was}" if path[-1] == "method" else "removed"


def wrong_plans() -> Iterator[WrongPlan]:
    """All wrong versions of all sample plans."""
    for file in sorted(path.name for path in PLANS.values()):
        plan = _load(FOLDER / file)
        for path, right in _nodes(plan):
            for wrong in (*_values(file, path, right), REMOVED):
                if wrong != right:
                    yield WrongPlan(file, ((path, wrong),))
        yield from _moved_points(file, plan)


def _values(file: str, path: Place, right: object) -> tuple[object, ...]:
    """The values to try at `path`: none if it holds other fields, which can only be removed."""
    if isinstance(right, Mapping | list):
        return ()
    field = next(str(part) for part in reversed(path) if isinstance(part, str))
    if field == "url":
        return (*URLS, *_calls(file)) if path[-2] != "objects" else BUCKETS
    if field == "name":
        return (*WRONG[field], *_names(_load(FOLDER / file)))
    return WRONG[field]


def _moved_points(file: str, plan: Any) -> Iterator[WrongPlan]:
    """The point of no return moved to each other step, and added to each other step."""
    marked = [n for n, step in enumerate(plan["steps"]) if "point_of_no_return" in step]
    for now in marked:
        for other in set(range(len(plan["steps"]))) - {now}:
            to: tuple[Place, object] = (("steps", other, "point_of_no_return"), True)
            yield WrongPlan(file, (to, (("steps", now, "point_of_no_return"), REMOVED)))
            yield WrongPlan(file, (to,))


def _nodes(node: object, *path: int | str) -> Iterator[tuple[Place, object]]:
    """The path of every field, and of every value in a list of plain values."""
    if path and not (isinstance(path[-1], int) and isinstance(node, Mapping)):
        yield path, node
    inside = node.items() if isinstance(node, Mapping) else ()
    for key, value in enumerate(node) if isinstance(node, list) else inside:
        yield from _nodes(value, *path, key)


@cache
def _calls(file: str) -> list[str]:
    """The URLs of a plan's calls."""
    nodes = _nodes(_load(FOLDER / file))
    return list(
        dict.fromkeys(
            str(url) for path, url in nodes if path[-1] == "url" and "objects" not in path
        )
    )


def _names(plan: Any) -> list[str]:
    return [step["name"] for step in plan["steps"]]


def _at(node: Any, path: Place) -> Any:
    for part in path:
        node = node[part]
    return node


@cache
def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def _escaped(pattern: str) -> str:
    return pattern.replace("[", "[[]")
