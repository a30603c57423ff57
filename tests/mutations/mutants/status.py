"""Where a deletion stands, and the API that shows it: console/."""

from typing import Final

from tests.mutations.mutants.base import CONSOLE, DATABASE, Mutant

API: Final = "console/api.py"
DELETIONS: Final = "console/deletions.py"
JOBS: Final = "console/mongo_jobs.py"
STATUS: Final = "console/status.py"

MUTANTS: Final = (
    Mutant(
        "a page of a status has no bound",
        "console/deletions.py",
        "if states and states + own > MOST_STATES:",
        "if False:",
        CONSOLE,
    ),
    Mutant(
        "anybody is shown where a deletion stands",
        API,
        "dependencies=[Security(guard)]",
        "dependencies=[]",
        CONSOLE,
    ),
    Mutant(
        "a request whose record cannot be read was never placed",
        API,
        "HTTPStatus.INTERNAL_SERVER_ERROR, detail",
        "HTTPStatus.NOT_FOUND, detail",
        CONSOLE,
    ),
    Mutant("a misspelt parameter is ignored", API, 'extra="forbid"', 'extra="ignore"', CONSOLE),
    Mutant(
        "a status waits for a database that hangs",
        DELETIONS,
        "return await in_time(self._get(event_id))",
        "return await self._get(event_id)",
        CONSOLE,
    ),
    Mutant(
        "a dead letter is looked for although there is a job",
        DELETIONS,
        "            if share.is_owed and (share.service, request.id) not in jobs\n",
        "            if share.is_owed\n",
        CONSOLE,
    ),
    Mutant(
        "the last page leads to another one",
        DELETIONS,
        "_end(page) if len(found) > len(page) else None",
        "_end(page)",
        CONSOLE,
    ),
    Mutant(
        "a page skips what cannot be read",
        DELETIONS,
        "            tuple(request for request in page if isinstance(request, Unreadable)),\n",
        "            (),\n",
        CONSOLE,
    ),
    Mutant(
        "places are counted for any number of jobs",
        DELETIONS,
        "dict([*waiting.items()][:MOST_PLACES])",
        "dict([*waiting.items()])",
        CONSOLE,
    ),
    Mutant(
        "a long queue hides where a deletion stands",
        DELETIONS,
        "        except TimeoutError:\n            return {}\n",
        "        except ZeroDivisionError:\n            return {}\n",
        CONSOLE,
    ),
    Mutant(
        "a job whose values make no sense hides every service",
        STATUS,
        "        except UNUSABLE as error:\n            job =",
        "        except ZeroDivisionError as error:\n            job =",
        CONSOLE,
    ),
    Mutant(
        "an open dead letter is not shown",
        STATUS,
        "if letter.status is DeadLetterStatus.NEW]",
        "if letter.status is DeadLetterStatus.DISCARDED]",
        CONSOLE,
    ),
    Mutant(
        "a share that was waived is shown as complete",
        STATUS,
        "    if share.waiver and share.settled_at:\n",
        "    if share.waiver and not share.settled_at:\n",
        CONSOLE,
    ),
    Mutant(
        "a stale job is shown as running",
        STATUS,
        "    if job.is_stale(now, policy):\n",
        "    if False:\n",
        CONSOLE,
    ),
    Mutant(
        "a job that rests is shown as due for a sweep",
        STATUS,
        "    if rested_at > now:\n",
        "    if False:\n",
        CONSOLE,
    ),
    Mutant(
        "a parked job has a place in the queue",
        STATUS,
        "    if not isinstance(job, Job) or not job.is_due(now):\n",
        "    if not isinstance(job, Job):\n",
        CONSOLE,
    ),
    Mutant(
        "the text of others has no bound",
        STATUS,
        "    if len(reason) > MOST_CHARACTERS:\n",
        "    if False:\n",
        CONSOLE,
    ),
    Mutant(
        "a status shows the jobs of any service",
        JOBS,
        '            "service": {"$in": sorted(set(services))},\n',
        "",
        DATABASE,
    ),
    Mutant(
        "a status shows the jobs of any request",
        JOBS,
        '            "eventIds": {"$in": sorted(set(event_ids))},\n',
        "",
        DATABASE,
    ),
    Mutant(
        "a job waits for itself",
        JOBS,
        '"$lt": before',
        '"$lte": before',
        DATABASE,
    ),
)
