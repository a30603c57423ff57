"""What `botdel plan` says of steps that it cannot look at; and what looks have opened is closed."""

import asyncio
import json
from pathlib import Path

import pytest

from botdel import plan as plan_command
from botdel.doctor import findings
from botdel.doctor.site import connected_store
from botdel.plan import check, preview
from deletion.adapters.http_api import shared as http
from deletion.adapters.plan_file import PlanFile, read_plan
from deletion.plan import Previewed
from tests.support.api import Api, Reply
from tests.support.factories import BOT
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
        async with connected_store() as store:
            [step] = plan_over(api, tmp_path).build(store.connections).steps
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
    assert seen["failures"] == {"step-3": "GET 127.0.0.1:1 failed (ConnectError)"}
    shown = capsys.readouterr().out
    assert "not known: this step cannot be counted" in shown
    assert "not known: GET 127.0.0.1:1 failed (ConnectError)" in shown


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


@pytest.mark.usefixtures("kept")
async def test_nothing_is_said_to_have_been_sampled_where_only_a_read_back_was_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Api(behave=lambda _call: Reply(410)) as api:
        assert await check(plan_over(api, tmp_path), as_json=True) == 0
        found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
        data = found["data of step billing/step-1"]
        assert (data["status"], data["detail"]) == ("ok", "its read-back answers as the plan says")


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("start", "code", "status"), [(False, 1, "failed"), (True, 0, "warning")])
async def test_an_api_that_does_not_answer_keeps_no_consumer_from_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], start: bool, code: int, status: str
) -> None:
    async with Api(BOT) as api:
        plan = plan_over(api, tmp_path, "http://127.0.0.1:1/{bot_id}")
        assert await check(plan, as_json=True, start=start) == code
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    data = found["data of step billing/step-1"]
    assert (data["status"], data["detail"]) == (status, "GET 127.0.0.1:1 failed (ConnectError)")
    assert data["remedy"], "a warning says what to do as well"


@pytest.mark.timeout(60)
async def test_a_start_waits_for_no_step_that_hangs_but_for_its_index_and_its_rights(
    own_steps: PlanFile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(plan_command, "START_SECONDS", 0.07)
    assert await asyncio.wait_for(check(own_steps, as_json=True, start=True), 30) == 1
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    data = found["data of step own-steps/hanging"]
    assert (data["status"], data["detail"]) == ("warning", "no answer within 0.07 s")
    for kind in ("rights of ", ""):
        assert found[f"{kind}step own-steps/hanging"]["status"] == "failed"


OWN = """
import asyncio


class Away:
    def __init__(self, name: str) -> None:
        self.name = name

    async def delete(self, bot_id, cursor):
        raise AssertionError("nothing is deleted")
        yield

    async def is_empty(self, bot_id):
        return True

    async def count(self, bot_id):
        raise RuntimeError("boom")

    async def faults(self):
        raise RuntimeError("boom")

    async def forbidden(self):
        raise RuntimeError("boom")

    async def missing(self):
        raise RuntimeError("boom")

    async def provide(self):
        raise AssertionError("nothing is created")


class Hanging(Away):
    async def count(self, bot_id):
        await asyncio.Event().wait()

    faults = forbidden = missing = lambda self: self.count("")
"""


@pytest.fixture
def own_steps(kept: http.Http, tmp_path: Path) -> PlanFile:
    """One that raises, one that hangs, and one that is well."""
    assert kept
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    path = tmp_path / "own.yaml"
    path.write_text(
        "service: own-steps\nsteps:\n"
        f"  - {{name: away, python: '{name}:Away'}}\n"
        f"  - {{name: hanging, python: '{name}:Hanging'}}\n"
        "  - {name: other, python: 'tests.support.sample_steps:Pause'}\n"
    )
    return read_plan(path, {})


@pytest.mark.proves("broken-step-hides-nothing")
@pytest.mark.timeout(60)
async def test_a_step_of_a_team_that_raises_or_hangs_hides_no_other(
    own_steps: PlanFile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "LOOK_SECONDS", 0.05)
    assert await asyncio.wait_for(check(own_steps, as_json=True), 30) == 1
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    for kind in ("data of ", "rights of ", ""):
        away, hanging = (found[f"{kind}step own-steps/{name}"] for name in ("away", "hanging"))
        assert (away["status"], away["detail"]) == ("failed", "boom (RuntimeError)")
        assert (hanging["status"], hanging["detail"]) == ("failed", "no answer within 0.05 s")
        assert found[f"{kind}step own-steps/other"]["status"] in {"ok", "skipped"}


@pytest.mark.timeout(60)
async def test_a_step_of_a_team_that_cannot_be_counted_is_not_known(
    own_steps: PlanFile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_command, "COUNT_SECONDS", 0.05)
    assert await asyncio.wait_for(preview(own_steps, BOT, as_json=True), 30) == 1
    seen = json.loads(capsys.readouterr().out)
    assert seen["steps"] == {"away": None, "hanging": None, "other": None}
    assert seen["failures"] == {
        "away": "boom (RuntimeError)",
        "hanging": "no answer within 0.05 s",
    }


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("status", "expected"), [(404, "warning"), (410, "ok")])
async def test_a_step_and_a_compensation_whose_path_may_be_wrong_are_not_called_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, expected: str
) -> None:
    async with Api(behave=lambda _: Reply(status)) as api:
        call = f"{{http: {{url: '{api.url}', verify: {{url: '{api.url}'}}}}}}"
        undo = call.replace("url:", "method: POST, url:", 1)
        path = tmp_path / "plan.yaml"
        path.write_text(
            "service: billing\nsteps:\n"
            f"  - {{name: pause, {call[1:-1]}, compensation: {undo}}}\n"
            f"  - {{name: account, point_of_no_return: true, {call[1:-1]}}}\n"
        )
        assert await check(read_plan(path, {}), as_json=True) == 0
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    looked_at = ("data of step billing/pause", "compensation of step billing/pause")
    for each in (found[name] for name in (*looked_at, "data of step billing/account")):
        assert each["status"] == expected
        assert ("answered 404, as a wrong path would" in each["detail"]) is (status == 404)
        assert ("`gone: [410]`" in each["remedy"]) is (status == 404)
