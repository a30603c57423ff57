"""Retiring a service is on record, whether it is done or refused."""

import pytest

from deletion.operating.record import ActionKind, Order, Outcome, Target
from deletion.operating.services import retire_service
from tests.support.clock import VirtualClock
from tests.support.factories import SERVICE
from tests.support.memory_actions import MemoryActionStore
from tests.support.memory_requests import MemoryServiceStore

pytestmark = pytest.mark.virtual_time


async def test_a_service_is_retired_once_and_by_whom_and_why_is_on_record() -> None:
    clock, services, actions = VirtualClock(), MemoryServiceStore(), MemoryActionStore()
    await services.register([SERVICE], clock.now())

    async def retire(by: str) -> str | None:
        return await retire_service(
            SERVICE, by=by, reason="it is gone", services=services, actions=actions, clock=clock
        )

    assert await retire("ada") is None
    (service,) = await services.all()
    assert (service.retired_by, service.reason) == ("ada", "it is gone")
    why = await retire("bob")
    assert why is not None
    assert "is retired already" in why
    (service,) = await services.all()
    assert service.retired_by == "ada"
    recorded = list(actions.actions.values())
    assert [whole.action.order for whole in recorded] == [
        Order(ActionKind.RETIRE, by, "it is gone", {"service": SERVICE}) for by in ("ada", "bob")
    ]
    assert [whole.targets for whole in recorded] == [(Target(SERVICE),)] * 2
    assert [whole.outcomes for whole in recorded] == [(Outcome(SERVICE),), (Outcome(SERVICE, why),)]
