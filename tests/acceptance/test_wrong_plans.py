"""Every field of the sample plans, made wrong in each likely way, is noticed by some command.

The values that are tried stand below by field, so that a new field of a plan needs some as well.
"""

import copy
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from ruamel.yaml import YAML

import botdel.local
from botdel.doctor.command import examine
from botdel.doctor.findings import Status
from botdel.local.database import EmbeddedMongo
from botdel.local.emulator import PubSubEmulator
from botdel.plan import check, preview
from botdel.topology import apply
from deletion.adapters.plan_file import read_plan
from deletion.errors import PlanError
from deletion.process.settings import load
from deletion.process.store_settings import TopologySettings
from tests.support.pipeline import Pipeline

CONVERSATIONS, ANALYTICS = "botdel_sample_conversations", "botdel_sample_analytics"
PLANS: Final = Path(botdel.local.__file__).parent / "plans"
BOTS: Final = 12
REMOVED: Final = object()
WRONG: Final[Mapping[str, tuple[object, ...]]] = {
    "service": ("conversation", "analytic", "conversations", "analytics", "doctor", "A", 7),
    "name": ("", "a b", "messages", "sessions", "events", 7),
    "database": ("botdel_sample", CONVERSATIONS, ANALYTICS, "admin", "a/b", "", 7),
    "collection": ("message", "messages", "sessions", "events", "system.users", "$x", "", 7),
    "field": ("bot", "botId", "bot_id", "_id", "session", "session.botId", "text", "", "$x", 7),
    "field_type": ("objectid", "string", "ObjectId", "", 7),
    "batch_size": (0, -1, 100_001, "20", 2.5),
}
"""By field. The value that it has already is left out, and `REMOVED` is tried too."""
HARMLESS: Final = {("batch_size", REMOVED), ("name", "messages"), ("name", "sessions")} | {
    ("name", "events")
}
"""A default that is right, and names that are free: where one is taken, it is refused all the
same, which `test_a_name_that_is_taken_is_refused` shows."""


@dataclass(frozen=True)
class Mutant:
    """The plan `file` with `value` at `path`."""

    file: str
    path: tuple[int | str, ...]
    value: object

    def __str__(self) -> str:
        value = "removed" if self.value is REMOVED else repr(self.value)
        return f"{self.file}:{'.'.join(map(str, self.path))}={value}"

    def written(self, folder: Path) -> Path:
        """The file with the fault."""
        plan = copy.deepcopy(_load(PLANS / self.file))
        node: Any = plan
        for part in self.path[:-1]:
            node = node[part]
        if self.value is REMOVED:
            del node[self.path[-1]]
        else:
            node[self.path[-1]] = self.value
        path = folder / self.file
        with path.open("w") as out:
            YAML(typ="safe").dump(plan, out)
        return path


def _load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def _leaves(node: object, *path: int | str) -> Iterator[tuple[tuple[int | str, ...], object]]:
    inside = node.items() if isinstance(node, Mapping) else enumerate(_list(node))
    if not isinstance(node, Mapping | list):
        yield path, node
    for key, value in inside:
        yield from _leaves(value, *path, key)


def _list(node: object) -> list[object]:
    return node if isinstance(node, list) else []


def mutants() -> Iterator[Mutant]:
    for plan in sorted(PLANS.glob("*.yaml")):
        for path, right in _leaves(_load(plan)):
            field = str(path[-1])
            for wrong in (*WRONG[field], REMOVED):
                if wrong != right and (field, wrong) not in HARMLESS:
                    yield Mutant(plan.name, path, wrong)


@pytest.fixture
async def installed(
    emulator: PubSubEmulator,
    mongo: EmbeddedMongo,
    project: str,
    database_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """Both sample services, with data, indexes and subscriptions; this process has the settings."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo.uri, timeoutMS=30_000) as client:
        pipeline = Pipeline(emulator.host, mongo.uri, project, database_name, tmp_path, client)
        for name, value in pipeline.env.items():
            monkeypatch.setenv(name, value)
        await _fill(client)
        plans = [read_plan(path) for path in PLANS.glob("*.yaml")]
        assert await apply(load(TopologySettings), plans) == 0
        yield client
        await _clear(client)


async def _clear(client: AsyncMongoClient[dict[str, Any]]) -> None:
    for name in (CONVERSATIONS, ANALYTICS):
        await client.drop_database(name)


async def _fill(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """As `botdel.local.samples` does, but a little of it."""
    await _clear(client)
    conversations, analytics = client[CONVERSATIONS], client[ANALYTICS]
    for _ in range(BOTS):
        bot, session = ObjectId(), ObjectId()
        said = {"botId": bot, "session": session, "text": "a line"}
        await conversations["messages"].insert_many([{**said, "position": n} for n in range(5)])
        await conversations["sessions"].insert_one({"_id": session, "botId": bot})
        await analytics["events"].insert_many([{"bot": str(bot), "at": n} for n in range(5)])


async def noticed(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Which of the commands say that the plan at `path` is wrong."""
    try:
        plan = read_plan(path)
    except PlanError:
        return ["read_plan"]
    capsys.readouterr()
    by = ["plan check"] if await check(plan, as_json=True) else []
    others = [read_plan(each) for each in PLANS.glob("*.yaml") if each.name != path.name]
    findings = await examine([plan, *others], None, lambda _: None)
    mine = [f for f in findings if not f.check.startswith(("settings of", "alerts"))]
    wrong = [f for f in mine if f.status is Status.FAILED]
    return by + (["doctor"] if wrong else [])


async def test_the_sample_plans_themselves_are_right(
    installed: AsyncMongoClient[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in PLANS.glob("*.yaml"):
        assert await noticed(path, capsys) == [], path


@pytest.mark.timeout(300)
async def test_every_wrong_value_of_the_sample_plans_is_noticed(
    installed: AsyncMongoClient[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by = {str(each): await noticed(each.written(tmp_path), capsys) for each in mutants()}
    assert len(by) > 100
    assert [mutant for mutant, commands in by.items() if not commands] == []
    used = {command for commands in by.values() for command in commands}
    assert used == {"read_plan", "plan check", "doctor"}


async def test_a_preview_of_a_live_bot_shows_what_a_wrong_plan_would_miss(
    installed: AsyncMongoClient[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = await installed[CONVERSATIONS]["sessions"].find_one() or {}
    bot = session["botId"]
    seen = []
    for plan in (
        PLANS / "conversations.yaml",
        Mutant("conversations.yaml", ("steps", 0, "mongo", "field"), "_id").written(tmp_path),
    ):
        capsys.readouterr()
        await preview(read_plan(plan), str(bot), as_json=True)
        seen.append(json.loads(capsys.readouterr().out.splitlines()[-1])["steps"])
    assert seen == [{"messages": 5, "sessions": 1}, {"messages": 0, "sessions": 1}]


@pytest.mark.parametrize(("index", "taken"), [(0, "sessions"), (1, "messages")])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, index: int, taken: str) -> None:
    wrong = Mutant("conversations.yaml", ("steps", index, "name"), taken)
    with pytest.raises(PlanError, match="unique names"):
        read_plan(wrong.written(tmp_path))
