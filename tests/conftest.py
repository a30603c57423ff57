"""The broker and the database that tests share, and the names that keep tests apart.

Both are started once for each pytest worker and run for the whole session; a test that stops or
kills one starts its own instead. The header of a run names the broker. If the database is not
installed, the tests that need it fail, and say what to install.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from botdel.local.broker_choice import choose_broker
from botdel.local.database import EmbeddedMongo
from botdel.local.server import LocalBroker
from deletion.adapters.mongo.connection import Client, connect
from deletion.errors import ConfigurationError
from tests.support import brokers
from tests.support.clock import VirtualLoop
from tests.support.paths import TESTS
from tests.support.pipeline import Location, Pipeline, pipeline_at, with_topology


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make check` and `make image-test`."""
    parser.addoption(
        brokers.OPTION,
        action="store_true",
        help="run acceptance, the fault suite and the tests of brokers over each that is installed",
    )
    parser.addoption(
        "--with-downloads",
        action="store_true",
        help="download what the image installs, instead of copying it from this environment",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Which brokers the tests start, and why. Raises `UsageError` if the chosen one is missing."""
    try:
        return brokers.described(each=config.getoption(brokers.OPTION))
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


LOOKED_FOR_GARBAGE: Final = (50_000, 20, 20)
"""In place of Python's 700, 10 and 10."""


def pytest_configure(config: pytest.Config) -> None:
    """Add the mark of tests that run in virtual time. Raises `UsageError` for a path that is not
    there: pytest alone names it too, but not under several workers.
    """
    for path in (arg.partition("::")[0] for arg in config.args):
        if not (config.option.pyargs or (config.invocation_params.dir / path).exists()):
            raise pytest.UsageError(f"there is no {path}")
    gc.disable()  # until all tests are collected: what is made until then stays
    mark = "virtual_time: in a loop of its own, whose time is virtual (tests/support/clock.py)"
    config.addinivalue_line("markers", mark)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """See there for which brokers a test runs over."""
    brokers.parametrize(metafunc)


LONGEST_FIRST = (
    "acceptance",
    "upgrade",
    "faults",
    "integration",
    "image",
    "browser",
    "simulation",
    "conformance",
)
"""Folders whose files take longest; so that none of them is begun when all others are over."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, which needs `--no-loadscope-reorder` to have an effect; give
    tests in virtual time a loop of their own.
    """

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)
    for item in items:
        if item.get_closest_marker("virtual_time") and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="function"), append=False)


@pytest.fixture(name="_function_scoped_runner")
def virtual_runner() -> Iterator[asyncio.Runner]:
    """Runs the tests with the mark `virtual_time`, and fixtures with the same `loop_scope`.

    It takes the place of pytest-asyncio's own. The hook for loop factories would not do: it makes
    every async test parametrized, and each change from one factory to another ends the loop of the
    session, and with it the broker and the database.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.fixture(scope="session")
async def broker() -> AsyncIterator[LocalBroker]:
    """The broker on this machine; `broker.host` is a value for PUBSUB_EMULATOR_HOST."""
    async with choose_broker().broker as broker:
        yield broker


@pytest.fixture(scope="session")
async def mongo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedMongo]:
    """The embedded MongoDB; `mongo.uri` is a value for BOTDEL_MONGODB_URI."""
    async with EmbeddedMongo(tmp_path_factory.mktemp("mongodb")) as mongo:
        yield mongo


@pytest.fixture
def project() -> str:
    """A project id for one test only, so that it sees no other test's topics."""
    return f"test-{uuid4().hex[:16]}"


@pytest.fixture
def database_name() -> str:
    """The name of an empty database for one test only; it is removed with the server's folder."""
    return f"test_{uuid4().hex[:16]}"


@pytest.fixture
async def client(mongo: EmbeddedMongo) -> AsyncIterator[Client]:
    """The product's client, connected to `mongo`."""
    client = connect(mongo.uri)
    yield client
    client.close()


@pytest.fixture
def location(
    broker: LocalBroker, mongo: EmbeddedMongo, project: str, database_name: str, tmp_path: Path
) -> Location:
    """The servers, and a project, a database and a folder for one test only."""
    return Location(broker.host, mongo.uri, project, database_name, tmp_path)


@pytest.fixture
async def pipeline(location: Location) -> AsyncIterator[Pipeline]:
    """A service with data and its topology in place, before any process starts."""
    async with pipeline_at(location) as pipeline, with_topology(pipeline):
        yield pipeline


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from walking all tests again and again, and let it look less
    often: workers have memory to spare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*LOOKED_FOR_GARBAGE)
    gc.enable()
