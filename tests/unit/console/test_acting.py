"""What operators do in the console: choose, preview, say why, confirm, and see what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

from console.pages.asked import LISTED
from console.recovery import Recovery
from console.users import User
from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetterStatus, Reason
from deletion.errors import BusUnavailable, StoreUnavailable
from deletion.job import Job, Status
from deletion.ledger import Concern
from deletion.operating.bulk import CHANGED
from deletion.operating.record import (
    KEPT_FOR,
    LONGEST_REASON,
    SILENCE,
    ActionKind,
    ActionStatus,
    OperatorAction,
    Order,
    Outcome,
    Run,
    Target,
    WholeAction,
)
from deletion.sweep import PATH
from tests.support.clock import START
from tests.support.factories import (
    BOT,
    LEDGER_POLICY,
    POLICY,
    a_deletion_request,
    a_letter,
    new_job,
)
from tests.support.polling import eventually
from tests.support.visiting import (
    BROWSER,
    OPERATOR,
    OWN_PAGE,
    VIEWER,
    Console,
    Visited,
)
from tests.unit.console.paged import Page

pytestmark = pytest.mark.virtual_time

WHY = "the billing API is back"
NONE = "0" * 24
FORM = "application/x-www-form-urlencoded"


async def posted(
    visited: Visited, path: str, user: User = OPERATOR, **fields: str
) -> httpx.Response:
    """The answer to a form of the console in the browser of `user`."""
    headers = BROWSER | OWN_PAGE | visited.cookie(user) | {"Content-Type": FORM}
    return await visited.http.post(path, data=fields, headers=headers)


async def seen(visited: Visited, path: str, user: User = OPERATOR, status: int = 200) -> Page:
    answer = await visited.get(path, **visited.cookie(user))
    assert answer.status_code == status, answer.text
    return Page(answer.text)


async def previewed(visited: Visited, path: str) -> str:
    """The address of the preview that a form leads to."""
    answer = await posted(visited, path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def confirmed(visited: Visited, path: str, reason: str = WHY) -> str:
    """The address of the action that a form leads to, once it is confirmed."""
    preview = await previewed(visited, path)
    answer = await posted(visited, f"{preview}/confirm", reason=reason)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == preview.replace("previews", "actions")
    return answer.headers["location"]


async def ended(console: Console, path: str) -> WholeAction:
    """The action at `path`, once its run has ended."""
    action_id = path.rpartition("/")[2]

    def has_ended() -> bool:
        return console.actions.actions[action_id].action.status is not ActionStatus.RUNNING

    await eventually(has_ended, 60)
    console.virtual.pause(1.1)
    return console.actions.actions[action_id]


def exhausted(console: Console, count: int, **values: Any) -> list[Job]:
    jobs = [new_job(Status.EXHAUSTED, last_modified_at=START, **values) for _ in range(count)]
    console.jobs.jobs.update({job.id: job for job in jobs})
    return jobs


def statuses(console: Console, *jobs: Job) -> set[Status]:
    return {console.jobs.jobs[job.id].status for job in jobs}


@pytest.mark.proves("console-actions")
async def test_one_job_is_retried_from_its_page() -> None:
    console = Console()
    [job] = exhausted(console, 1)
    async with console.visited() as visited:
        page = await seen(visited, f"/jobs/{job.id}")
        assert page.forms == ["/logout", f"/jobs/{job.id}/retry"]
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        page = await seen(visited, preview)
        assert page.says("1 record is eligible")
        assert statuses(console, job) == {Status.EXHAUSTED}, "a preview changes nothing"
        action = await confirmed(visited, f"/jobs/{job.id}/retry")
        assert (await ended(console, action)).action.order.by == OPERATOR.name
        assert statuses(console, job) == {Status.PENDING}
        page = await seen(visited, action)
        assert page.says("retry: complete · 1 done, 0 refused of 1")
        assert page.says(WHY)
        assert page.says(f"{job.id} status exhausted, attempt 1, lastModifiedAt 2025-03-30")
        listed = await seen(visited, "/actions?kind=retry&by=otto")
        assert listed.says(f"ids {job.id} {WHY}")
        assert (await seen(visited, "/actions?by=nobody")).says("No action matches.")


@pytest.mark.proves("console-actions")
async def test_the_jobs_that_match_a_filter_are_retried_and_no_others() -> None:
    console = Console()
    wanted = exhausted(console, 15, service="media")
    other = exhausted(console, 2, service="chats")
    async with console.visited() as visited:
        page = await seen(visited, "/jobs?service=media&status=exhausted&order=oldest")
        form = "/jobs/retry?service=media&status=exhausted"
        assert form in page.forms
        whole = await ended(console, await confirmed(visited, form))
    assert (whole.action.done, whole.action.refused) == (15, 0)
    assert whole.action.order.choice == {"service": "media", "status": "exhausted"}
    assert statuses(console, *wanted) == {Status.PENDING}
    assert statuses(console, *other) == {Status.EXHAUSTED}


def silent(status: Status, seconds: float = 0, **values: Any) -> Job:
    """A job that was last heard of so long ago."""
    at = START - timedelta(seconds=seconds)
    return new_job(status, service="media", created_at=at, last_modified_at=at, **values)


LONG: Final = POLICY.stale_after.total_seconds()
LATER: Final = START + timedelta(hours=1)


@pytest.mark.proves("console-actions")
@pytest.mark.parametrize(
    ("listed", "match", "others"),
    [
        (
            "status=parked",
            silent(Status.PENDING, due=LATER),
            [silent(Status.PENDING), silent(Status.EXHAUSTED), silent(Status.IN_PROGRESS, LONG)],
        ),
        (
            "status=stale",
            silent(Status.IN_PROGRESS, LONG),
            [silent(Status.IN_PROGRESS), silent(Status.EXHAUSTED, LONG), silent(Status.FAILED)],
        ),
    ],
)
@pytest.mark.parametrize("service", ["", "&service=media"])
async def test_a_list_of_a_state_retries_the_jobs_that_are_in_it_and_no_others(
    listed: str, match: Job, others: Sequence[Job], service: str
) -> None:
    console = Console()
    console.jobs.jobs.update({job.id: job for job in (*others, match)})
    async with console.visited() as visited:
        page = await seen(visited, f"/jobs?{listed}{service}")
        [form] = [each for each in page.forms if each.startswith("/jobs/retry")]
        preview = await previewed(visited, form)
    kept = console.previews.previews[preview.rpartition("/")[2]]
    assert [target.id for target in kept.targets] == [match.id]


async def test_parked_jobs_are_retried_however_many_jobs_are_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deletion.operating.bulk.MOST_LOOKED_AT", 100)
    console = Console()
    due = [silent(Status.PENDING, seconds) for seconds in range(300)]
    parked = [silent(Status.PENDING, due=LATER + timedelta(hours=n)) for n in range(3)]
    other = replace(silent(Status.PENDING, due=LATER), service="chats")
    console.jobs.jobs.update({job.id: job for job in (*due, *parked, other)})
    async with console.visited() as visited:
        action = await confirmed(visited, "/jobs/retry?status=parked&service=media")
        whole = await ended(console, action)
    assert [target.id for target in whole.targets] == [job.id for job in parked]
    assert not console.previews.previews[whole.action.id].is_cut_off
    assert whole.action.order.choice == {"service": "media", "status": "parked"}
    assert (whole.action.done, whole.action.refused) == (3, 0)


@pytest.mark.proves("console-actions")
@pytest.mark.parametrize("concern", Concern)
async def test_a_list_of_a_concern_waives_the_requests_that_have_it_and_no_others(
    concern: Concern,
) -> None:
    console = Console()
    later = START - timedelta(minutes=1)
    placed = {
        "fine": a_deletion_request("media", now=later),
        "missing": a_deletion_request("media", now=later).checked(later, missing=["media"]),
        "near": a_deletion_request("media", now=START - LEDGER_POLICY.deadline * 0.8),
        "overdue": a_deletion_request("media", now=START - LEDGER_POLICY.deadline * 2),
    }
    await console.requests.record([*placed.values()])
    async with console.visited() as visited:
        page = await seen(visited, f"/requests?service=media&state={concern}")
        [form] = [each for each in page.forms if each.startswith("/requests/waive")]
        preview = await previewed(visited, form)
    kept = console.previews.previews[preview.rpartition("/")[2]]
    assert [target.id for target in kept.targets] == [placed[concern].id]


async def test_what_has_changed_since_the_preview_is_left_alone_and_reported() -> None:
    console = Console()
    first, second = exhausted(console, 2, service="media")
    async with console.visited() as visited:
        preview = await previewed(visited, "/jobs/retry?service=media")
        console.jobs.jobs[first.id] = replace(first, attempt=3)
        answer = await posted(visited, f"{preview}/confirm", reason=WHY)
        await ended(console, answer.headers["location"])
        page = await seen(visited, answer.headers["location"])
    assert page.says("1 done, 1 refused of 2")
    assert page.says(f"1 {CHANGED}")
    assert statuses(console, first) == {Status.EXHAUSTED}
    assert statuses(console, second) == {Status.PENDING}


async def test_a_preview_says_why_others_are_not_eligible() -> None:
    console = Console()
    exhausted(console, 1)
    done = new_job(Status.COMPLETE)
    console.jobs.jobs[done.id] = done
    async with console.visited() as visited:
        page = await seen(visited, await previewed(visited, f"/jobs/{done.id}/retry"))
        assert page.says("0 records are eligible")
        assert page.says("1 it is complete: there is nothing to retry")
        assert page.forms == ["/logout"], "there is nothing to confirm"
        assert page.says("A retry is for jobs that are exhausted, failed, stale")
        assert "/jobs" in page.links
        gone = await seen(visited, await previewed(visited, f"/jobs/{NONE}/retry"))
        assert gone.says("1 there is no record with this id")


@pytest.mark.parametrize(
    ("path", "eligible", "back"),
    [
        (
            "/jobs/retry?service=chat&status=failed",
            "A retry is for",
            "/jobs?service=chat&status=failed",
        ),
        (
            "/dead-letters/replay?service=chat",
            "A replay is for new dead letters",
            "/dead-letters?service=chat&status=new",
        ),
        (
            "/dead-letters/discard?reason=too_new",
            "Only new dead letters can be discarded",
            "/dead-letters?reason=too_new&status=new",
        ),
        (
            f"/requests/waive?service=chat&state=near&bot={BOT}",
            "Only a request that the service owes can be waived",
            f"/requests?bot={BOT}&service=chat&state=near",
        ),
    ],
)
async def test_a_preview_of_nothing_says_what_there_can_be_and_leads_back_to_the_list(
    path: str, eligible: str, back: str
) -> None:
    async with Console().visited() as visited:
        page = await seen(visited, await previewed(visited, path))
        assert page.says("0 records are eligible")
        assert page.says(eligible)
        assert back in page.links
        await seen(visited, back)


@pytest.mark.proves("console-actions")
@pytest.mark.parametrize("reason", ["", "  \n ", "x" * (LONGEST_REASON + 1)])
async def test_nothing_is_done_without_a_reason_of_the_right_length(reason: str) -> None:
    console = Console()
    [job] = exhausted(console, 1)
    async with console.visited() as visited:
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        answer = await posted(visited, f"{preview}/confirm", reason=reason)
        assert answer.status_code == 422
        assert Page(answer.text).says("reason")
        assert f"{preview}/confirm" in Page(answer.text).forms, "it can be said now"
    assert console.actions.actions == {}
    assert statuses(console, job) == {Status.EXHAUSTED}


async def test_confirming_twice_acts_once_and_the_preview_leads_to_the_action() -> None:
    console = Console()
    [job] = exhausted(console, 1)
    async with console.visited() as visited:
        action = await confirmed(visited, f"/jobs/{job.id}/retry")
        preview = action.replace("actions", "previews")
        again = await posted(visited, f"{preview}/confirm", reason="another reason")
        assert again.headers["location"] == action
        whole = await ended(console, action)
        assert whole.action.order.reason == WHY
        assert len(whole.action.runs) == 1
        answer = await visited.get(preview, **visited.cookie(OPERATOR))
        assert (answer.status_code, answer.headers["location"]) == (303, action)


SLOW = 8.0
"""Longer than a page waits for the record of an action, and shorter than the action does."""


def slowly(write: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """`write`, which takes effect after `SLOW` seconds."""

    async def slow(*args: object, **options: object) -> object:
        await asyncio.sleep(SLOW)
        return await write(*args, **options)

    return slow


@pytest.mark.proves("console-actions")
async def test_an_action_whose_record_is_slow_is_taken_on_and_runs_once_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console()
    [job] = exhausted(console, 1)
    monkeypatch.setattr(console.actions, "insert", slowly(console.actions.insert))
    async with console.visited() as visited:
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        answer = await posted(visited, f"{preview}/confirm", reason=WHY)
        action = preview.replace("previews", "actions")
        assert answer.status_code == 202, answer.text
        assert Page(answer.text).says("taken on")
        assert action in Page(answer.text).links
        assert console.actions.actions == {}
        await asyncio.sleep(SLOW)
        whole = await ended(console, action)
        assert (whole.action.status, whole.action.done) == (ActionStatus.COMPLETE, 1)
        assert statuses(console, job) == {Status.PENDING}


async def test_the_rest_of_an_action_whose_record_is_slow_is_taken_on_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console()
    await console.letters.record([a_letter(service="media", reason=Reason.TOO_NEW)])
    [letter] = console.letters.letters
    console.bus.down = True
    async with console.visited() as visited:
        action = await confirmed(visited, f"/dead-letters/{letter}/replay")
        assert (await ended(console, action)).action.status is ActionStatus.FAILED
        console.bus.down = False
        monkeypatch.setattr(console.actions, "save", slowly(console.actions.save))
        answer = await posted(visited, f"{action}/again")
        assert answer.status_code == 202, answer.text
        assert action in Page(answer.text).links
        await asyncio.sleep(SLOW)
        assert (await ended(console, action)).action.status is ActionStatus.COMPLETE


async def test_a_database_that_is_too_slow_to_read_takes_no_action_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console()
    [job] = exhausted(console, 1)
    async with console.visited() as visited:
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        monkeypatch.setattr(console.actions, "get", slowly(console.actions.get))
        answer = await posted(visited, f"{preview}/confirm", reason=WHY)
        assert answer.status_code == 503
        await asyncio.sleep(60)
    assert console.actions.actions == {}


async def test_a_preview_that_is_too_old_is_refused() -> None:
    console = Console()
    [job] = exhausted(console, 1)
    async with console.visited() as visited:
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        console.virtual.pause(KEPT_FOR.total_seconds() + 1)
        answer = await posted(visited, f"{preview}/confirm", reason=WHY)
        assert answer.status_code == 409
        assert Page(answer.text).says("preview it again")
        assert (await posted(visited, f"/previews/{NONE}/confirm", reason=WHY)).status_code == 409
        await seen(visited, f"/previews/{NONE}", status=404)
    assert console.actions.actions == {}


@pytest.mark.proves("console-actions")
async def test_a_viewer_sees_the_audit_and_no_form_and_is_refused() -> None:
    console = Console()
    done, job = exhausted(console, 2)
    letter, request = a_letter(service="media"), a_deletion_request("media")
    await console.letters.record([letter])
    await console.requests.record([request])
    console.recovery = Recovery("http://recovery", SecretStr("x" * 16))
    async with console.visited() as visited:
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        action = await confirmed(visited, f"/jobs/{done.id}/retry")
        whole = await ended(console, action)
        failed = replace(whole.action, status=ActionStatus.FAILED, failure="it stopped")
        console.actions.actions[whole.action.id] = replace(whole, action=failed)
        pages = [
            "/jobs",
            f"/jobs/{job.id}",
            "/dead-letters",
            f"/dead-letters/{letter.id}",
            "/requests?service=media",
            f"/requests/{request.id}",
            "/sweeps",
            preview,
            action,
            "/actions",
        ]
        for path in pages:
            shown = await seen(visited, path, OPERATOR)
            assert [form for form in shown.forms if form != "/logout"] or path == "/actions", path
            for form in set(shown.forms) - {"/logout"}:
                assert (await posted(visited, form, VIEWER, reason=WHY)).status_code == 403, form
            assert (await seen(visited, path, VIEWER)).forms == ["/logout"], path
    assert len(console.actions.actions) == 1


@pytest.mark.proves("console-actions")
async def test_dead_letters_are_replayed_and_discarded() -> None:
    console = Console()
    letters = [a_letter(service="media", reason=Reason.TOO_NEW) for _ in range(3)]
    await console.letters.record(letters)
    old = replace(a_letter(service="media"), status=DeadLetterStatus.DISCARDED)
    await console.letters.record([old])
    one, *_ = ids = [*console.letters.letters][:3]
    async with console.visited() as visited:
        page = await seen(visited, "/dead-letters?service=media")
        assert "/dead-letters/replay?service=media" in page.forms
        discarded = await confirmed(visited, f"/dead-letters/{one}/discard")
        assert (await ended(console, discarded)).action.done == 1
        assert console.letters.letters[one].status is DeadLetterStatus.DISCARDED
        whole = await ended(console, await confirmed(visited, "/dead-letters/replay?service=media"))
        assert {target.id for target in whole.targets} == {*ids} - {one}
        kept = console.previews.previews[whole.action.id]
        assert kept.why_not == {}, "what was dealt with is not even looked at"
        sent = {message.attributes[RECORD_ATTRIBUTE] for message in console.bus.published}
        assert sent == {*ids} - {one}
        forced = await seen(visited, f"/dead-letters/{one}")
        assert f"/dead-letters/{one}/replay?force=yes" in forced.forms


async def test_a_replay_without_pubsub_says_so() -> None:
    console = Console()
    await console.letters.record([a_letter(service="media", reason=Reason.TOO_NEW)])
    [letter] = console.letters.letters
    console.bus.down = True
    async with console.visited() as visited:
        action = await confirmed(visited, f"/dead-letters/{letter}/replay")
        await ended(console, action)
        page = await seen(visited, action)
        assert page.says("The action stopped: the topic is down")
        assert "/actions" + action.removeprefix("/actions") + "/again" in page.forms
        console.bus.down = False
        again = await posted(visited, f"{action}/again")
        assert again.headers["location"] == action
        assert (await ended(console, action)).action.done == 1
        page = await seen(visited, action)
        assert page.says("continued")
        assert (await posted(visited, f"{action}/again")).status_code == 409
        assert (await posted(visited, f"/actions/{NONE}/again")).status_code == 409


@pytest.mark.proves("console-actions")
async def test_a_service_is_waived_in_one_request_and_in_those_that_match() -> None:
    console = Console()
    one, two, three = (a_deletion_request("media", "chats", bot_id=BOT) for _ in range(3))
    await console.requests.record([one, two, three])
    async with console.visited() as visited:
        page = await seen(visited, f"/requests/{one.id}")
        assert f"/requests/{one.id}/waive?service=media" in page.forms
        await ended(console, await confirmed(visited, f"/requests/{one.id}/waive?service=media"))
        listed = await seen(visited, f"/requests?service=chats&bot={BOT}")
        form = f"/requests/waive?service=chats&bot={BOT}"
        assert form in listed.forms
        whole = await ended(console, await confirmed(visited, form))
        assert whole.action.done == 3
        assert (await posted(visited, "/requests/waive")).status_code == 422
        assert not any("waive" in form for form in (await seen(visited, "/requests")).forms)
    found = {each.id: each for each in await console.requests.get([one.id, two.id, three.id])}
    assert [getattr(found[each.id], "owed", None) for each in (one, two)] == [(), ("media",)]


def answering(status: int, body: object) -> Recovery:
    """Recovery that answers so, and is asked as its path and token say."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", PATH)
        assert request.headers["authorization"] == "Bearer the-token-of-recovery"
        return httpx.Response(status, json=body)

    token = SecretStr("the-token-of-recovery")
    return Recovery("http://recovery:8082", token, httpx.MockTransport(answer))


