"""The store of jobs: deletion/adapters/mongo/."""

from typing import Final

from tests.mutations.mutants.base import DATABASE, Mutant

CENSUS: Final = "deletion/adapters/mongo/census.py"
DOCUMENT: Final = "deletion/adapters/mongo/job_document.py"
MONGO: Final = "deletion/adapters/mongo/jobs.py"
RECORDING: Final = "deletion/adapters/mongo/recording.py"
WRITES: Final = "deletion/adapters/mongo/writes.py"
FIELDS: Final = "deletion/adapters/mongo/fields.py"

MUTANTS: Final = (
    Mutant(
        "jobs that are due later count as due",
        CENSUS,
        '"due": {"$gte": EPOCH, "$lte": now}',
        '"due": {"$gte": EPOCH}',
        DATABASE,
    ),
    Mutant(
        "suspects are never due",
        CENSUS,
        "queues = [service, suspect_queue(service)]",
        "queues = [service]",
        DATABASE,
    ),
    Mutant(
        "all due jobs are counted, however many there are",
        CENSUS,
        "count_documents(query, limit=limit)",
        "count_documents(query)",
        DATABASE,
    ),
    Mutant(
        "an update of a job expects nothing",
        WRITES,
        '"botId": ObjectId(change.after.bot_id), **guard}',
        '"botId": ObjectId(change.after.bot_id)}',
        DATABASE,
    ),
    Mutant(
        "every change of a group is taken for written",
        WRITES,
        "if result.matched_count == len(changes):",
        "if True:",
        DATABASE,
    ),
    Mutant(
        "a repeated change is refused",
        WRITES,
        "        if as_joined == after:\n            return after\n",
        "",
        DATABASE,
    ),
    Mutant(
        "who joined since makes a repeated change refused",
        WRITES,
        "        as_joined = replace(stored, placed_at=after.placed_at, event_ids=after.event_ids)\n",
        "        as_joined = stored\n",
        DATABASE,
    ),
    Mutant(
        "a change that cannot be stored fails its group",
        WRITES,
        "            if len(changes) == 1:\n                return [error]",
        "            return [error] * len(changes)",
        DATABASE,
    ),
    Mutant(
        "a change the server refuses fails its group",
        WRITES,
        '                errors[problem["index"]] = _refusal(',
        "                raise _refusal(",
        DATABASE,
    ),
    Mutant(
        "a write that may be rolled back is taken for written",
        WRITES,
        '    if error.details.get("writeConcernErrors"):',
        "    if False:",
        DATABASE,
    ),
    Mutant(
        "the database lets a bot have two live jobs",
        MONGO,
        "        name=BY_LIVE_BOT,\n        unique=True,",
        "        name=BY_LIVE_BOT,\n        unique=False,",
        DATABASE,
    ),
    Mutant(
        "the database lets an event have two jobs",
        MONGO,
        "        name=BY_EVENTS,\n        unique=True,",
        "        name=BY_EVENTS,\n        unique=False,",
        DATABASE,
    ),
    Mutant(
        "a request joins a job that has ended",
        RECORDING,
        '            "live": True,\n            "placedAt": document.get("placedAt"),',
        '            "placedAt": document.get("placedAt"),',
        DATABASE,
    ),
    Mutant(
        "two requests that join at once lose one",
        RECORDING,
        '            "live": True,\n            "placedAt": document.get("placedAt"),',
        '            "live": True,',
        DATABASE,
    ),
    Mutant(
        "a request that joins moves nothing",
        RECORDING,
        '"$set": {"placedAt": placed_at},',
        '"$set": {"placedAt": document["placedAt"]},',
        DATABASE,
    ),
    Mutant(
        "a request that joins is not covered",
        RECORDING,
        '"$push": {"eventIds": {"$each": [request.event_id for request in requests]}},',
        '"$set": {"placedAt": placed_at},',
        DATABASE,
    ),
    Mutant(
        "one event joins one job twice",
        RECORDING,
        "if event not in covered]",
        "if True]",
        DATABASE,
    ),
    Mutant(
        "a job covers any number of requests",
        RECORDING,
        'room = max(0, MAX_EVENTS - len(document["eventIds"]))',
        "room = 10**9",
        DATABASE,
    ),
    Mutant(
        "a job that covers too many takes from the end",
        RECORDING,
        'room = max(0, MAX_EVENTS - len(document["eventIds"]))',
        'room = MAX_EVENTS - len(document["eventIds"])',
        DATABASE,
    ),
    Mutant(
        "a request is taken for that of another bot",
        RECORDING,
        "covering.get((job.bot_id, job.event_id))",
        "next((d for (_, e), d in covering.items() if e == job.event_id), None)",
        DATABASE,
    ),
    Mutant(
        "the earliest jobs do not come first",
        MONGO,
        'return await self._read(query, limit, "due")',
        'return await self._read(query, limit, "due", DESCENDING)',
        DATABASE,
    ),
    Mutant(
        "the longest silent do not come first",
        MONGO,
        'return await self._read(query, limit, "lastModifiedAt")',
        'return await self._read(query, limit, "lastModifiedAt", DESCENDING)',
        DATABASE,
    ),
    Mutant(
        "those to skip are read",
        MONGO,
        "        if skip:\n",
        "        if False:\n",
        DATABASE,
    ),
    Mutant(
        "one record that cannot be read stops its page",
        DOCUMENT,
        "    except UnreadableJob as error:\n        service,",
        "    except UnreadableJob as error:\n        raise\n        service,",
        DATABASE,
    ),
    Mutant(
        "queue and due are null while no worker may claim",
        DOCUMENT,
        'return {"$set": fields, "$unset": {"queue": "", "due": ""}}',
        'return {"$set": {**fields, "queue": None, "due": None}}',
        DATABASE,
    ),
    Mutant(
        "fields of later versions are lost",
        DOCUMENT,
        "{name: value for name, value in document.items() if name not in known}",
        "{}",
        DATABASE,
    ),
    Mutant(
        "what is no time is a time of a job that cannot be read",
        FIELDS,
        "return value if isinstance(value, datetime) else None",
        "return value",
        DATABASE,
    ),
    Mutant(
        "copies of a request for a full job are refused one by one",
        RECORDING,
        "for copy in offers[request.event_id]:",
        "for copy in [request]:",
        DATABASE,
    ),
    Mutant(
        "a compensated job that may not be live is an error of the database",
        WRITES,
        "if code == DUPLICATE_KEY:\n        return TransitionError",
        "if False:\n        return TransitionError",
        DATABASE,
    ),
    Mutant(
        "the compensations of a job are not stored",
        DOCUMENT,
        '"compensations": [_step_document(progress) for progress in job.compensations],',
        '"compensations": [],',
        DATABASE,
    ),
    Mutant(
        "that a job is rolled back is not stored",
        DOCUMENT,
        '"turnedBack": _failure_document(job.rollback_cause),',
        '"turnedBack": None,',
        DATABASE,
    ),
    Mutant(
        "the point of no return is not stored",
        DOCUMENT,
        '"pointOfNoReturn": job.point_of_no_return,',
        '"pointOfNoReturn": None,',
        DATABASE,
    ),
)
