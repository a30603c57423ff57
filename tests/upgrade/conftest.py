"""The code of the last release, unpacked once, and an installation for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.pipeline import Location
from tests.upgrade.forked_release import forking
from tests.upgrade.releases import Code, Release, releases
from tests.upgrade.rolling import Installation, installed


@pytest.fixture(scope="session")
def last_release() -> Release:
    """The release that an upgrade begins with."""
    return releases()[-1]


@pytest.fixture(scope="session")
def old(last_release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Code]:
    """Its code, ready to run."""
    code = last_release.unpack(tmp_path_factory.mktemp("released"))
    with forking(code) as forked:
        yield forked


@pytest.fixture
async def installation(location: Location) -> AsyncIterator[Installation]:
    """Two services, of which no process runs yet."""
    async with installed(location) as installation:
        yield installation
