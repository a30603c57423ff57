"""The lists of the console: console/mongo_job_lists.py and what they are read with."""

from typing import Final

from tests.mutations.mutants.base import DATABASE, LISTS, Mutant

JOBS: Final = "console/mongo_job_lists.py"
SEARCH: Final = "console/job_search.py"
WINDOWS: Final = "deletion/adapters/mongo/windows.py"

MUTANTS: Final = (
    Mutant(
        "a page ends anywhere among jobs of one moment",
        JOBS,
        "if following and following[0][search.by] == page[-1][search.by]:",
        "if False:",
        LISTS,
    ),
    Mutant(
        "the oldest jobs are looked for among all",
        JOBS,
        "forward(await beginning(partial(self._has_some, search), now), now)",
        "[search.all_from(None, now)]",
        LISTS,
    ),
    Mutant(
        "jobs are sorted in an order that no index has",
        JOBS,
        "order = {search.by: search.way} if is_sorted else {}",
        'order = {search.by: search.way, "_id": search.way} if is_sorted else {}',
        LISTS,
    ),
    Mutant(
        "few records are taken for none",
        WINDOWS,
        "SLICES: Final = (0.0001, 0.01, 0.1)",
        "SLICES: Final = (0.0001,)",
        LISTS,
    ),
    Mutant(
        "requests are read without windows",
        "deletion/adapters/mongo/requests.py",
        "backward(before and before[0], now) if _is_broad(wanted) else ()",
        "()",
        LISTS,
    ),
    Mutant(
        "a request of the last moment of a window is in no list",
        "deletion/adapters/mongo/requests.py",
        '"$lt": until + TICK}',
        '"$lte": until}',
        DATABASE,
    ),
    Mutant(
        "a request whose time cannot be read is in no list",
        "deletion/adapters/mongo/requests.py",
        "        return await self._page(query, limit)\n\n    async def _page",
        "        return found\n\n    async def _page",
        LISTS,
    ),
    Mutant(
        "parked jobs that may have ended their processes are not listed",
        SEARCH,
        "for queue in (name, suspect_queue(name))",
        "for queue in (name,)",
        LISTS,
    ),
    Mutant(
        "a job that is handed over by a clock that is ahead is listed as parked",
        JOBS,
        '[{"$match": query}, {"$match": {"status": status.value}}]',
        '[{"$match": query}]',
        LISTS,
    ),
    Mutant(
        "a job that has become due is still listed as parked",
        JOBS,
        "if beyond and beyond[0] >= search.since:",
        "if beyond:",
        LISTS,
    ),
    Mutant(
        "a weekend is taken for the time before all records",
        WINDOWS,
        "        if await has_some(earlier):",
        "        if False:",
        LISTS,
    ),
    Mutant(
        "records before a gap are read together with all others",
        WINDOWS,
        "EARLIER: Final = 28",
        "EARLIER: Final = 1",
        LISTS,
    ),
    Mutant(
        "the beginning of few records is taken for long before them",
        WINDOWS,
        "    for _ in range(HALVINGS):",
        "    for _ in range(0):",
        LISTS,
    ),
    Mutant(
        "queues without parked jobs are read in windows",
        JOBS,
        "zip(search.queries, found, strict=True) if ids]",
        "zip(search.queries, found, strict=True)]",
        LISTS,
    ),
    Mutant(
        "what a service owes is read without windows",
        "deletion/adapters/mongo/requests.py",
        "return wanted.state is None or (",
        "return (wanted.state is None and not is_owed) or (",
        LISTS,
    ),
)
