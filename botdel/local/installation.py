"""Every process of the pipeline on this machine: servers, gateway, consumers, recovery."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Final, Self

from botdel.doctor.indexes import COLLECTIONS
from botdel.local.billing import BillingApi
from botdel.local.broker_choice import choose_broker
from botdel.local.database import EmbeddedMongo
from botdel.local.processes import ChildProcess, ProcessFailed, is_free
from botdel.local.s3 import LocalS3, credentials
from botdel.local.sample_data import Files
from botdel.local.samples import BUCKET
from botdel.local.server import LocalServer, found_taken
from console.settings import ConsoleSettings
from consumers.settings import ConsumerSettings
from deletion.adapters.mongo.indexes import prepare
from deletion.adapters.mongo.services import MongoServiceStore
from deletion.adapters.plan_file import read_plan
from deletion.adapters.pubsub.readiness import TopicProbe
from deletion.adapters.spec import StepConnections
from deletion.clock import SystemClock
from deletion.plan import Provisioned
from deletion.process.bus import connected_bus
from deletion.process.database import connected_clients
from deletion.process.run import LOCAL_SERVERS
from deletion.process.settings import PubSubSettings, load
from deletion.process.store_settings import StoreSettings
from gateway.settings import GatewaySettings
from recovery.settings import RecoverySettings

PLANS: Final = {p.stem: p for p in sorted((Path(__file__).parent / "plans").glob("*.yaml"))}
"""The sample services and their plan files."""
READY_WITHIN: Final = 30.0
"""Seconds for one of the pipeline's processes to listen."""

STOP_WITHIN: Final = 30.0
"""Seconds between SIGTERM and SIGKILL: longer than the grace a process gives its runs."""

OnLine = Callable[[str, str], None]
"""Called with a process's name and one line of its output."""


