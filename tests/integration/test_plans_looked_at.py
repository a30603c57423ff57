"""A process that only looks at a plan closes what its looks have opened."""

from pathlib import Path

import pytest

from botdel.doctor.site import connected_store
from botdel.plan import preview
from deletion.adapters.http_api import http
from deletion.adapters.plan_file import PlanFile, read_plan
from deletion.plan import Previewed
from tests.support.api import Api
from tests.support.fakes import BOT
from tests.support.polling import eventually


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> http.Http:
    """What all of them share, so that nothing is closed by the garbage collector."""
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://127.0.0.1:1")
    made = http.alone()
    monkeypatch.setattr(http, "alone", lambda: made)
    return made


def plan_over(api: Api, folder: Path) -> PlanFile:
    step = f"{{name: account, http: {{url: '{api.url}', verify: {{url: '{api.url}'}}}}}}"
    path = folder / "plan.yaml"
    path.write_text(f"service: billing\nsteps:\n  - {step}\n")
    return read_plan(path, {})


@pytest.mark.usefixtures("kept")
async def test_a_preview_leaves_no_connection_open(tmp_path: Path) -> None:
    async with Api(BOT) as api:
        await preview(plan_over(api, tmp_path), BOT, as_json=True)
        assert len(api.sent("GET")) == 1
        await eventually(lambda: not api.connected)


@pytest.mark.usefixtures("kept")
async def test_doctor_leaves_no_connection_open(tmp_path: Path) -> None:
    async with Api(BOT) as api:
        async with connected_store([plan_over(api, tmp_path)]) as store:
            [step] = store.plans[0].steps
            assert isinstance(step, Previewed)
            assert await step.faults() == []
            assert api.connected == 1
        await eventually(lambda: not api.connected)
