"""Each process runs from the image: as its user, on a read-only root, with what it contains."""

import json
import re
import shutil
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from botdel.local.processes import ChildProcess
from botdel.new_service.command import new_service
from deletion import __version__
from deletion.adapters.unproxied import unproxied
from tests.image.build import Image, required
from tests.support.paths import PACKAGES, ROOT
from tests.support.pipeline import (
    SERVICE,
    TOKEN,
    WITHIN,
    Location,
    Pipeline,
    listening,
    pipeline_at,
    until,
)
from tests.support.recovering import SETTINGS

pytestmark = pytest.mark.timeout(600)

OPERATOR: Final = f"otto:operator:{TOKEN}"
PROCESSES: Final = {
    "gateway": ("gateway", "--port", "0"),
    "consumer": ("consumer", "--plan", "plan.yaml", "--port", "0"),
    "recovery": ("recovery", "--port", "0"),
    "console": ("console", "--port", "0"),
}


@pytest.mark.proves("image-as-built")
def test_it_contains_what_the_files_with_hashes_name_and_the_pipeline_alone(image: Image) -> None:
    program = (
        "import json; from importlib.metadata import distributions as d;"
        "print(json.dumps({each.name: each.version for each in d()}))"
    )
    found = json.loads(image.output("/opt/botdel/bin/python", "-c", program))
    named = required(ROOT / "deploy" / "requirements.txt")
    expected = {normal(name): version for name, version in named.items()}
    expected["bot-deletion-pipeline"] = __version__
    assert {normal(name): version for name, version in found.items()} == expected


def normal(name: str) -> str:
    """The name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_imports_from_nowhere_else_and_needs_no_compiling(image: Image) -> None:
    packages = image.root / "opt/botdel/lib"
    (installed,) = packages.glob("python3.*/site-packages")
    sources = [file for name in PACKAGES for file in (installed / name).rglob("*.py")]
    assert len(sources) > 300
    for file in sources:
        assert list((file.parent / "__pycache__").glob(f"{file.stem}.*.pyc")), file
    assert not (installed / "tests").exists()
    assert not list((image.root / "opt/botdel/bin").glob("pip*"))


@pytest.mark.proves("image-writes-nowhere")
def test_it_runs_as_a_user_who_owns_nothing_and_may_write_nothing(image: Image) -> None:
    program = "import os; print(os.getuid(), os.getgid(), os.getgroups())"
    assert image.output("/opt/botdel/bin/python", "-c", program) == "65532 65532 []\n"
    for folder in ("opt", "service"):
        for path in (image.root / folder, *(image.root / folder).rglob("*")):
            found = path.lstat()
            assert (found.st_uid, found.st_gid) == (0, 0), path
            assert stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022, path


def test_the_version_and_the_help(image: Image) -> None:
    assert image.output("botdel", "--version") == f"botdel {__version__}\n"
    assert "healthcheck" in image.output("botdel", "--help")


@dataclass
class Installation:
    """Every process of the image, over a broker and a database."""

    pipeline: Pipeline
    image: Image
    ports: dict[str, str]
    processes: dict[str, ChildProcess]

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the image to its end; return its exit code and output."""
        async with self.image.process("command", *arguments, env=self.pipeline.env) as command:
            code = await command.wait(WITHIN)
        return code, "\n".join(command.lines)

    async def is_healthy(self, process: str, path: str) -> bool:
        code, _ = await self.run("healthcheck", "--port", self.ports[process], "--path", path)
        return code == 0


@asynccontextmanager
async def installed(pipeline: Pipeline, image: Image) -> AsyncIterator[Installation]:
    """The topology and then each process, listening."""
    (image.root / "service" / "plan.yaml").write_text(pipeline.plan.read_text())
    installation = Installation(pipeline, image, {}, {})
    code, said = await installation.run("topology", "apply", "--plan", "plan.yaml")
    assert code == 0, said
    async with AsyncExitStack() as stack:
        for name, arguments in PROCESSES.items():
            process = image.process(name, *arguments, env=pipeline.env)
            installation.processes[name] = await stack.enter_async_context(process)
        for name, process in installation.processes.items():
            url = await listening(process)
            assert url.startswith("http://0.0.0.0:"), "where probes of the node reach it"
            installation.ports[name] = url.rpartition(":")[2]
        yield installation


@pytest.mark.proves("image-writes-nowhere")
async def test_a_deletion_goes_through_processes_of_the_image_and_each_stops_cleanly(
    image: Image, location: Location
) -> None:
    async with pipeline_at(location, settings=SETTINGS) as pipeline:
        pipeline.settings |= {"BOTDEL_CONSOLE_USERS": OPERATOR, "BOTDEL_TRACES": "off"}
        bot, other = await pipeline.fill(25, 5)
        async with installed(pipeline, image) as installation:
            for name in PROCESSES:
                assert await installation.is_healthy(name, "/healthz")
                await until(lambda name=name: installation.is_healthy(name, "/readyz"))  # type: ignore[misc]
            await ask_for_deletion(installation.ports["gateway"], bot)
            await until(lambda: pipeline.has_status(bot, "complete"))
            assert (await pipeline.left(bot), await pipeline.left(other)) == (0, 5)
            recovery = f"http://127.0.0.1:{installation.ports['recovery']}"
            code, said = await installation.run("recover", "--url", recovery, "--wait")
            assert code == 0, said
            code, said = await installation.run("jobs", "list", "--bot", bot, "--json")
            assert (code, SERVICE in said) == (0, True)
            for process in installation.processes.values():
                process.signal(signal.SIGTERM)
            for process in installation.processes.values():
                assert await process.wait(WITHIN) == 0, list(process.lines)


async def ask_for_deletion(port: str, bot: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with unproxied(headers=headers, timeout=WITHIN) as client:
        answer = await client.delete(f"http://127.0.0.1:{port}/v1/bots/{bot}")
    assert answer.status_code == 202, answer.text


def test_a_step_of_a_teams_own_is_found_beside_its_plan(image: Image, tmp_path: Path) -> None:
    new_service("avatars", tmp_path / "avatars")
    (copied,) = re.findall(r"^COPY (.*) \./$", (tmp_path / "avatars/Dockerfile").read_text(), re.M)
    for name in copied.split():
        shutil.copy(tmp_path / "avatars" / name, image.root / "service")
    program = (
        "from pathlib import Path; from deletion.adapters.plan_file import read_plan;"
        "print(read_plan(Path('plan.yaml')).service)"
    )
    env = {"AVATARS_ROOT": "/service"}
    assert image.output("/opt/botdel/bin/python", "-c", program, env=env) == "avatars\n"


async def test_the_demo_is_not_in_it_and_says_which_extra_has_it(image: Image) -> None:
    async with image.process("demo", "demo", env={}) as demo:
        assert await demo.wait(WITHIN) == 2
    assert "pip install 'bot-deletion-pipeline[local]'" in "\n".join(demo.lines)


async def test_a_missing_setting_is_named_without_a_traceback(image: Image) -> None:
    async with image.process("gateway", "gateway", env={}) as gateway:
        assert await gateway.wait(WITHIN) == 2
    said = "\n".join(gateway.lines)
    assert "GOOGLE_CLOUD_PROJECT: not set" in said
    assert "Traceback" not in said


async def test_traces_and_objects_are_in_the_image(image: Image) -> None:
    image.output("/opt/botdel/bin/python", "-c", "import obstore, opentelemetry.sdk, aiobotocore")
