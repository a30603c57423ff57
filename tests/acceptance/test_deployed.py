"""What compose.yaml and deploy/kubernetes/ start deletes a bot: their commands, settings and plan.

The processes run on this machine instead of in containers, so addresses, ports and the database of
the jobs are those of the test.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from bson import ObjectId

from botdel.local.processes import ChildProcess
from deletion.adapters.unproxied import unproxied
from tests.support import composed, kubernetes
from tests.support.commands import botdel
from tests.support.deployed import READ_BY, SECRETS, SERVING
from tests.support.forked import ForkedProcess
from tests.support.paths import ROOT
from tests.support.pipeline import WITHIN, Location, Pipeline, listening, pipeline_at, until

PLAN = ROOT / "deploy" / "kubernetes" / "services" / "conversations" / "plan.yaml"
DATABASE = "conversations"
"""The database that the plan names."""
HERE = {"PUBSUB_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "BOTDEL_MONGODB_URI"}
"""The settings that differ on this machine."""
_, _, TOKEN = SECRETS["BOTDEL_GATEWAY_TOKENS"].partition(":")


@dataclass(frozen=True)
class Started:
    """The arguments and the environment of one process."""

    arguments: list[str]
    environment: Mapping[str, str]


def by_compose(_: Path) -> Mapping[str, Started]:
    return {
        service["command"][0]: Started(
            [part.replace("/plans/conversations.yaml", str(PLAN)) for part in service["command"]],
            service["environment"],
        )
        for service in composed.processes().values()
    }


def by_kubernetes(folder: Path) -> Mapping[str, Started]:
    manifests = kubernetes.overlay("development")
    (plan,) = (
        each["data"]
        for each in kubernetes.of_kind(manifests, "ConfigMap")
        if "plan.yaml" in each["data"]
    )
    path = folder / "plan.yaml"
    path.write_text(plan["plan.yaml"])
    return {
        each.process: Started(
            [part.replace("/service/plan.yaml", str(path)) for part in each.container["args"]],
            kubernetes.environment(manifests, each),
        )
        for each in kubernetes.processes(manifests)
    }


@pytest.fixture
async def here(location: Location) -> AsyncIterator[Pipeline]:
    """Servers, before any topology is applied."""
    async with pipeline_at(location) as pipeline:
        await pipeline.client.drop_database(DATABASE)
        yield pipeline
        await pipeline.client.drop_database(DATABASE)


def process(pipeline: Pipeline, command: str, started: Started, recovery: str) -> ChildProcess:
    """A process, not yet started, with the addresses of this machine."""
    env = dict(started.environment) | {f"BOTDEL_{command.upper()}_PORT": "0"}
    env |= {name: value for name, value in pipeline.env.items() if name in HERE & env.keys()}
    env |= {"BOTDEL_MONGODB_DATABASE": pipeline.database}
    arguments = [recovery if part.startswith("http://") else part for part in started.arguments]
    return ForkedProcess(command, ["botdel.cli", *arguments], env=env)


@pytest.mark.proves("deployed")
@pytest.mark.parametrize("deployment", [by_compose, by_kubernetes])
async def test_what_is_deployed_deletes_a_bot_and_no_other(
    here: Pipeline, tmp_path: Path, deployment: Callable[[Path], Mapping[str, Started]]
) -> None:
    deployed = deployment(tmp_path)
    assert deployed.keys() >= READ_BY.keys()
    bot, other = ObjectId(), ObjectId()
    data = [here.client[DATABASE][name] for name in ("messages", "sessions")]
    for collection in data:
        await collection.insert_many([{"botId": owner} for owner in (bot, other) * 20])

    for name in (each for each in deployed if each.startswith("topology")):
        async with process(here, "topology", deployed[name], "") as topology:
            assert await topology.wait(WITHIN) == 0, list(topology.lines)
    code, lines = await botdel(here, "plan", "check", str(PLAN))
    assert code == 0, lines

    async with AsyncExitStack() as running:
        urls = {
            name: await listening(
                await running.enter_async_context(process(here, name, deployed[name], ""))
            )
            for name in SERVING
        }
        http = await running.enter_async_context(unproxied(timeout=WITHIN))

        async def ready() -> bool:
            answers = [await http.get(f"{url}/readyz", timeout=10) for url in urls.values()]
            return all(answer.is_success for answer in answers)

        await until(ready)
        delete = f"{urls['gateway']}/v1/bots/{bot}"
        answer = await http.delete(delete, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == httpx.codes.ACCEPTED
        await until(lambda: here.has_status(str(bot), "complete"))
        cron = deployed["recover"]
        repeats = "--every" in cron.arguments
        assert await swept(process(here, "recover", cron, urls["recovery"]), repeats=repeats)

    for collection in data:
        assert await collection.count_documents({"botId": bot}) == 0
        assert await collection.count_documents({"botId": other}) == 20


async def swept(cron: ChildProcess, *, repeats: bool) -> bool:
    """Whether the first call of the cron client says that its sweep is complete."""
    async with cron:
        if repeats:
            await cron.wait_for_line(lambda line: line.startswith("the next call is in"), WITHIN)
            cron.terminate()
        assert await cron.wait(WITHIN) == 0, list(cron.lines)
    return any(" complete: resumed " in line for line in cron.lines)
