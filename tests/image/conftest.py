"""The image, built once."""

import pytest

from tests.image.build import Image, build
from tests.image.namespaces import require_namespaces


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image that deploy/Dockerfile describes."""
    downloads = request.config.getoption("--with-downloads")
    require_namespaces(is_asked_for=downloads)
    return build(tmp_path_factory.mktemp("image"), downloads=downloads)
