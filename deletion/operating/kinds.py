"""What each kind of bulk acts on: composed once for a process, from its stores."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deletion.bus import Publisher
from deletion.clock import Clock
from deletion.dead_letter import DeadLetter
from deletion.job import Job, LeasePolicy
from deletion.ledger import RequestStore
from deletion.operating.bulk import Bulk
from deletion.operating.dead_letters import Choice as LetterChoice
from deletion.operating.dead_letters import Replay, discarding, replaying
from deletion.operating.jobs import Choice as JobChoice
from deletion.operating.jobs import retrying
from deletion.operating.record import ActionKind, Order
from deletion.operating.requests import Choice as RequestChoice
from deletion.operating.requests import waiving
from deletion.ports import DeadLetterStore, JobStore
from deletion.request import DeletionRequest

AnyChoice = JobChoice | LetterChoice | RequestChoice
AnyBulk = Bulk[Job] | Bulk[DeadLetter] | Bulk[DeletionRequest]
FORCE, SERVICE = "force", "service"
"""Options of an order: whether a replay is forced, and which service a waiver is for."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An order with the records that it is about, to be previewed; at most `limit` of them."""

    order: Order
    bulk: AnyBulk
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Kinds:
    """The bulks over a process's stores. `check_attached` is that of `Replay`."""

    jobs: JobStore
    letters: DeadLetterStore
    requests: RequestStore
    publisher: Publisher
    check_attached: Callable[[str], Awaitable[None]]
    clock: Clock
    policy: LeasePolicy

    def retry(self, choice: JobChoice, by: str) -> Offer:
        """Return the retry of the chosen jobs."""
        order = Order(ActionKind.RETRY, by, choice=choice.words)
        return Offer(order, self._bulk(order, choice), choice.limit)

    def replay(self, choice: LetterChoice, by: str, *, force: bool = False) -> Offer:
        """Return the replay of the chosen letters."""
        options = {FORCE: "yes"} if force else {}
        order = Order(ActionKind.REPLAY, by, choice=choice.words, options=options)
        return Offer(order, self._bulk(order, choice), choice.limit)

    def discard(self, choice: LetterChoice, by: str) -> Offer:
        """Return the discarding of the chosen letters."""
        order = Order(ActionKind.DISCARD, by, choice=choice.words)
        return Offer(order, self._bulk(order, choice), choice.limit)

    def waive(self, choice: RequestChoice, by: str, *, service: str) -> Offer:
        """Return the waiving of the share of `service` in the chosen requests."""
        order = Order(ActionKind.WAIVE, by, choice=choice.words, options={SERVICE: service})
        return Offer(order, self._bulk(order, choice))

    def of(self, order: Order) -> AnyBulk:
        """Return the bulk that acts on the targets of `order`.

        Raises `ValueError` for a kind that is no bulk.
        """
        choices: dict[ActionKind, AnyChoice] = {
            ActionKind.RETRY: JobChoice(),
            ActionKind.REPLAY: LetterChoice(),
            ActionKind.DISCARD: LetterChoice(),
            ActionKind.WAIVE: RequestChoice(),
        }
        return self._bulk(order, choices.get(order.kind))

    def _bulk(self, order: Order, choice: AnyChoice | None) -> AnyBulk:
        match order.kind, choice:
            case ActionKind.RETRY, JobChoice():
                return retrying(choice, self.jobs, self.clock, self.policy)
            case ActionKind.REPLAY, LetterChoice():
                return replaying(choice, self.letters, self._replay(order))
            case ActionKind.DISCARD, LetterChoice():
                return discarding(choice, self.letters)
            case ActionKind.WAIVE, RequestChoice():
                service, by, reason = order.options[SERVICE], order.by, order.reason
                return waiving(choice, self.requests, self.clock, service, by=by, reason=reason)
        raise ValueError(f"{order.kind} is no bulk")

    def _replay(self, order: Order) -> Replay:
        is_forced = FORCE in order.options
        return Replay(self.letters, self.publisher, self.check_attached, force=is_forced)
