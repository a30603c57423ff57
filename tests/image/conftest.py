"""The image, built once."""

from pathlib import Path

import pytest

from tests.image.build import Image, build


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image that deploy/Dockerfile describes."""
    folder: Path = tmp_path_factory.mktemp("image")
    folder.parent.parent.chmod(0o755)  # pytest's folders are for their owner only
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    return build(folder, downloads=request.config.getoption("--with-downloads"))
