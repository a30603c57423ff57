"""What `botdel plan` says of steps that it cannot look at; and what looks have opened is closed."""

import json
from pathlib import Path

import pytest

from botdel.doctor.site import connected_store
from botdel.plan import check, preview
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


def plan_over(api: Api, folder: Path, *verified: str) -> PlanFile:
    """One step for each URL of `verified`; \"\" for one without `verify`."""
    path = folder / "plan.yaml"
    path.write_text("service: billing\nsteps:\n")
    with path.open("a") as file:
        for number, url in enumerate(verified or (api.url,), 1):
            verify = f", verify: {{url: '{url}'}}" if url else ""
            file.write(f"  - {{name: step-{number}, http: {{url: '{api.url}'{verify}}}}}\n")
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


@pytest.mark.usefixtures("kept")
async def test_a_preview_has_a_row_for_each_step_and_one_that_fails_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Api(BOT) as api:
        plan = plan_over(api, tmp_path, api.url, "", "http://127.0.0.1:1/{bot_id}", api.url)
        assert await preview(plan, BOT, as_json=True) == 1
        seen = json.loads(capsys.readouterr().out)
        assert await preview(plan, BOT, as_json=False) == 1
    assert seen["steps"] == {"step-1": 1, "step-2": None, "step-3": None, "step-4": 1}
    assert seen["failures"] == {"step-3": "GET 127.0.0.1:1: ConnectError"}
    shown = capsys.readouterr().out
    assert "not known: this step cannot be counted" in shown
    assert "not known: GET 127.0.0.1:1: ConnectError" in shown


@pytest.mark.usefixtures("kept")
async def test_what_was_not_looked_at_is_not_called_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Api(BOT) as api:
        assert await check(plan_over(api, tmp_path, ""), as_json=True) == 0
        found = {each["check"]: each["status"] for each in json.loads(capsys.readouterr().out)}
        assert found["data of step billing/step-1"] == "skipped"
        assert found["rights of step billing/step-1"] == "skipped"
        assert await preview(plan_over(api, tmp_path, ""), BOT, as_json=True) == 0