async def test_a_sweep_is_started_on_record() -> None:
    console = Console()
    console.recovery = answering(202, {"sweep_id": "a" * 24, "status": "running"})
    async with console.visited() as visited:
        assert "/sweeps" in (await seen(visited, "/sweeps")).forms
        assert (await posted(visited, "/sweeps", reason="")).status_code == 422
        answer = await posted(visited, "/sweeps", reason=WHY)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sweeps")
        [whole] = console.actions.actions.values()
        assert whole.outcomes == (Outcome("a" * 24),)
        order = whole.action.order
        assert (order.kind, order.by, order.reason) == (ActionKind.SWEEP, "otto", WHY)
        assert (await seen(visited, f"/actions/{whole.action.id}")).says("a" * 24)


@pytest.mark.parametrize(
    "recovery",
    [answering(401, {}), answering(503, {}), answering(202, {}), answering(202, [])],
    ids=["refused", "away", "no sweep", "no object"],
)
async def test_recovery_that_starts_no_sweep_is_a_503_and_on_record(recovery: Recovery) -> None:
    console = Console()
    console.recovery = recovery
    async with console.visited() as visited:
        answer = await posted(visited, "/sweeps", reason=WHY)
        assert answer.status_code == 503
        assert "the-token" not in answer.text
    [whole] = console.actions.actions.values()
    assert whole.action.status is ActionStatus.FAILED


