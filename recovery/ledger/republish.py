"""Missing jobs: a request is published again for each service that has no job for it.

So a message that Pub/Sub lost, a subscription that was made anew, or a consumer that was away for
longer than the retention loses nothing: docs/decisions/0036.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from deletion.alerts import Alert, AlertKind, Alerts
from deletion.bus import Message, Publisher
from deletion.clock import Clock
from deletion.dead_letter import DeadLetterStatus
from deletion.errors import with_type
from deletion.events import BotDeletionSubject, RequestPlaced, to_message
from deletion.ledger import (
    Coverage,
    CoverageStore,
    EventLetter,
    EventLetters,
    RequestChange,
)
from deletion.request import DeletionRequest, Waiver
from recovery.ledger.due_requests import DueRequests
from recovery.ledger.metrics import LedgerMetrics
from recovery.ledger.settle import Settlement, groups, jobs_of, settled_by, without_job

log = structlog.get_logger(__name__)

WAIVED_BY, DISCARDED = "ledger", "its dead letter was discarded"
"""Who waives the share of a service whose dead letter an operator has discarded, and why."""

Letters = Mapping[tuple[str, str], Sequence[EventLetter]]
"""Dead letters by service and event."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request, and the services for which it is published again."""

    change: RequestChange
    missing: Sequence[str]


class Republish:
    """The part that publishes requests again for services that have no job for them."""

    def __init__(
        self,
        due: DueRequests,
        coverage: CoverageStore,
        letters: EventLetters,
        settlement: Settlement,
        publisher: Publisher,
        alerts: Alerts,
        clock: Clock,
        metrics: LedgerMetrics,
    ) -> None:
        self._due = due
        self._coverage = coverage
        self._letters = letters
        self._settlement = settlement
        self._publisher = publisher
        self._alerts = alerts
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, stopping: asyncio.Event) -> int:
        """Check all requests that are due: read → decide → write → publish.

        The write is the claim: of several replicas one publishes, and a crash after it costs one
        back-off. Raises `StoreUnavailable`, and what publishing raises.
        """
        done_for = 0
        async for requests in self._due.pages():
            done_for += len(requests)
            decisions = await self._decide(requests)
            saved = await self._due.save([each.change for each in decisions])
            self._settlement.count(saved)
            written = {change.before.id for change in saved.written}
            await self._publish([each for each in decisions if each.change.before.id in written])
            if stopping.is_set():
                break
        return done_for

    async def _decide(self, requests: Sequence[DeletionRequest]) -> list[Decision]:
        """Read the jobs first, and dead letters only of what has none."""
        jobs = await jobs_of(self._coverage, requests)
        without = {each.id: without_job(each, jobs[each.id]) for each in requests}
        letters = await self._letters_of(without)
        now = self._clock.now()
        return [decide(each, jobs[each.id], without[each.id], letters, now) for each in requests]

    async def _letters_of(self, without: Mapping[str, Sequence[str]]) -> Letters:
        events = [(service, id_) for id_, services in without.items() for service in services]
        found: dict[tuple[str, str], list[EventLetter]] = defaultdict(list)
        for letter in await self._letters.of_events(events) if events else ():
            found[letter.service, letter.event_id].append(letter)
        return found

    async def _publish(self, decisions: Sequence[Decision]) -> None:
        """Publish a group after the other, each side by side: a publisher refuses what is too much
        at once. After a group of which none was published, the others are not tried. Raises the
        first error once all have ended; it counts as the failure of the pass.
        """
        pairs = [(each.change.before, service) for each in decisions for service in each.missing]
        self._alert(pairs)
        first = None
        for group in groups(pairs):
            errors = await asyncio.gather(*(self._publish_one(*pair) for pair in group))
            failed = [error for error in errors if error]
            first = first or next(iter(failed), None)
            if len(failed) == len(group):
                break
        if first:
            raise first

    async def _publish_one(self, request: DeletionRequest, service: str) -> Exception | None:
        """Return the error if publishing failed: the next check of this request tries again."""
        try:
            await self._publisher.publish(published_again(request, service))
        except Exception as error:  # noqa: BLE001 - logged, and raised when all have ended
            log.warning(
                "not published again",
                event_id=request.id,
                service=service,
                reason=with_type(error),
            )
            return error
        log.warning("published again", event_id=request.id, service=service)
        self._metrics.republished(service)
        return None

    def _alert(self, pairs: Iterable[tuple[DeletionRequest, str]]) -> None:
        """One alert for each service: its consumer may be away, or its subscription lost."""
        examples = {service: request.id for request, service in pairs}
        for service, count in Counter(service for _, service in pairs).items():
            reason, kind = "published again", AlertKind.REQUESTS_MISSING
            self._alerts.tell(Alert(kind, service, reason, examples[service], count))


def decide(
    request: DeletionRequest,
    jobs: Sequence[Coverage],
    without: Sequence[str],
    letters: Letters,
    now: datetime,
) -> Decision:
    """What becomes of `request`, which `jobs` cover; the services `without` have no job for it.

    A service with a new or replayed dead letter of the request waits for an operator; if all its
    letters are discarded, its share is waived. Once the deadline is near, a replayed letter no
    longer counts: the replay was lost too.
    """
    after, missing, waiting = settled_by(request, jobs, now), [], []
    for service in without:
        standing = {letter.status for letter in letters.get((service, request.id), ())}
        if standing == {DeadLetterStatus.DISCARDED}:
            after = after.waived(service, Waiver(WAIVED_BY, DISCARDED), now)
        elif DeadLetterStatus.NEW in standing or (standing and not request.is_near(now)):
            waiting.append(service)
        else:
            missing.append(service)
    after = after.checked(now, missing=missing, waiting=waiting)
    return Decision(RequestChange(request, after), missing)


def published_again(request: DeletionRequest, service: str) -> Message:
    """The message of the request's event, with its own id and times, for one service only."""
    placed = RequestPlaced(request.placed_at, request.requested_by)
    subject = BotDeletionSubject(request.id, request.placed_at, request.bot_id, placed)
    message = to_message(subject, request.traceparent)
    return Message(message.data, {**message.attributes, "service": service})
