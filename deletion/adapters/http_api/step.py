"""The step that deletes a bot's data by calling an external API.

Read `HttpStep.delete` first. Its first batch makes no call: it only records the Idempotency-Key, so
that every try of the call, in any process, sends the same one.
"""

from collections.abc import AsyncGenerator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import httpx
import structlog

from deletion.adapters.http_api.call_state import VERIFY, CallState
from deletion.adapters.http_api.client import Answer, HttpClient, same_origin
from deletion.adapters.http_api.endpoint import Endpoint
from deletion.clock import Clock
from deletion.errors import Busy, HttpRefused, HttpUnavailable, Parked, TransientError
from deletion.pace import UNPACED, Pace
from deletion.plan import Batch
from deletion.retry import LONGEST_REQUESTED_WAIT, doubled

ACCEPTED: Final = 202
SEE_OTHER: Final = 303
NOT_FOUND: Final = 404
FORGOTTEN: Final = frozenset({NOT_FOUND, 410})
MOST_FORGOTTEN: Final = 2
"""How often a host may forget a call that it accepted before the run fails, counted over all runs
of the step.
"""
SLICE_SECONDS: Final = 2.0
"""The longest wait inside one batch, because a stop has to wait for its end."""
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 1.0, 30.0
"""Seconds between two polls when the host names no time: the first wait, doubled each time, and
the longest."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one call. `deleted` is None while the host still works on it; the next call is
    then due in `wait` seconds.
    """

    state: CallState
    deleted: int | None = None
    wait: float = 0.0


