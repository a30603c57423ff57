"""What operators do, on record: deletion/operating/ and its stores."""

from typing import Final

from tests.mutations.mutants.base import DATABASE, UNIT, Mutant

ACTIONS: Final = "deletion/operating/actions.py"
BULK: Final = "deletion/operating/bulk.py"
JOURNAL: Final = "deletion/operating/journal.py"
RECORD: Final = "deletion/operating/record.py"
REQUESTS: Final = "deletion/operating/requests.py"
STORE: Final = "deletion/adapters/mongo/operator_actions.py"

MUTANTS: Final = (
    Mutant(
        "an action waits for its record for longer than it may be silent",
        JOURNAL,
        "async with asyncio.timeout(WRITE_SECONDS):",
        "async with asyncio.timeout(None):",
        UNIT,
    ),
    Mutant(
        "records are acted on before they are on record",
        "deletion/operating/acting.py",
        "            await before(records[:left])\n            of_group = await _side_by_side(records[:left], attempt, tally)\n",
        "            of_group = await _side_by_side(records[:left], attempt, tally)\n            await before(records[:left])\n",
        UNIT,
    ),
    Mutant(
        "a group of a bulk is acted on before it is on record",
        BULK,
        "            await journal.begin(group[-1][0] + 1)\n",
        "",
        UNIT,
    ),
    Mutant(
        "what has changed since the preview is acted on",
        BULK,
        "            if self.looks(record) != target.looks:\n",
        "            if False:\n",
        UNIT,
    ),
    Mutant(
        "a preview freezes any number of records",
        ACTIONS,
        "offer.bulk.preview(min(offer.limit or MOST, MOST))",
        "offer.bulk.preview(offer.limit or 10**9)",
        UNIT,
    ),
    Mutant(
        "a preview looks at records without end",
        BULK,
        "            if looked_at >= MOST_LOOKED_AT:\n",
        "            if False:\n",
        UNIT,
    ),
    Mutant(
        "what is done already is done again",
        RECORD,
        "if each[1].id not in ended)",
        "if True)",
        UNIT,
    ),
    Mutant(
        "an action that is running is taken over",
        RECORD,
        "        if self.status is ActionStatus.RUNNING and not self.is_silent(now):\n",
        "        if False:\n",
        UNIT,
    ),
    Mutant(
        "a group that hangs is waited for",
        BULK,
        "async with asyncio.timeout(GROUP_SECONDS):",
        "async with asyncio.timeout(None):",
        UNIT,
    ),
    Mutant(
        "an action is begun by whoever confirms its preview",
        ACTIONS,
        "        if await bounded(self._clock, lambda: self._store.insert(action, preview.targets)):\n",
        "        await self._store.insert(action, preview.targets)\n        if True:\n",
        UNIT,
    ),
    Mutant(
        "an old preview is confirmed",
        ACTIONS,
        " or self._clock.now() - preview.at > KEPT_FOR",
        "",
        UNIT,
    ),
    Mutant(
        "an action needs no reason",
        ACTIONS,
        "        if not reason.strip():\n",
        "        if False:\n",
        UNIT,
    ),
    Mutant(
        "an action that was interrupted looks as if it ran",
        ACTIONS,
        "            await self._end(journal, INTERRUPTED)\n",
        "",
        UNIT,
    ),
    Mutant(
        "the record of a command grows without end",
        JOURNAL,
        "        if action.total + len(targets) > MOST or action.done + action.refused >= MOST:\n",
        "        if False:\n",
        UNIT,
    ),
    Mutant(
        "outcomes are on record twice",
        JOURNAL,
        "        self.action, self._written = after, written\n",
        "        self.action = after\n",
        UNIT,
    ),
    Mutant(
        "a waiver overwrites what was written meanwhile",
        REQUESTS,
        "        if await self._store.save([RequestChange(request, waived)]):\n",
        "        if await self._store.save([RequestChange(request, waived)]) and False:\n",
        UNIT,
    ),
    Mutant(
        "a run that was taken over goes on writing",
        STORE,
        '{**own, "revision": before.revision}',
        "own",
        DATABASE,
    ),
    Mutant(
        "a write whose answer was lost looks like another run's",
        STORE,
        '        stored = await self._find({**own, "revision": after.revision})\n',
        "        stored = list[Document]()\n",
        DATABASE,
    ),
    Mutant(
        "an insert whose answer was lost looks like another run's",
        STORE,
        'return bool(stored) and stored[0]["runs"][0]["claim"] == action.runs[0].claim',
        "return False",
        DATABASE,
    ),
    Mutant(
        "old previews are kept",
        STORE,
        "            await self._previews.delete_many(too_old)\n",
        "",
        DATABASE,
    ),
    Mutant(
        "taking an action over is tried once",
        ACTIONS,
        "await bounded(self._clock, lambda: self._store.save(whole.action, taken))",
        "await self._store.save(whole.action, taken)",
        UNIT,
    ),
    Mutant(
        "an action whose page was answered is left without a process",
        ACTIONS,
        "await asyncio.shield(task)",
        "await task",
        UNIT,
    ),
)
