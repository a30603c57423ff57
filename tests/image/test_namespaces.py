"""Where no program can be started in an image, its tests are skipped; `make image-test` fails."""

import pytest

from tests.image.namespaces import NEEDED, require_namespaces


@pytest.fixture(autouse=True, params=["no unshare", "not root"])
def nothing_to_start_it_with(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.param == "not root":
        monkeypatch.setattr("os.geteuid", lambda: 1000)
    else:
        monkeypatch.setenv("PATH", "/nowhere")


def test_the_suite_goes_on_without() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"unshare --mount"):
        require_namespaces(is_asked_for=False)


def test_whoever_asks_for_it_does_not_see_it_pass() -> None:
    with pytest.raises(pytest.fail.Exception) as failed:
        require_namespaces(is_asked_for=True)
    assert failed.value.msg == f"the image was not tested: {NEEDED}"