class Installation:
    """The whole pipeline. It uses the broker and the database that the environment names, unless an
    earlier installation started them.

    `settings` are added to the environment of every process. A process with a port in `ports`
    listens there unless the port is taken; the others get free ports. Everything that was started
    is stopped at the end, in reverse order, and does not outlive this process.
    """

    def __init__(
        self,
        storage: Path,
        on_line: OnLine,
        settings: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self._storage = storage
        self._on_line = on_line
        self._settings = dict(settings or {})
        self._ports = dict(ports or {})
        self._stack = AsyncExitStack()
        self._own_servers: list[LocalServer] = []
        self._processes: dict[str, ChildProcess] = {}
        self.urls: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.broker = "the one that PUBSUB_EMULATOR_HOST names"
        """Which broker it uses, and why, for people."""
        self.set_aside: Path | None = None
        """The folder of messages that the embedded broker kept, if another broker is used."""
        self.idle: list[str] = []
        """The services that owe requests, but have no consumer here."""
        self.is_disposable = False
        """Whether it started the database itself, with data in its own folder."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.env = await self._servers(stack) | self._credentials() | self._settings
            await _reach_pubsub(self.env)
            self.idle = await _provide(self.env)
            stack.push_async_callback(self._stop_all)
            starting = [
                self._start("gateway", "gateway"),
                self._start("recovery", "recovery"),
                *(self.start_consumer(service) for service in PLANS),
            ]
            for outcome in await asyncio.gather(*starting, return_exceptions=True):
                if outcome is not None:
                    raise outcome
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def watch(self) -> None:
        """Wait until one of its processes or servers ends by itself.

        Raises ProcessFailed, which says which one ended and how.
        """
        await asyncio.gather(
            *(server.watch() for server in self._own_servers),
            *(process.watch() for process in self._processes.values()),
        )

    async def start_consumer(self, service: str) -> None:
        """Start the consumer of a sample service, or restart it, and wait until it listens."""
        await self._start(f"consumer {service}", "consumer", "--plan", str(PLANS[service]))

    async def start_console(self) -> str:
        """Start the console, wait until it listens, and return the token of its first user."""
        self.env["BOTDEL_RECOVERY_URL"] = self.urls["recovery"]  # so that it can start sweeps
        await self._start("console", "console")
        settings = load(
            ConsoleSettings,
            console_users=self.env["BOTDEL_CONSOLE_USERS"],
            mongodb_uri=self.env["BOTDEL_MONGODB_URI"],
            GOOGLE_CLOUD_PROJECT=self.env["GOOGLE_CLOUD_PROJECT"],
        )
        return settings.console_users[0].token.get_secret_value()

    def consumer(self, service: str) -> ChildProcess:
        """Return the process last started as the consumer of a sample service."""
        return self._processes[f"consumer {service}"]

    @property
    def client_token(self) -> str:
        """The first token that the gateway accepts, as a client sends it: without its name."""
        settings = load(
            GatewaySettings,
            gateway_tokens=self.env["BOTDEL_GATEWAY_TOKENS"],
            GOOGLE_CLOUD_PROJECT=self.env["GOOGLE_CLOUD_PROJECT"],
        )
        return settings.gateway_tokens[0].token.get_secret_value()

    async def _start(self, name: str, *command: str) -> None:
        wanted = self._ports.get(name, 0)
        for port in (wanted, 0) if wanted and is_free(wanted) else (0,):
            if port != wanted:
                self._on_line(name, f"port {wanted} is taken: using a free one")
            process = ChildProcess(
                name,
                [sys.executable, "-m", "botdel.cli", *command, "--port", str(port)],
                env=self.env,
                on_line=lambda line: self._on_line(name, line),
            )
            self._processes[name] = process
            await process.start()
            try:
                self.urls[name] = await _listening(process)
            except ProcessFailed:
                if not (port and found_taken(process)):
                    raise
            else:
                return

    async def _stop_all(self) -> None:
        await asyncio.gather(*(process.stop(STOP_WITHIN) for process in self._processes.values()))

    async def _servers(self, stack: AsyncExitStack) -> dict[str, str]:
        emulator = _given_server("PUBSUB_EMULATOR_HOST")
        uri = _given_server("BOTDEL_MONGODB_URI")
        started: list[str] = []
        kept = self._storage / "pubsub"
        self.set_aside = kept if kept.exists() else None
        if not emulator:
            emulator = await self._broker(stack, kept)
            started.append(emulator)
        if not uri:
            self.is_disposable = True
            database = EmbeddedMongo(
                self._storage / "mongodb", on_line=lambda line: self._on_line("mongodb", line)
            )
            uri = (await stack.enter_async_context(database)).uri
            self._own_servers.append(database)
            started.append(uri)
        self.urls |= {"pubsub": emulator, "mongodb": uri}
        servers = {"PUBSUB_EMULATOR_HOST": emulator, "BOTDEL_MONGODB_URI": uri}
        return servers | await self._sample_servers(stack) | {LOCAL_SERVERS: " ".join(started)}

    async def _broker(self, stack: AsyncExitStack, folder: Path) -> str:
        """Start the broker, record which one it is, and return its host and port."""
        chosen = choose_broker(on_line=lambda line: self._on_line("pubsub", line), folder=folder)
        self.broker = str(chosen)
        if chosen.broker.keeps:
            self.set_aside = None
        self._own_servers.append(await stack.enter_async_context(chosen.broker))
        return chosen.broker.host

    async def _sample_servers(self, stack: AsyncExitStack) -> dict[str, str]:
        """Start the S3 server and the API that the sample services use, and return their variables.

        A real bucket or API is never used, because sample data replaces what is there.
        """
        s3 = LocalS3(on_line=lambda line: self._on_line("s3", line))
        billing = BillingApi(on_line=lambda line: self._on_line("billing api", line))
        for server in (s3, billing):
            await stack.enter_async_context(server)
            self._own_servers.append(server)
        await Files(s3.url, BUCKET).create()
        self.urls |= {"s3": s3.url, "billing api": billing.url}
        return {"BILLING_URL": billing.url, **credentials(s3.url)}

    def _credentials(self) -> dict[str, str]:
        made = {
            "GOOGLE_CLOUD_PROJECT": "botdel-local",
            "BOTDEL_GATEWAY_TOKENS": secrets.token_hex(32),
            "BOTDEL_RECOVERY_TOKEN": secrets.token_hex(32),
            "BOTDEL_CONSOLE_USERS": f"you:operator:{secrets.token_hex(32)}",
        }
        given = {name: os.environ.get(name) or value for name, value in made.items()}
        return given | {"BOTDEL_LOG_FORMAT": "json"}  # `_listening` reads it


def default_ports(services: Iterable[str] = PLANS) -> dict[str, int]:
    """Return the default port of each process; further consumers get the next numbers."""
    gateway = int(GatewaySettings.model_fields["gateway_port"].default)
    recovery = int(RecoverySettings.model_fields["recovery_port"].default)
    first = int(ConsumerSettings.model_fields["consumer_port"].default)
    numbers = (port for port in count(first) if port not in {gateway, recovery})
    consumers = {f"consumer {service}": next(numbers) for service in services}
    return {"gateway": gateway, "recovery": recovery} | consumers


def _given_server(variable: str) -> str | None:
    """Return the server that `variable` names; None if an earlier installation started it."""
    address = os.environ.get(variable)
    return None if address in os.environ.get(LOCAL_SERVERS, "").split() else address


async def _reach_pubsub(env: Mapping[str, str]) -> None:
    """Raise BusUnavailable if the emulator does not answer, and ConfigurationError if its address
    is invalid.
    """
    names = ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST")
    settings = load(PubSubSettings, **{name: env[name] for name in names})
    async with connected_bus(settings) as bus:
        await TopicProbe(bus.publisher, settings.names.topic, emulated=True)()


async def _provide(env: Mapping[str, str]) -> list[str]:
    """Create the indexes of pipeline and sample plans, and register their services, as `botdel
    topology apply` does. Returns the other services that are in use.
    """
    settings = load(
        StoreSettings,
        mongodb_uri=env["BOTDEL_MONGODB_URI"],
        mongodb_database=env.get("BOTDEL_MONGODB_DATABASE"),
    )
    async with connected_clients(settings) as clients:
        client, database = clients.get(), settings.mongodb_database
        await prepare(client[database], COLLECTIONS, build=True)
        services = MongoServiceStore(client, database)
        await services.register(PLANS, SystemClock().now())
        for plan in PLANS.values():
            for step in read_plan(plan, env).build(StepConnections(clients.get)).steps:
                if isinstance(step, Provisioned):
                    await step.provide()
        in_use = [each.name for each in await services.all() if each.retired_at is None]
        return [name for name in in_use if name not in PLANS]


async def _listening(process: ChildProcess) -> str:
    """Return the URL that the process logs once it listens."""
    line = await process.wait_for_line(lambda line: '"listening"' in line, READY_WITHIN)
    return str(json.loads(line)["url"])
