"""Bulks in a server: previewed, confirmed, and run in the background, on record.

A confirmed action has the id of its preview, so confirming twice begins it once. Its record is
inserted before anything is done, and decides which process runs it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from deletion.clock import Clock
from deletion.errors import (
    BotDeletionError,
    Interrupted,
    LeaseLost,
    StoreUnavailable,
    TransientError,
)
from deletion.operating.acting import Tally, why_not_read
from deletion.operating.journal import INTERRUPTED, Journal, bounded, new_run, why_ended
from deletion.operating.kinds import Kinds, Offer
from deletion.operating.ports import ActionStore, PreviewStore
from deletion.operating.record import (
    KEPT_FOR,
    MOST,
    ActionKind,
    OperatorAction,
    Preview,
    WholeAction,
)
from deletion.ports import Unreadable

MOST_AT_ONCE: Final = 4
"""Actions that a process runs at a time. One more is refused, because an action that waits would
look silent."""
ENDING: Final = "this process is about to end"

log = structlog.get_logger(__name__)


class Actions:
    """The actions that this process previews and runs."""

    def __init__(
        self,
        store: ActionStore,
        previews: PreviewStore,
        kinds: Kinds,
        clock: Clock,
        ended: Callable[[ActionKind, str | None], None] = lambda _kind, _failure: None,
    ) -> None:
        """`ended` is called at the end of each run, with why it failed, or None."""
        self._store = store
        self._previews = previews
        self._kinds = kinds
        self._clock = clock
        self._ended = ended
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._taking_on: dict[asyncio.Task[None], str] = {}
        """Each writes the record of the action with this id, and then runs it."""

    async def preview(self, offer: Offer) -> Preview:
        """Freeze the chosen records that are eligible, at most `MOST`. Changes none of them.

        Raises `TransientError`, and `ClockSkew` for a retry.
        """
        selection = await offer.bulk.preview(min(offer.limit or MOST, MOST))
        preview = Preview(
            self._previews.new_id(),
            offer.order,
            self._clock.now(),
            selection.targets,
            selection.why_not,
            selection.is_cut_off,
        )
        await self._previews.keep(preview)
        return preview

    async def confirm(self, preview_id: str, *, by: str, reason: str) -> str | None:
        """Begin what a preview shows, in the name of `by`. Returns why that is refused, or None:
        the action has then the preview's id. One that was confirmed already stays as it is.

        Raises `StoreUnavailable`, `TransientError` when this process runs enough actions, and
        `Interrupted` once it has been asked to stop.
        """
        if not reason.strip():
            return "say why: a reason is needed"
        if await self._store.get(preview_id):
            return None
        preview = await self._previews.get(preview_id)
        if preview is None or self._clock.now() - preview.at > KEPT_FOR:
            return "the preview is no longer kept: preview it again"
        order = replace(preview.order, by=by, reason=reason.strip())
        run = new_run(self._store, self._clock, by)
        action = OperatorAction.started(preview.id, order, run, frozen=len(preview.targets))

        async def recorded() -> None:
            if await bounded(self._clock, lambda: self._store.insert(action, preview.targets)):
                await self._begin(WholeAction(action, preview.targets, ()))

        await self._take_on(action.id, recorded)
        return None

    async def again(self, action_id: str, *, by: str) -> str | None:
        """Do the rest of an action that failed or went silent. Returns why not, or None.

        Raises as `confirm`.
        """
        whole = await self._store.get(action_id)
        if whole is None:
            return "there is no such action"
        if isinstance(whole, Unreadable):
            return why_not_read(whole)
        if why := whole.action.obstacle(self._clock.now()):
            return why
        taken = whole.action.taken_over(new_run(self._store, self._clock, by))

        async def recorded() -> None:
            await bounded(self._clock, lambda: self._store.save(whole.action, taken))
            await self._begin(WholeAction(taken, whole.targets, whole.outcomes))

        try:
            await self._take_on(action_id, recorded)
        except LeaseLost:
            return "somebody else has just begun to do the rest"
        return None

    def is_taking_on(self, action_id: str) -> bool:
        """Whether this process is writing the record of the action, to begin it then."""
        return action_id in self._taking_on.values()

    async def close(self, patience: float) -> None:
        """Stop what runs here after its group; cut it short after `patience` seconds.

        Returns within twice that.
        """
        self._stopping.set()
        await self._ended_within(patience)
        for task in self._running:
            task.cancel()
        await self._ended_within(patience)

    async def _take_on(
        self, action_id: str, recorded: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        """Await `recorded`, which writes the record of an action and begins it. It goes on if the
        caller no longer waits: otherwise the record of an action that no process runs may remain.
        """
        if self._stopping.is_set():
            raise Interrupted(ENDING)
        running = len(self._running) + len(self._taking_on)
        if running >= MOST_AT_ONCE:
            what = f"{running} actions are running in this process"
            raise TransientError(what, "wait until one has ended")
        task = asyncio.create_task(recorded())
        self._taking_on[task] = action_id
        task.add_done_callback(self._taking_on.pop)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(_log_failure, action_id))
            raise

    async def _begin(self, whole: WholeAction) -> None:
        """Run an action that is on record; if a stop came meanwhile, record that instead."""
        if self._stopping.is_set():
            await self._end(self._journal(whole), INTERRUPTED)
            raise Interrupted(ENDING)
        task = asyncio.create_task(self._run(whole))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, whole: WholeAction) -> None:
        """Run an action to its end, and record how it ended. Raises `CancelledError` only."""
        order, action_id = whole.action.order, whole.action.id
        log.info("action started", action_id=action_id, kind=order.kind, by=order.by)
        journal = self._journal(whole)
        try:
            failure = await self._performed(whole, journal)
        except asyncio.CancelledError:
            await self._end(journal, INTERRUPTED)
            raise
        await self._end(journal, failure)

    def _journal(self, whole: WholeAction) -> Journal:
        return Journal(self._store, whole.action, Tally(), self._clock)

    async def _performed(self, whole: WholeAction, journal: Journal) -> str | None:
        """Act on what is left. Returns why it could not go on, or None. `LeaseLost` is one reason,
        after which nothing more is written.
        """
        try:
            bulk = self._kinds.of(whole.action.order)
            await bulk.perform(whole, journal, self._stopping)
        except BotDeletionError as error:
            return why_ended(error)
        except Exception as error:
            log.exception("unexpected error in an action", action_id=whole.action.id)
            return f"unexpected {type(error).__name__}; see the log of the process"
        return None

    async def _end(self, journal: Journal, failure: str | None) -> None:
        action_id = journal.action.id
        try:
            await journal.end(failure)
        except LeaseLost:
            log.error("action was taken over by another process", action_id=action_id)
        except StoreUnavailable as error:  # it goes silent, and may be performed again
            log.error("end of action not recorded", action_id=action_id, reason=str(error))
        self._ended(journal.action.order.kind, failure)
        done, refused = len(journal.tally.done), len(journal.tally.refused)
        log.info("action ended", action_id=action_id, done=done, refused=refused, error=failure)

    async def _ended_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while under_way := self._running | self._taking_on.keys():
                    await asyncio.wait(under_way)


def _log_failure(action_id: str, task: asyncio.Task[None]) -> None:
    """Log why an action was not begun, after its caller has stopped waiting."""
    if not task.cancelled() and (error := task.exception()):
        log.error("action not begun", action_id=action_id, reason=str(error))
