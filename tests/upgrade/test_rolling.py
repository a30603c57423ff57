"""Old and new processes side by side, in each order, under requests that go on."""

import os
from collections.abc import Mapping, Sequence
from itertools import permutations

import pytest

from deletion.dead_letter import is_canary
from tests.support.pipeline import letters, until
from tests.support.polling import frozen
from tests.upgrade.releases import TODAY, Code
from tests.upgrade.rolling import (
    BYSTANDERS,
    CONSOLE,
    CONSUMERS,
    GATEWAY,
    LARGE,
    LASTING,
    RECOVERY,
    SERVICES,
    SMALL,
    Clients,
    Installation,
    asking,
    check_now,
    nothing_due,
    recorded,
    sweep,
    unsettled,
)
from tests.upgrade.runbook import Section, sections

ROLES = (*CONSUMERS, RECOVERY, GATEWAY)
STEPS: Mapping[str, tuple[str, ...]] = {
    "Topology": (),
    "Consumers": CONSUMERS,
    "Recovery": (RECOVERY,),
    "Console": (CONSOLE,),
    "Gateway": (GATEWAY,),
    "": (),
}
"""The roles whose processes each step of the runbook replaces."""
KINDS = {"consumers": CONSUMERS, "gateway": (GATEWAY,), "recovery": (RECOVERY,)}
SOME = [("gateway", "recovery", "consumers"), ("recovery", "gateway", "consumers")]
ORDERS = [*permutations(KINDS)] if "EACH_ORDER" in os.environ else SOME
"""`make test` goes through two of them beside the runbook's, `make test-upgrade` through all."""
RECOVERY_URL = "http://RECOVERY:8082"


async def started(installation: Installation, code: Code) -> None:
    """Everything runs by this code."""
    await installation.apply(code)
    await installation.roll_all(ROLES, code)


async def gone_through(clients: Clients) -> None:
    """Wait until a request that is placed now is complete."""
    bots = await clients.installation.fill(SMALL)
    event = await clients.ask(bots[0], f"{bots[0]}-a")
    await until(lambda: clients.installation.is_complete({event}))


async def all_settled(installation: Installation, events: set[str]) -> bool:
    """Whether the ledger has settled these, once it has checked for their jobs."""
    if not await unsettled(installation, events):
        return True
    await check_now(installation)
    await sweep(installation, TODAY)
    return False


async def nothing_lost(clients: Clients, bystanders: list[str]) -> None:
    """Every request that was accepted is done everywhere, and settled; nobody else's data is."""
    installation, accepted = clients.installation, set(clients.accepted)
    await until(lambda: installation.is_complete(accepted))
    await until(lambda: all_settled(installation, accepted))

    for bot in set(clients.accepted.values()):
        assert await installation.left(bot) == dict.fromkeys(SERVICES, 0)
    for bot in bystanders:
        assert await installation.left(bot) == dict.fromkeys(SERVICES, SMALL)
    dead = await letters(installation.pipeline)
    assert [letter for letter in dead if not is_canary(letter["service"])] == []
    assert len(accepted) > len(set(clients.accepted.values())), "some were asked for again"


async def follow(installation: Installation, section: Section) -> None:
    """Replace what the section is about, and run the commands that it shows."""
    await installation.roll_all(STEPS[section.step or ""], TODAY)
    for command in section.commands:
        told = [word.replace(RECOVERY_URL, installation.urls[RECOVERY]) for word in command]
        await installation.run(TODAY, *told)


@pytest.mark.proves("mixed-versions")
async def test_the_runbook_upgrades_and_rolls_back_without_losing_a_request(
    installation: Installation, old: Code
) -> None:
    bystanders = [bot for _ in range(BYSTANDERS) for bot in await installation.fill(SMALL)]
    await started(installation, old)
    async with asking(installation) as clients:
        for section in sections():
            if section.step:
                await clients.ask_for(await installation.fill(LARGE))
                await follow(installation, section)
                await gone_through(clients)
                await clients.repeat()
        for roles in ((GATEWAY,), (RECOVERY,), CONSUMERS):
            await installation.roll_all(roles, old)
        await installation.apply(old)
        lines = await installation.doctor(old)
        assert not any("ledger" in line for line in lines), "as the runbook says"
        await gone_through(clients)
        await installation.roll_all(ROLES, TODAY)
    for section in sections():
        if not section.step:
            await follow(installation, section)
    await nothing_lost(clients, bystanders)


@pytest.mark.proves("mixed-versions")
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_no_order_loses_a_request(
    installation: Installation, old: Code, order: Sequence[str]
) -> None:
    bystanders = [bot for _ in range(BYSTANDERS) for bot in await installation.fill(SMALL)]
    await installation.apply(TODAY)
    await installation.roll_all([*ROLES, CONSUMERS[0] + LASTING], old)  # this replica stays old
    async with asking(installation) as clients:
        for kind in order:
            await clients.ask_for(await installation.fill(LARGE))
            await installation.roll_all(KINDS[kind], TODAY)
            await check_now(installation)
            await sweep(installation, TODAY)
            await gone_through(clients)
            await clients.repeat()
        for code in (old, TODAY):
            await installation.roll_all(KINDS[order[0]], code)
            await gone_through(clients)
    await nothing_lost(clients, bystanders)


@pytest.mark.proves("mixed-versions")
async def test_what_an_old_consumer_completes_late_is_settled(
    installation: Installation, old: Code
) -> None:
    """It leaves no mark on the job, which the ledger has found in progress at its first check."""
    await installation.apply(TODAY)
    await installation.roll_all(CONSUMERS, old)
    await installation.roll_all([RECOVERY, GATEWAY], TODAY)
    [bot] = await installation.fill(LARGE)
    async with asking(installation, goes_on=False) as clients:
        event = await clients.ask(bot, bot)
    consumers = [installation.running[role] for role in CONSUMERS]
    await until(lambda: installation.has_jobs(event))
    async with frozen(consumers[0].pid), frozen(consumers[1].pid):
        assert not await installation.is_complete({event})
        await until(lambda: recorded(installation, 1))
        await check_now(installation)
        await sweep(installation, TODAY)
        await until(lambda: nothing_due(installation))
    await until(lambda: installation.is_complete({event}))
    assert await unsettled(installation, {event})

    await until(lambda: all_settled(installation, {event}))
