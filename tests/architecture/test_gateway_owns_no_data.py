"""The gateway's process loads nothing that could reach data: not the driver, no job, no step."""

import asyncio
import importlib.util
import subprocess
import sys

import pytest

from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.processes import free_port

FORBIDDEN = (
    "bson",
    "motor",
    "obstore",
    "pymongo",
    "console",
    "consumers",
    "recovery",
    "botdel.local",
    "deletion.adapters.mongo",
    "deletion.adapters.objects",
    "deletion.job",
    "deletion.lease",
    "deletion.plan",
    "deletion.ports",
    "deletion.replay",
    "deletion.runner",
)
"""Modules, with everything below them."""

RUN = """
import asyncio, http.client, os, signal, sys, time
from deletion.process.settings import load
import botdel.cli
from gateway.main import run
from gateway.settings import GatewaySettings

def status(method, path):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["BOTDEL_GATEWAY_PORT"]))
    while True:
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    headers = {"Authorization": "Bearer " + os.environ["BOTDEL_GATEWAY_TOKENS"]}
    connection.request(method, path, headers=headers)
    return connection.getresponse().status

async def serve():
    serving = asyncio.create_task(run(load(GatewaySettings)))
    placed = await asyncio.to_thread(status, "DELETE", "/v1/bots/65f0a1b2c3d4e5f607182930")
    assert placed == 202, placed
    for probe in ("/healthz", "/readyz", "/metrics"):
        assert await asyncio.to_thread(status, "GET", probe) == 200, probe
    os.kill(os.getpid(), signal.SIGTERM)
    await serving

asyncio.run(serve())
print(*sys.modules, sep="\\n")
"""


def loaded_by(code: str, broker: str = "127.0.0.1:1") -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    environment = {
        "PUBSUB_EMULATOR_HOST": broker,
        "GOOGLE_CLOUD_PROJECT": "test-project",
        "BOTDEL_GATEWAY_TOKENS": "a-token-that-is-long-enough",
        "BOTDEL_GATEWAY_PORT": str(free_port()),
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
    return module in FORBIDDEN or module.startswith(tuple(f"{name}." for name in FORBIDDEN))


@pytest.mark.proves("gateway-without-data")
async def test_a_gateway_that_has_run_has_loaded_nothing_that_reaches_data() -> None:
    async with EmbeddedBroker() as broker:
        loaded = await asyncio.to_thread(loaded_by, RUN, broker.host)
    assert {"gateway.app", "gateway.main", "deletion.adapters.pubsub.publisher"} <= loaded
    assert not sorted(filter(is_forbidden, loaded))


@pytest.mark.proves("traces-off")
async def test_a_gateway_without_traces_has_loaded_nothing_that_exports_them() -> None:
    """Google's libraries load the interface of OpenTelemetry themselves."""
    async with EmbeddedBroker() as broker:
        loaded = await asyncio.to_thread(loaded_by, RUN, broker.host)
    assert "deletion.tracing" in loaded
    exporting = ("deletion.adapters.traces", "opentelemetry.sdk", "opentelemetry.exporter")
    assert not [name for name in loaded if name.startswith(exporting)]


@pytest.mark.parametrize("module", FORBIDDEN)
def test_what_is_forbidden_exists(module: str) -> None:
    assert importlib.util.find_spec(module)


def test_the_check_itself_sees_a_driver() -> None:
    loaded = loaded_by(
        "import sys, deletion.adapters.mongo.connection; print(*sys.modules, sep='\\n')"
    )
    assert any(map(is_forbidden, loaded))
