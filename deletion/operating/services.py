"""Retiring: an operator decides that a service owes no request that is received from now on."""

from deletion.clock import Clock
from deletion.ledger import ServiceStore
from deletion.operating.journal import do_once
from deletion.operating.ports import ActionStore
from deletion.operating.record import ActionKind, Order, Outcome, Target


async def retire_service(
    name: str, *, by: str, reason: str, services: ServiceStore, actions: ActionStore, clock: Clock
) -> str | None:
    """Retire a service, on record. Returns why that is refused, or None.

    Raises `StoreUnavailable`.
    """
    order = Order(ActionKind.RETIRE, by, reason, choice={"service": name})

    async def retire() -> Outcome:
        if await services.retire(name, by, reason, clock.now()):
            return Outcome(name)
        why = "no service of this name is in use: it was never registered, or is retired already"
        return Outcome(name, why)

    outcome = await do_once(order, Target(name), retire, actions, clock)
    return outcome.refusal