@dataclass(slots=True)
class HttpStep:
    """Calls `endpoint` for the bot until the host says that it is done; reads back with `verify`.

    One call takes at most `call_seconds`. A deletion that was accepted with 202 has `done_within`
    to be done, and holds a permit of its host's gate until then: a slow API occupies no more slots
    of the process than its `concurrency` allows.
    """

    name: str
    endpoint: Endpoint
    verify: Endpoint | None
    client: HttpClient = field(repr=False)
    clock: Clock = field(repr=False)
    call_seconds: float = 5.0
    done_within: timedelta = timedelta(hours=1)

    @property
    def default_pace(self) -> Pace:
        """No pace (see `deletion.plan.Paced`): the gate bounds the calls.

        A run that waited between calls of a slow API would keep its slot from other jobs.
        """
        return UNPACED

    @property
    def by_answer_only(self) -> bool:
        """See `deletion.plan.AnswerOnly`."""
        return self.verify is None

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        """Record a key, call, and after a 202 poll until it is done; each call is one batch.

        Raises `HttpUnavailable`, `HttpRefused`, and `Parked` when the host must not be called now.
        """
        state = CallState.read(cursor)
        if state is None:
            if cursor is not None:
                log.warning("unreadable cursor: the step begins again", step=self.name)
            state = CallState.begun()
            yield Batch(0, state.cursor)
        async with self.endpoint.gate.permit():
            outcome, polls = await self._outcome(bot_id, state, 0), 1
            while outcome.deleted is None:
                yield Batch(0, outcome.state.cursor)
                self._check_forgotten(outcome.state)
                self._park_for(outcome)
                for seconds in _slices(outcome.wait):
                    await self.clock.sleep(seconds)
                    yield Batch(0, outcome.state.cursor)
                outcome, polls = await self._outcome(bot_id, outcome.state, polls), polls + 1
            # Without `location`: a resumed run would poll it again, and count the bot twice.
            done = CallState(outcome.state.key)
            yield Batch(outcome.deleted, done.cursor, last=True)

    async def is_empty(self, bot_id: str) -> bool:
        """Whether `verify` says that the bot is gone; True without `verify`.

        Raises as `delete` does; an answer that is neither 2xx nor in `gone` is `HttpRefused`.
        """
        if self.verify is None:
            return True
        async with self.verify.gate.permit(reads=True):
            return not await self._is_there(self.verify, bot_id)

    async def _outcome(self, bot_id: str, state: CallState, polls: int) -> Outcome:
        """Make the call, or check what became of it. `polls` counts the calls of this run."""
        location = state.location
        if location == VERIFY and self.verify:
            return await self._poll_with(self.verify, bot_id, state, polls)
        if location and same_origin(location, self.endpoint.url):  # the plan may have changed since
            return await self._poll(bot_id, state, location, polls)
        return await self._call(bot_id, state)

    async def _call(self, bot_id: str, state: CallState) -> Outcome:
        keyed = {**self.endpoint.headers, "Idempotency-Key": state.key}
        call = replace(self.endpoint.of(bot_id), headers=keyed)
        answer = await self._send(call, bot_id)
        if answer.status == ACCEPTED:
            location = answer.location or (VERIFY if self.verify else None)
            if location is None:
                raise HttpRefused(
                    f"{call.what} answered 202 without a Location, so nobody can know when it is "
                    "done",
                    "give the step a `verify`",
                )
            accepted = state.accepted(self.clock.now(), location)
            return Outcome(accepted, wait=_pause(answer, 0))
        found = call.found(answer)
        if found is None:
            raise HttpRefused(f"{call.what} answered {answer.status}")
        return Outcome(state, int(found))

    async def _poll(self, bot_id: str, state: CallState, location: str, polls: int) -> Outcome:
        """Poll `location`. If nothing is there any more, the call has to be made again."""
        poll = replace(self.endpoint, method="GET", url=location, gone=FORGOTTEN)
        answer = await self._send(poll, bot_id, reads=True)
        if answer.status in poll.gone:
            return Outcome(state.forgot(), wait=FIRST_POLL_SECONDS)
        if answer.status == ACCEPTED:
            polled = state.polled(answer.location or location)
            return self._working(polled, polls, answer)
        if answer.status != SEE_OTHER and not httpx.codes.is_success(answer.status):
            raise HttpRefused(f"{poll.what} answered {answer.status} to a poll")
        return Outcome(state, 1)

    async def _poll_with(
        self, verify: Endpoint, bot_id: str, state: CallState, polls: int
    ) -> Outcome:
        """Poll with `verify`, holding a permit of its host. If that is the host of the call, the
        deletion holds one already.

        If it is another and has none free, poll again later: parking would give up the permit of
        the deletion, which is still under way. After `done_within` raise `Busy`: nobody has looked,
        so the deletion may be done, and the job must not pay.
        """
        is_same = verify.gate is self.endpoint.gate
        try:
            async with nullcontext() if is_same else verify.gate.permit(reads=True):
                is_there = await self._is_there(verify, bot_id)
        except Busy:
            if self._is_late(state):
                raise
            return Outcome(state, wait=_pause(None, polls))
        return self._working(state.polled(VERIFY), polls) if is_there else Outcome(state, 1)

    async def _is_there(self, verify: Endpoint, bot_id: str) -> bool:
        answer = await self._send(verify.of(bot_id), bot_id, reads=True)
        found = verify.found(answer)
        if found is None:
            raise HttpRefused(f"{verify.what} answered {answer.status} to the read-back")
        return found

    async def _send(self, call: Endpoint, bot_id: str, *, reads: bool = False) -> Answer:
        """Make `call` through its gate. Raises `Parked` also when the host asks for a long wait."""
        seconds = self.call_seconds
        try:
            async with call.gate.call(bot_id, seconds, reads=reads):
                return await self.client.send(call.method, call.url, call.headers, seconds)
        except TransientError as error:
            if error.retry_after is None or error.retry_after <= LONGEST_REQUESTED_WAIT:
                raise
            until = self.clock.now() + timedelta(seconds=error.retry_after)
            raise Parked(until, f"{error}, with Retry-After", has_called=True) from error

    def _working(self, state: CallState, polls: int, answer: Answer | None = None) -> Outcome:
        """The outcome while the host still works. Raises `HttpUnavailable` after `done_within`.

        A resumed run polls again, so a deletion that ends too late is still noticed.
        """
        outcome = Outcome(state, wait=_pause(answer, polls))
        if self._is_late(state):
            seconds = self.done_within.total_seconds()
            raise HttpUnavailable(
                f"{self.endpoint.what} was accepted, but is not done within {seconds:g} s",
                retry_after=min(outcome.wait, LONGEST_REQUESTED_WAIT),
            )
        return outcome

    def _check_forgotten(self, state: CallState) -> None:
        """Raise `HttpRefused` when the host has forgotten the call too often, over all runs.

        The count is checkpointed before, so a resumed run makes the call once more, and fails if
        the host forgets it again.
        """
        if state.location is None and state.forgotten > MOST_FORGOTTEN:
            raise HttpRefused(
                f"{self.endpoint.what} answered 202 {state.forgotten} times, each time with a "
                "Location that answers 404 or 410"
            )

    def _park_for(self, outcome: Outcome) -> None:
        """Park the job for a long wait.

        That frees its slot and costs no attempt, because the host has answered: the batch before
        has moved the cursor, so it was progress.
        """
        if outcome.wait > LONGEST_REQUESTED_WAIT:
            until = self.clock.now() + timedelta(seconds=outcome.wait)
            raise Parked(
                until, f"{self.endpoint.what} was accepted, but the next poll is not due yet"
            )

    def _is_late(self, state: CallState) -> bool:
        since = state.since
        return since is not None and self.clock.now() - since > self.done_within


def _pause(answer: Answer | None, polls: int) -> float:
    """Seconds until the next call: what the host asks for, or longer each time."""
    if answer and answer.retry_after is not None:
        return max(answer.retry_after, FIRST_POLL_SECONDS)
    return doubled(FIRST_POLL_SECONDS, polls, LONGEST_POLL_SECONDS)


def _slices(seconds: float) -> list[float]:
    whole, last = divmod(seconds, SLICE_SECONDS)
    return [SLICE_SECONDS] * int(whole) + ([last] if last else [])
