"""The gateway's process loads nothing that could reach data: not the driver, no job, no step."""

import subprocess
import sys

import pytest

FORBIDDEN = {
    "bson",
    "motor",
    "obstore",
    "pymongo",
    "consumers",
    "recovery",
    "botdel.local",
    "deletion.job",
    "deletion.lease",
    "deletion.plan",
    "deletion.ports",
    "deletion.resume",
    "deletion.runner",
}
"""Modules, with everything below them."""

PREFIXES = ("deletion.adapters.mongo", "deletion.adapters.object")

RUN = """
import asyncio, os, signal, sys
from deletion.process.settings import load
import botdel.cli
from gateway.main import run
from gateway.settings import GatewaySettings

async def serve():
    serving = asyncio.create_task(run(load(GatewaySettings)))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await serving

asyncio.run(serve())
print(*sys.modules, sep="\\n")
"""


def loaded_by(code: str) -> set[str]:
    """What a fresh interpreter has loaded after `code`, run without a Pub/Sub to talk to."""
    environment = {
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
        "GOOGLE_CLOUD_PROJECT": "test-project",
        "BOTDEL_GATEWAY_TOKENS": "a-token-that-is-long-enough",
        "BOTDEL_GATEWAY_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def is_forbidden(module: str) -> bool:
    parents = module.split(".")
    names = {".".join(parents[: n + 1]) for n in range(len(parents))}
    return bool(names & FORBIDDEN) or module.startswith(PREFIXES)


@pytest.mark.proves("gateway-without-data")
def test_a_gateway_that_has_run_has_loaded_nothing_that_reaches_data() -> None:
    loaded = loaded_by(RUN)
    assert {"gateway.app", "gateway.main", "deletion.adapters.pubsub.publisher"} <= loaded
    assert not sorted(filter(is_forbidden, loaded))


def test_the_check_itself_sees_a_driver() -> None:
    loaded = loaded_by(
        "import sys, deletion.adapters.mongo.connection; print(*sys.modules, sep='\\n')"
    )
    assert any(map(is_forbidden, loaded))
