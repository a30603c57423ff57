"""The code of the last release, unpacked once, and a database for each test."""

import pytest

from tests.upgrade.releases import Code, Release, releases


@pytest.fixture(scope="session")
def last_release() -> Release:
    """The release that an upgrade begins with."""
    return releases()[-1]


@pytest.fixture(scope="session")
def old(last_release: Release, tmp_path_factory: pytest.TempPathFactory) -> Code:
    """Its code, ready to run."""
    return last_release.unpack(tmp_path_factory.mktemp("released"))
