"""The ledger's stores, its mark on complete jobs, and the event of a settled request."""

from typing import Final

from tests.mutations.mutants.base import DATABASE, UNIT, Mutant

REQUESTS: Final = "deletion/adapters/mongo/requests.py"
DOCUMENT: Final = "deletion/adapters/mongo/request_document.py"
COVERAGE: Final = "deletion/adapters/mongo/coverage.py"
SERVICES: Final = "deletion/adapters/mongo/services.py"

MUTANTS: Final = (
    Mutant(
        "a request is written over what others have written",
        REQUESTS,
        """{"_id": change.before.id, "revision": change.before.revision},""",
        """{"_id": change.before.id},""",
        DATABASE,
    ),
    Mutant(
        "of replicas that claim a chore alike several have it",
        REQUESTS,
        """if document.get("writer") == self._writer""",
        "",
        DATABASE,
    ),
    Mutant(
        "a chore that is done stays due",
        DOCUMENT,
        """_SPARSE: Final = ("open", "near", "missing", *_CHORES.values())""",
        """_SPARSE: Final = ("open", "near", "missing")""",
        DATABASE,
    ),
    Mutant(
        "a complete job is not marked for the ledger",
        "deletion/adapters/mongo/job_document.py",
        "    if job.status is Status.COMPLETE:\n        fields",
        "    if False:\n        fields",
        DATABASE,
    ),
    Mutant(
        "a job that is not complete settles its requests",
        COVERAGE,
        """completed_at=completed_at if document.get("status") == Status.COMPLETE else None,""",
        "completed_at=completed_at,",
        DATABASE,
    ),
    Mutant(
        "a job settles requests that it does not cover",
        COVERAGE,
        "if isinstance(each, Coverage) and _covers(each, group):",
        "if isinstance(each, Coverage):",
        DATABASE,
    ),
    Mutant(
        "of many requests only the first are asked for",
        COVERAGE,
        "range(0, len(wanted), ASKED)",
        "range(0, min(len(wanted), ASKED), ASKED)",
        DATABASE,
    ),
    Mutant(
        "a service is retired twice, and the first reason is lost",
        SERVICES,
        """standing = {"_id": name, "retiredAt": {"$not": {"$type": "date"}}}""",
        """standing = {"_id": name}""",
        DATABASE,
    ),
    Mutant(
        "a completion is run as a request",
        "deletion/events/codec.py",
        "if not isinstance(subject.event, RequestPlaced):",
        "if False:",
        UNIT,
    ),
    Mutant(
        "the id of a completion depends on how the id of its request is written",
        "deletion/events/codec.py",
        "uuid5(_COMPLETIONS, request_id.lower())",
        "uuid5(_COMPLETIONS, request_id)",
        UNIT,
    ),
    Mutant(
        "a service is retired again that another has returned first",
        SERVICES,
        '{"_id": service.name, "retiredAt": service.retired_at}',
        '{"_id": service.name}',
        DATABASE,
    ),
    Mutant(
        "a service is retired again that another has registered since",
        SERVICES,
        'UpdateOne({"_id": each.name, "addedBy": mark}',
        'UpdateOne({"_id": each.name}',
        DATABASE,
    ),
    Mutant(
        "a service is forgotten again that another has registered since",
        SERVICES,
        'DeleteOne({"_id": each.name, "addedBy": mark})',
        'DeleteOne({"_id": each.name})',
        DATABASE,
    ),
    Mutant(
        "services that others register meanwhile are not counted",
        SERVICES,
        "            check_room(others, added)\n",
        "            check_room([], [])\n",
        DATABASE,
    ),
    Mutant(
        "services that are too many stay",
        SERVICES,
        "            await self._take_back([each for each in absent if each.name in added], mark)\n",
        "",
        DATABASE,
    ),
)
