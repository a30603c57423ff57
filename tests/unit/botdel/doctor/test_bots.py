"""Steps that name the same bots fit together; one that knows none of the others' is wrong."""

from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass

import pytest
from bson import ObjectId

from botdel.doctor.bots import bot_findings
from deletion.doctor import Finding
from deletion.errors import StoreUnavailable
from deletion.plan import Batch, Plan, Step

BOTS = [f"65f0a1b2c3d4e5f6071829{number:02d}" for number in range(60)]
USERS = [f"75f0a1b2c3d4e5f6071829{number:02d}" for number in range(60)]


@dataclass
class Table:
    """A step with data of `owners`, the first of which are its sample; `looks` counts look-ups."""

    name: str
    owners: Collection[str]
    away: bool = False
    looks: int = 0

    async def bots(self) -> Collection[str]:
        if self.away:
            raise StoreUnavailable("away")
        return self.owners

    async def is_empty(self, bot_id: str) -> bool:
        self.looks += 1
        return bot_id not in self.owners

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        raise AssertionError("nothing is deleted")
        yield


@dataclass
class Folder:
    """A step of a team's own with data of `owners`, which it does not name."""

    name: str
    owners: Collection[str]

    async def is_empty(self, bot_id: str) -> bool:
        return bot_id not in self.owners

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        raise AssertionError("nothing is deleted")
        yield


class Counted(Folder):
    """One that can be counted."""

    async def count(self, bot_id: str) -> int:
        return int(bot_id in self.owners)

    async def faults(self) -> list[str]:
        return []


class Called(Counted):
    """One that calls an API."""

    by_answer_only = False

    async def is_empty(self, bot_id: str) -> bool:
        raise AssertionError("an API is not asked about every bot")


async def findings_of(*plans: tuple[Step, ...], is_all: bool = False) -> dict[str, Finding]:
    """By step, in the order of the plans."""
    named = [Plan(f"service-{number}", steps) for number, steps in enumerate(plans)]
    findings = await bot_findings(named, is_all=is_all)
    return {finding.check.removeprefix("bots of step "): finding for finding in findings}


async def look(*plans: tuple[Step, ...]) -> dict[str, str]:
    """The status of each step."""
    return {name: str(finding.status) for name, finding in (await findings_of(*plans)).items()}


@pytest.mark.parametrize(
    ("owners", "status"), [(BOTS[:1], "ok"), (USERS, "warning"), ([], "warning")]
)
async def test_a_step_that_names_no_bots_is_asked_for_those_of_the_others(
    owners: Collection[str], status: str
) -> None:
    found = await look((Table("messages", BOTS),), (Counted("avatars", owners),))
    assert found["service-1/avatars"] == status


async def test_a_step_that_names_bots_is_right_when_one_that_names_none_has_them() -> None:
    assert await look((Table("messages", BOTS),), (Counted("avatars", BOTS),)) == {
        "service-0/messages": "ok",
        "service-1/avatars": "ok",
    }


@pytest.mark.parametrize("step", [Folder("avatars", BOTS), Called("avatars", BOTS)])
async def test_a_step_that_cannot_be_compared_has_a_line_that_says_so(step: Step) -> None:
    found = await findings_of((Table("messages", BOTS), Table("files", BOTS)), (step,))
    assert {name: each.status for name, each in found.items()} == {
        "service-0/messages": "ok",
        "service-0/files": "ok",
        "service-1/avatars": "skipped",
    }
    why = "calls an API" if isinstance(step, Called) else "cannot be counted"
    assert why in found["service-1/avatars"].detail


@pytest.mark.parametrize("is_all", [False, True])
async def test_other_plans_are_asked_for_only_where_there_are_some(is_all: bool) -> None:
    found = await findings_of((Table("messages", []), Table("files", [])), is_all=is_all)
    for finding in found.values():
        assert finding.status == "skipped"
        assert ("give other plans too" in finding.detail) is not is_all


async def test_steps_of_the_same_bots_fit() -> None:
    assert await look((Table("messages", BOTS), Table("files", BOTS[::-1]))) == {
        "service-0/messages": "ok",
        "service-0/files": "ok",
    }


async def test_a_step_of_few_bots_fits_when_the_others_know_them() -> None:
    """Of a sample of the others none may have files."""
    found = await look((Table("messages", BOTS), Table("files", BOTS[50:51])))
    assert set(found.values()) == {"ok"}


@pytest.mark.proves("wrong-plan")
@pytest.mark.parametrize("plans", [1, 2])
async def test_a_step_that_names_others_ids_fails(plans: int) -> None:
    right, wrong = (Table("messages", BOTS), Table("drafts", BOTS)), (Table("files", USERS),)
    found = await look((*right, *wrong)) if plans == 1 else await look(right, wrong)
    assert list(found.values()) == ["ok", "ok", "failed"]


async def test_of_two_that_differ_nobody_knows_which_is_wrong() -> None:
    found = await look((Table("messages", BOTS), Table("files", USERS)))
    assert set(found.values()) == {"failed"}


async def test_a_step_without_data_is_told_and_a_plan_without_any_fails() -> None:
    half = (Table("messages", BOTS), Table("files", []))
    assert list((await look(half)).values()) == ["skipped", "warning"]
    none = (Table("events", []), Table("views", []))
    found = await look(half, none)
    assert (found["service-1/events"], found["service-1/views"]) == ("failed", "failed")


async def test_with_nothing_to_compare_nothing_is_called_right() -> None:
    assert set((await look((Table("messages", BOTS),))).values()) == {"skipped"}
    none = (Table("messages", []), Table("files", []))
    assert list((await look(none)).values()) == ["skipped", "skipped"]


async def test_a_server_that_is_away_is_a_finding_of_its_step_alone() -> None:
    away = Table("files", BOTS, away=True)
    found = await look((Table("messages", BOTS), away, Table("drafts", BOTS)))
    assert found == {
        "service-0/files": "failed",
        "service-0/messages": "ok",
        "service-0/drafts": "ok",
    }


async def test_a_step_of_few_bots_is_not_asked_for_those_of_a_hundred_services() -> None:
    others = [(Table("messages", [str(ObjectId()) for _ in range(20)] + BOTS),) for _ in range(100)]
    rare = Table("files", BOTS[50:51])
    found = await look(*others, (rare,))
    assert found["service-100/files"] == "ok"
    assert rare.looks <= 200