async def test_recovery_that_cannot_be_reached_shows_no_token() -> None:
    def fails(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"failed {request.headers}")

    console = Console()
    token = SecretStr("the-token-of-recovery")
    console.recovery = Recovery("http://recovery", token, httpx.MockTransport(fails))
    async with console.visited() as visited:
        answer = await posted(visited, "/sweeps", reason=WHY)
        assert answer.status_code == 503
        assert Page(answer.text).says("recovery does not answer (ConnectError)")
        assert "the-token" not in answer.text + str(console.actions.actions)


async def test_without_recovery_the_page_says_why_there_is_no_form() -> None:
    async with Console().visited() as visited:
        page = await seen(visited, "/sweeps")
        assert page.says("BOTDEL_RECOVERY_URL")
        assert "/sweeps" not in page.forms
        assert (await posted(visited, "/sweeps", reason=WHY)).status_code == 409


@pytest.mark.parametrize(
    "path",
    ["/jobs/retry?status=complete", "/jobs/retry?bot=x", "/dead-letters/replay?reason=x"],
)
async def test_a_filter_that_makes_no_sense_is_refused(path: str) -> None:
    async with Console().visited() as visited:
        assert (await posted(visited, path)).status_code == 422


@pytest.mark.parametrize("path", ["/jobs/x/retry", "/previews/x/confirm", "/requests/x/waive"])
async def test_an_id_that_is_none_is_not_found(path: str) -> None:
    async with Console().visited() as visited:
        assert (await posted(visited, path, reason=WHY)).status_code == 404


