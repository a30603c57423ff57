"""A service is known by its plan alone: no code, and no contract, names one."""

import re

import pytest

from tests.support.paths import ROOT

PLANS = sorted((ROOT / "botdel" / "local" / "plans").glob("*.yaml"))
SHARED = ("console", "consumers", "deletion", "gateway", "proto", "recovery")
"""What every service uses, and what a further service changes no line of."""


def services() -> list[str]:
    return [
        name for plan in PLANS for name in re.findall(r"^service: (\S+)$", plan.read_text(), re.M)
    ]


def test_there_are_services_to_look_for() -> None:
    assert len(services()) == len(PLANS) > 1


@pytest.mark.proves("further-service")
@pytest.mark.parametrize("folder", SHARED)
def test_no_service_is_named_in_what_all_of_them_share(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".proto"}]
    assert files
    for path in files:
        text = path.read_text()
        named = [name for name in services() if re.search(rf"\b{re.escape(name)}\b", text)]
        assert not named, path
