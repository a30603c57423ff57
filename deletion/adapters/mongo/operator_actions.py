"""The stores of operators' actions and of their previews on MongoDB.

An action is one document. A write adds to its arrays, guarded by the revision; nothing that is in
them is written again. Lists leave the arrays out, so that a page of them is small.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.fields import DAMAGED, field, optional
from deletion.errors import LeaseLost, with_type
from deletion.operating.record import (
    KEPT_FOR,
    ActionKind,
    ActionStatus,
    Entries,
    OperatorAction,
    Order,
    Outcome,
    Preview,
    Run,
    Target,
    WholeAction,
)
from deletion.ports import Unreadable
from deletion.silence import EPOCH

COLLECTION: Final = "operator_actions"
PREVIEWS: Final = "operator_previews"
BY_KIND, BY_WHOM, BY_AGE = "kind_id", "by_id", "at"
INDEXES: Final = [
    IndexModel([("kind", ASCENDING), ("_id", ASCENDING)], name=BY_KIND),
    IndexModel([("by", ASCENDING), ("_id", ASCENDING)], name=BY_WHOM),
]
PREVIEW_INDEXES: Final = [IndexModel([("at", ASCENDING)], name=BY_AGE)]
_ENTRIES: Final = ("targets", "outcomes")


class MongoActionStore:
    """`deletion.operating.ports.ActionStore` on one collection of `database`."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._actions = client[database][COLLECTION]
        self._call_seconds = call_seconds

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def insert(self, action: OperatorAction, targets: Sequence[Target] = ()) -> bool:
        """One insert; if `_id` is taken, the claim of the first run says whose action it is."""
        document = {
            "_id": ObjectId(action.id),
            **_order_fields(action.order),
            "startedAt": action.started_at,
            "frozen": action.is_frozen,
            "continues": action.continues,
            **_mutable_fields(action),
            "targets": [_target_fields(target) for target in targets],
            "outcomes": [],
        }
        try:
            with bounded(self._call_seconds):
                await self._actions.insert_one(document)
        except DuplicateKeyError:
            stored = await self._find({"_id": ObjectId(action.id)})
            return bool(stored) and stored[0]["runs"][0]["claim"] == action.runs[0].claim
        return True

    async def save(
        self, before: OperatorAction, after: OperatorAction, added: Entries | None = None
    ) -> None:
        """One update by `_id`, guarded by the revision. A repeat is recognised by what it wrote
        beside the later revision: the run's claim, which no other run writes, the status and the
        time.
        """
        update: Document = {"$set": _mutable_fields(after)}
        if added and (added.targets or added.outcomes):
            targets = [_target_fields(target) for target in added.targets]
            outcomes = [_outcome_fields(outcome) for outcome in added.outcomes]
            update["$push"] = {"targets": {"$each": targets}, "outcomes": {"$each": outcomes}}
        own = {"_id": ObjectId(after.id)}
        with bounded(self._call_seconds):
            done = await self._actions.update_one({**own, "revision": before.revision}, update)
        if done.matched_count:
            return
        stored = await self._find({**own, "revision": after.revision})
        if not stored or not _has_written(stored[0], after):
            raise LeaseLost(f"another run has written action {after.id}")

    async def get(self, action_id: str) -> WholeAction | Unreadable | None:
        """Read by `_id`, with the entries."""
        found = await self._find({"_id": ObjectId(action_id)}, with_entries=True)
        return _whole(found[0]) if found else None

    async def find(
        self,
        *,
        by: str | None = None,
        kind: ActionKind | None = None,
        before: str | None = None,
        limit: int,
    ) -> Sequence[OperatorAction | Unreadable]:
        """Newest first, along the index of the operator or of the kind; else along `_id`."""
        filters = {
            "by": by,
            "kind": kind and kind.value,
            "_id": before and {"$lt": ObjectId(before)},
        }
        query = {name: value for name, value in filters.items() if value is not None}
        return [_listed(document) for document in await self._find(query, limit=limit)]

    async def _find(
        self, query: Document, *, with_entries: bool = False, limit: int = 1
    ) -> list[Document]:
        left_out = {} if with_entries else dict.fromkeys(_ENTRIES, False)
        with bounded(self._call_seconds):
            found = self._actions.find(query, left_out).sort("_id", DESCENDING).limit(limit)
            return await found.to_list(limit)