async def test_a_database_that_is_away_is_a_503_and_nothing_is_done() -> None:
    console = Console()
    [job] = exhausted(console, 1)

    async def away(*_: object, **__: object) -> Any:
        raise StoreUnavailable("MongoDB has no primary")

    async with console.visited() as visited:
        preview = await previewed(visited, f"/jobs/{job.id}/retry")
        console.actions.insert = away  # type: ignore[method-assign]
        answer = await posted(visited, f"{preview}/confirm", reason=WHY)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert statuses(console, job) == {Status.EXHAUSTED}


async def test_pubsub_that_is_away_is_a_503_of_the_preview() -> None:
    console = Console()
    await console.letters.record([a_letter(service="media", reason=Reason.TOO_NEW)])

    async def away(_: str) -> None:
        raise BusUnavailable("Pub/Sub does not answer")

    console.check_attached = away
    async with console.visited() as visited:
        answer = await posted(visited, "/dead-letters/replay")
        assert answer.status_code == 503
        assert Page(answer.text).says("Pub/Sub does not answer")


def an_action(console: Console, **values: Any) -> OperatorAction:
    """An action that a command began, and that is silent."""
    order = Order(ActionKind.RETRY, "ada", WHY, {"service": "media"})
    run = Run("ada", START - SILENCE - timedelta(seconds=1), "claim")
    started = OperatorAction.started(console.actions.new_id(), order, run)
    return replace(started, **values)


