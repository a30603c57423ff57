"""The image, built once."""

import pytest

from tests.image.build import Image, build


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image that deploy/Dockerfile describes."""
    return build(
        tmp_path_factory.mktemp("image"), downloads=request.config.getoption("--with-downloads")
    )
