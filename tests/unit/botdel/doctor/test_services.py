"""A service that has a plan and owes no request is found."""

import pytest

from botdel.doctor.services import retired_services, service_findings
from deletion.doctor import Finding, Verdict
from deletion.errors import StoreUnavailable
from deletion.ledger import Service
from tests.support.clock import START
from tests.support.factories import LATER
from tests.support.memory_requests import MemoryServiceStore
from tests.unit.botdel.doctor.installation import by_check

pytestmark = pytest.mark.virtual_time


async def looked(*planned: str) -> dict[str, Finding]:
    store = MemoryServiceStore()
    await store.register(["media", "billing", "others"], START)
    await store.retire("billing", "ann", "shut down", LATER)
    return by_check(await service_findings(store, planned))


async def test_a_service_that_owes_requests_is_as_it_should_be() -> None:
    found = await looked("media", "media")
    assert {check: each.status for check, each in found.items()} == {"service media": Verdict.OK}


async def test_a_service_that_is_not_registered_is_a_fault() -> None:
    found = (await looked("media", "chat"))["service chat"]
    assert (found.status, found.detail) == (
        Verdict.FAILED,
        "it is not registered: no request waits for it",
    )
    assert "botdel topology apply --plan FILE" in found.remedy


async def test_a_service_that_was_retired_is_a_fault_and_says_by_whom_and_why() -> None:
    found = (await looked("billing"))["service billing"]
    assert found.status is Verdict.FAILED
    assert found.detail.startswith("ann retired it at ")
    assert "(shut down): it owes no request since" in found.detail
    assert "takes it back; if not, take its plan away" in found.remedy


async def test_without_a_plan_nothing_is_asked() -> None:
    assert await looked() == {}


async def test_services_that_cannot_be_read_are_one_finding() -> None:
    class Away(MemoryServiceStore):
        async def all(self) -> list[Service]:
            raise StoreUnavailable("MongoDB has no primary")

    [found] = await service_findings(Away(), ["media", "chat"])
    assert (found.check, found.status) == ("services", Verdict.FAILED)


async def test_only_what_is_known_to_be_retired_counts_as_retired() -> None:
    store = MemoryServiceStore()
    await store.register(["media", "billing"], START)
    await store.retire("billing", "ann", "shut down", LATER)
    assert await retired_services(store) == {"billing"}
    assert await retired_services(None) == set()