async def test_an_action_shows_its_records_page_by_page() -> None:
    console = Console()
    targets = tuple(Target(f"{n:024x}", {"status": "failed", "at": START}) for n in range(120))
    outcomes = (Outcome(targets[0].id), Outcome(targets[1].id, "it moved"))
    action = an_action(console, total=120, begun=10, done=1, refused=1)
    console.actions.actions[action.id] = WholeAction(action, targets, outcomes)
    async with console.visited() as visited:
        page = await seen(visited, f"/actions/{action.id}")
        assert page.says("retry: silent · 1 done, 1 refused of 120")
        assert page.says(f"{targets[0].id} status failed, at 2025-03-30T01:59:59.250Z done")
        assert page.says("refused it moved")
        assert page.says(f"{targets[9].id} status failed, at 2025-03-30T01:59:59.250Z begun")
        assert page.says(f"{targets[10].id} status failed, at 2025-03-30T01:59:59.250Z waiting")
        assert not page.says(targets[LISTED].id)
        assert page.forms == ["/logout"], "only the command can go on"
        beyond = await seen(visited, f"/actions/{action.id}?from={LISTED}")
        assert beyond.says(targets[LISTED].id)
        assert f"/jobs/{targets[LISTED].id}" in beyond.links
        assert f"/actions/{action.id}?from={2 * LISTED}" in beyond.links
        await seen(visited, f"/actions/{action.id}?from=-1", status=422)
        await seen(visited, f"/actions/{NONE[:-1]}9", status=404)


async def test_what_operators_do_and_refused_log_ins_are_counted() -> None:
    console = Console()
    [job] = exhausted(console, 1)
    async with console.visited() as visited:
        await ended(console, await confirmed(visited, f"/jobs/{job.id}/retry"))
        wrong = {"token": "not-a-token-of-anybody"}
        await visited.http.post("/login", data=wrong, headers=BROWSER | OWN_PAGE)
        await posted(visited, "/jobs/retry", VIEWER)
        text = (await visited.http.get("/metrics")).text
    assert 'botdel_console_actions_total{kind="retry",outcome="complete"} 1.0' in text
    assert 'botdel_console_actions_total{kind="waive",outcome="failed"} 0.0' in text
    assert "botdel_console_refused_logins_total 1.0" in text
    assert 'botdel_console_requests_total{outcome="refused"} 2.0' in text
    assert 'botdel_console_requests_total{outcome="answered"} 2.0' in text
