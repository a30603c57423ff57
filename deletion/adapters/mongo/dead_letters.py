"""The store of dead letters on MongoDB.

A unique index allows one record for each message of a service. Each query uses an index, which
tests/architecture measures. Upserts and guarded updates decide between concurrent calls.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.errors import BulkWriteError

from deletion.adapters.mongo.connection import CALL_SECONDS, Client, Document, bounded
from deletion.adapters.mongo.fields import DAMAGED, field, time_or_none
from deletion.adapters.mongo.writes import duplicates
from deletion.dead_letter import DeadLetter, DeadLetterStatus, Reason
from deletion.errors import StoreUnavailable, with_type
from deletion.ids import is_object_id
from deletion.ledger import EventLetter
from deletion.ports import ReadLetter, Unreadable

COLLECTION = "dead_letters"
BY_MESSAGE, BY_STATUS, BY_SERVICE = "service_message_unique", "status_id", "service_id"
BY_REASON, BY_EVENT = "reason_id", "event"
INDEXES = [
    IndexModel(
        [("service", ASCENDING), ("messageId", ASCENDING), ("publishedAt", ASCENDING)],
        name=BY_MESSAGE,
        unique=True,
    ),
    IndexModel([("status", ASCENDING), ("_id", ASCENDING)], name=BY_STATUS),
    IndexModel([("service", ASCENDING), ("_id", ASCENDING)], name=BY_SERVICE),
    IndexModel([("reason", ASCENDING), ("_id", ASCENDING)], name=BY_REASON),
    IndexModel([("attributes.event_id", ASCENDING)], name=BY_EVENT, sparse=True),
]

_RECORD_TRIES = 3


class MongoDeadLetterStore:
    """`deletion.ports.DeadLetterStore` and `deletion.ledger.EventLetters` on one collection of
    `database`; it needs its unique index.
    """

    def __init__(
        self, client: Client, database: str, *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._letters = client[database][COLLECTION]
        self._call_seconds = call_seconds

    def new_id(self) -> str:
        """An ObjectId, as hex."""
        return str(ObjectId())

    async def record(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """One query for the origins of replays, an update for each; one bulk write for others."""
        origins = await self._of(letter.replay_of for letter in letters)
        replays: list[DeadLetter] = []
        others: list[DeadLetter] = []
        for letter in letters:
            origin = origins.get(letter.replay_of or "")
            joins = isinstance(origin, DeadLetter) and letter.is_replay_of(origin)
            (replays if joins else others).append(letter)
        returned = [replay.replay_of for replay in replays if await self._join(replay)]
        found = (await self._of(returned)).values()
        came_back = [letter for letter in found if isinstance(letter, DeadLetter)]
        return came_back + await self._upsert(others)

    async def get(self, letter_id: str) -> ReadLetter | None:
        """Read by `_id`."""
        return (await self._of([letter_id])).get(letter_id)

    async def find(
        self,
        *,
        service: str | None = None,
        reason: Reason | None = None,
        status: DeadLetterStatus | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[ReadLetter]:
        """Newest first, along the index of service, status or reason; else along `_id`."""
        filters = {
            "service": service,
            "reason": reason and reason.value,
            "status": status and status.value,
            "_id": before and {"$lt": ObjectId(before)},
        }
        query = {name: value for name, value in filters.items() if value is not None}
        with bounded(self._call_seconds):
            found = self._letters.find(query).sort("_id", DESCENDING).limit(limit)
            return [_read(document) for document in await found.to_list(limit)]

    async def count(self, status: DeadLetterStatus, limit: int) -> int:
        """Count along the index of the status."""
        with bounded(self._call_seconds):
            return await self._letters.count_documents({"status": status.value}, limit=limit)

    async def mark(self, letter: DeadLetter, status: DeadLetterStatus) -> bool:
        """One update by `_id`, guarded by the count as read."""
        query = {"_id": ObjectId(letter.id), "count": letter.count}
        with bounded(self._call_seconds):
            result = await self._letters.update_one(query, {"$set": {"status": status.value}})
        return bool(result.matched_count)

    async def of_events(self, events: Collection[tuple[str, str]]) -> list[EventLetter]:
        """One query along the index of the event alone: few letters have the same one, and with the
        service the embedded server would walk that of the service.
        """
        if not events:
            return []
        query = {"attributes.event_id": {"$in": sorted({event for _, event in events})}}
        names = ("service", "attributes.event_id", "status", "reason", "firstSeenAt")
        fields = dict.fromkeys(names, True)
        with bounded(self._call_seconds):
            found = await self._letters.find(query, fields).to_list(None)
        letters = [letter for document in found if (letter := _event_letter(document))]
        wanted = set(events)
        return [letter for letter in letters if (letter.service, letter.event_id) in wanted]

    async def _of(self, letter_ids: Iterable[str | None]) -> dict[str, ReadLetter]:
        """The letters that exist, by their ids. Anything that is not an id is ignored."""
        ids = {ObjectId(each) for each in letter_ids if each and is_object_id(each)}
        if not ids:
            return {}
        with bounded(self._call_seconds):
            found = await self._letters.find({"_id": {"$in": list(ids)}}).to_list(len(ids))
        return {letter.id: letter for letter in map(_read, found)}

    async def _join(self, replay: DeadLetter) -> bool:
        """Join `replay` to its origin. Returns whether it came back for the first time.

        The message ids in `returnedAs` show that.
        """
        origin = {"_id": ObjectId(replay.replay_of)}
        returned = {
            "$inc": {"count": 1, "returns": 1},
            "$max": _latest(replay),
            "$set": {
                "status": DeadLetterStatus.NEW.value,
                "reason": replay.reason.value,
                "detail": replay.detail,
            },
            "$push": {"returnedAs": replay.message_id},
        }
        seen_again = {"$inc": {"count": 1}, "$max": _latest(replay)}
        with bounded(self._call_seconds):
            first = await self._letters.update_one(
                {**origin, "returnedAs": {"$ne": replay.message_id}}, returned
            )
            if not first.matched_count:
                await self._letters.update_one(origin, seen_again)
        return bool(first.matched_count)

    async def _upsert(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        """Count those that are recorded already; insert the others, and return them."""
        pending = _folded(letters)
        inserted: list[DeadLetter] = []
        for _ in range(_RECORD_TRIES):
            if not pending:
                return inserted
            new, refused = await self._written(pending)
            inserted += new
            pending = refused
        raise StoreUnavailable(f"{len(pending)} dead letters lost every race to be recorded")

    async def _written(
        self, letters: Sequence[DeadLetter]
    ) -> tuple[list[DeadLetter], list[DeadLetter]]:
        """Returns those inserted, and those that lost a race, which the next try counts.

        When one of a group fails with an error that may pass, the others are written. The caller
        then repeats all of them, and the written ones are counted once more, like a redelivery.
        """
        try:
            with bounded(self._call_seconds):
                result = await self._letters.bulk_write(
                    [_upsert_of(letter) for letter in letters], ordered=False
                )
        except BulkWriteError as error:
            refused = duplicates(error)
            new = [letters[upserted["index"]] for upserted in error.details["upserted"]]
            return new, [letters[index] for index in refused]
        return [letters[index] for index in result.upserted_ids or {}], []


def _folded(letters: Iterable[DeadLetter]) -> list[DeadLetter]:
    """Merge the letters of the same message: a group may hold it more than once."""
    folded: dict[tuple[str, str, datetime], DeadLetter] = {}
    for letter in letters:
        key = letter.identity
        folded[key] = folded[key].seen_again(letter) if key in folded else letter
    return list(folded.values())


def _upsert_of(letter: DeadLetter) -> UpdateOne:
    return UpdateOne(
        {
            "service": letter.service,
            "messageId": letter.message_id,
            "publishedAt": letter.published_at,
        },
        {
            "$inc": {"count": letter.count},
            "$max": _latest(letter),
            "$setOnInsert": {
                "_id": ObjectId(letter.id),
                "data": letter.data,
                "attributes": {_stored(name): text for name, text in letter.attributes.items()},
                "reason": letter.reason.value,
                "detail": letter.detail,
                "firstSeenAt": letter.first_seen_at,
                "returns": letter.returns,
                "returnedAs": [],
                "status": letter.status.value,
            },
        },
        upsert=True,
    )


def _latest(letter: DeadLetter) -> Document:
    return {"deliveryAttempt": letter.delivery_attempt, "lastSeenAt": letter.last_seen_at}


def _stored(name: str) -> str:
    """An attribute's name as MongoDB can hold it: percent-encoded (RFC 3986), dots as well.

    Pub/Sub accepts any name; BSON refuses a NUL, servers differ on `$` and `.`, and the driver
    reads `$ref` back as something else.
    """
    return quote(name, safe="").replace(".", "%2E")


def _read(document: Mapping[str, Any]) -> ReadLetter:
    try:
        return _from_document(document)
    except DAMAGED as error:
        return Unreadable(str(document.get("_id")), with_type(error))


def _event_letter(document: Mapping[str, Any]) -> EventLetter | None:
    """The letter as the ledger sees it: new if this code does not know its status. None if it does
    not say whose it is.
    """
    try:
        service = field(document, "service", str)
        event_id = field(field(document, "attributes", dict), "event_id", str)
    except DAMAGED:
        return None
    known = {status.value: status for status in DeadLetterStatus}
    reasons = {reason.value: reason for reason in Reason}
    return EventLetter(
        str(document["_id"]),
        service,
        event_id,
        known.get(str(document.get("status")), DeadLetterStatus.NEW),
        reasons.get(str(document.get("reason"))),
        time_or_none(document.get("firstSeenAt")),
    )


def _from_document(document: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        id=str(document["_id"]),
        service=field(document, "service", str),
        message_id=field(document, "messageId", str),
        data=field(document, "data", bytes),
        attributes={unquote(name): text for name, text in document["attributes"].items()},
        published_at=field(document, "publishedAt", datetime),
        delivery_attempt=field(document, "deliveryAttempt", int),
        reason=Reason(document["reason"]),
        detail=field(document, "detail", str),
        first_seen_at=field(document, "firstSeenAt", datetime),
        last_seen_at=field(document, "lastSeenAt", datetime),
        count=field(document, "count", int),
        returns=field(document, "returns", int),
        status=DeadLetterStatus(document["status"]),
    )