class MongoPreviewStore:
    """`deletion.operating.ports.PreviewStore` on one collection of `database`."""

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._previews = client[database][PREVIEWS]
        self._call_seconds = call_seconds

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def keep(self, preview: Preview) -> None:
        """One insert, then one delete along the index of their times."""
        document = {
            "_id": ObjectId(preview.id),
            **_order_fields(preview.order),
            "at": preview.at,
            "targets": [_target_fields(target) for target in preview.targets],
            "whyNot": [{"reason": why, "count": count} for why, count in preview.why_not.items()],
            "cutOff": preview.is_cut_off,
        }
        too_old = {"at": {"$gte": EPOCH, "$lt": preview.at - KEPT_FOR}}
        with bounded(self._call_seconds):
            with suppress(DuplicateKeyError):  # a repeat, whose answer was lost
                await self._previews.insert_one(document)
            await self._previews.delete_many(too_old)

    async def get(self, preview_id: str) -> Preview | None:
        """Read by `_id`."""
        with bounded(self._call_seconds):
            found = await self._previews.find({"_id": ObjectId(preview_id)}).limit(1).to_list(1)
        try:
            return _preview(found[0]) if found else None
        except DAMAGED:
            return None


def _has_written(document: Mapping[str, Any], action: OperatorAction) -> bool:
    """Whether the document of the action's revision was written by the action's write."""
    found = (
        document["runs"][-1]["claim"],
        document["status"],
        document["lastModifiedAt"],
    )
    return found == (action.runs[-1].claim, action.status.value, action.last_modified_at)


def _order_fields(order: Order) -> Document:
    return {
        "kind": order.kind.value,
        "by": order.by,
        "reason": order.reason,
        "choice": dict(order.choice),
        "options": dict(order.options),
    }


def _mutable_fields(action: OperatorAction) -> Document:
    return {
        "status": action.status.value,
        "lastModifiedAt": action.last_modified_at,
        "finishedAt": action.finished_at,
        "failure": action.failure,
        "runs": [{"by": run.by, "at": run.at, "claim": run.claim} for run in action.runs],
        "total": action.total,
        "begun": action.begun,
        "done": action.done,
        "refused": action.refused,
        "revision": action.revision,
    }


def _target_fields(target: Target) -> Document:
    return {"id": target.id, "looks": dict(target.looks)}


def _outcome_fields(outcome: Outcome) -> Document:
    refusal = {} if outcome.refusal is None else {"refusal": outcome.refusal}
    return {"id": outcome.id, **refusal}


def _listed(document: Mapping[str, Any]) -> OperatorAction | Unreadable:
    try:
        return _action(document)
    except DAMAGED as error:
        return Unreadable(str(document.get("_id")), with_type(error))


def _whole(document: Mapping[str, Any]) -> WholeAction | Unreadable:
    try:
        outcomes = tuple(
            Outcome(field(each, "id", str), optional(each, "refusal", str))
            for each in document["outcomes"]
        )
        return WholeAction(_action(document), _targets(document), outcomes)
    except DAMAGED as error:
        return Unreadable(str(document.get("_id")), with_type(error))


def _action(document: Mapping[str, Any]) -> OperatorAction:
    return OperatorAction(
        id=str(document["_id"]),
        order=_order(document),
        started_at=field(document, "startedAt", datetime),
        last_modified_at=field(document, "lastModifiedAt", datetime),
        runs=tuple(
            Run(field(run, "by", str), field(run, "at", datetime), field(run, "claim", str))
            for run in document["runs"]
        ),
        status=ActionStatus(document["status"]),
        is_frozen=field(document, "frozen", bool),
        continues=optional(document, "continues", str),
        total=field(document, "total", int),
        begun=field(document, "begun", int),
        done=field(document, "done", int),
        refused=field(document, "refused", int),
        finished_at=optional(document, "finishedAt", datetime),
        failure=optional(document, "failure", str),
        revision=field(document, "revision", int),
    )


def _preview(document: Mapping[str, Any]) -> Preview:
    return Preview(
        id=str(document["_id"]),
        order=_order(document),
        at=field(document, "at", datetime),
        targets=_targets(document),
        why_not={
            field(each, "reason", str): field(each, "count", int) for each in document["whyNot"]
        },
        is_cut_off=field(document, "cutOff", bool),
    )


def _order(document: Mapping[str, Any]) -> Order:
    return Order(
        kind=ActionKind(document["kind"]),
        by=field(document, "by", str),
        reason=field(document, "reason", str),
        choice=field(document, "choice", dict),
        options=field(document, "options", dict),
    )


def _targets(document: Mapping[str, Any]) -> tuple[Target, ...]:
    return tuple(
        Target(field(each, "id", str), field(each, "looks", dict)) for each in document["targets"]
    )
