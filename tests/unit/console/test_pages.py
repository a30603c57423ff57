"""What the pages show, and that text of others is only text."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from console.overview import HOUR
from console.pages.asked import LISTED
from console.pages.charts import BARS, ticks
from console.pages.render import Renderer
from console.pages.words import SHAPES, SHOWN_AS, badge, commands, date
from deletion.breaker import Breaker
from deletion.clock import rfc3339
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import StoreUnavailable
from deletion.events import encode
from deletion.job import (
    STALE,
    Failure,
    PastAttempt,
    Status,
    StepProgress,
    StepStatus,
    Throttled,
)
from deletion.operating.record import (
    ActionKind,
    ActionStatus,
    OperatorAction,
    Order,
    Outcome,
    Preview,
    Run,
    Target,
    WholeAction,
)
from deletion.ports import Unfinished
from deletion.request import RequestState
from deletion.sweep import Sweep
from tests.schema.samples import SAMPLES
from tests.support.clock import START
from tests.support.factories import (
    BOT,
    LEDGER_POLICY,
    POLICY,
    a_deletion_request,
    a_letter,
    new_job,
)
from tests.support.memory_console import MemoryDeletionJobs
from tests.support.visiting import Console, MemoryCensus, Visited, visiting
from tests.unit.console.paged import Page

pytestmark = pytest.mark.virtual_time

HOSTILE = (
    "</td></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}\x1b[2J\u202e"
)
"""Text that attacks a page."""
SHOWN = (
    r"</td></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}\x1b[2J\u202e"
)
SHOWN = SHOWN.replace('\\"', '"')


async def page_of(visited: Visited, path: str, status: int = 200) -> Page:
    answer = await visited.get(path)
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def letter(**values: Any) -> Any:
    return a_letter(**values)


async def test_an_empty_installation_has_a_calm_overview() -> None:
    async with Console().visited() as visited:
        page = await page_of(visited, "/")
        assert page.says("No job is unfinished.")
        assert page.says("New dead letters There are none.")
        assert page.says("Open breakers There are none.")
        assert page.says("0 jobs completed in the last 24 hours")


async def test_the_overview_shows_what_waits_and_what_is_wrong() -> None:
    console = Console()
    old, young = START - timedelta(days=3), START - timedelta(minutes=5)
    for job in (
        new_job(Status.PENDING, service="media", created_at=old),
        new_job(Status.FAILED, service="media", created_at=young),
        new_job(Status.FAILED, service="chats", created_at=young),
        new_job(Status.COMPLETE, last_modified_at=START - HOUR),
        new_job(Status.COMPLETE, last_modified_at=START - 30 * HOUR),
    ):
        console.jobs.jobs[job.id] = job
    await console.letters.record([a_letter(service="media", reason=Reason.TOO_NEW)])
    console.breakers.breakers["api.example"] = Breaker(
        "api.example", "s", BOT, START, "503", 1, START, START + HOUR
    )
    late = replace(a_deletion_request("media"), deadline=START - HOUR)
    await console.requests.record([late, a_deletion_request("media")])
    async with console.visited() as visited:
        page = await page_of(visited, "/")
    assert page.says("1 jobs completed in the last 24 hours")
    assert page.says("media 2025-03-27 01:59:59 1 0 1 0")
    assert page.words.index("media") < page.words.index("chats"), "the oldest first"
    assert page.says("media too new 1")
    assert page.says("api.example")
    assert page.says("1 past their deadline")
    assert "/jobs?service=media&status=failed" in page.links


async def test_what_is_slow_to_count_does_not_hold_up_the_overview() -> None:
    console = Console()
    job = new_job(Status.PENDING, service="media")
    console.jobs.jobs[job.id] = job

    class Slow(MemoryCensus):
        async def unfinished(self) -> Sequence[Unfinished]:
            await asyncio.sleep(20)
            return await super().unfinished()

    stores = replace(console.stores(), census=Slow(console.jobs))
    render = Renderer(console.clock)
    pages = console.routers_over(stores, render)
    async with visiting(pages, clock=console.virtual, render=render) as visited:
        assert (await page_of(visited, "/")).says("There are many; they are still being counted.")
        await console.clock.sleep(30)
        assert (await page_of(visited, "/")).says("media")


async def test_a_place_that_is_slow_to_count_is_left_out() -> None:
    console = Console()
    job = new_job(Status.PENDING)
    console.jobs.jobs[job.id] = job

    class Slow(MemoryDeletionJobs):
        async def count_due(self, queue: str, before: datetime, limit: int) -> int:
            await asyncio.sleep(20)
            return 0

    stores = replace(console.stores(), deletion_jobs=Slow(console.jobs))
    render = Renderer(console.clock)
    pages = console.routers_over(stores, render)
    async with visiting(pages, clock=console.virtual, render=render) as visited:
        page = await page_of(visited, f"/jobs/{job.id}")
        assert page.says("Next: any worker")
        assert not page.says("due earlier")


async def test_the_overview_is_read_once_a_second_however_many_ask() -> None:
    console, reads = Console(), 0
    whole = console.requests.census

    async def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return await whole(*args)

    console.requests.census = counted  # type: ignore[assignment]
    async with console.visited() as visited:
        for _ in range(5):
            await page_of(visited, "/")
        assert reads == 1
        console.virtual.pause(1.1)
        await page_of(visited, "/")
        assert reads == 2


async def test_a_part_that_has_not_changed_is_a_304_and_one_that_has_is_new() -> None:
    console = Console()
    async with console.visited() as visited:
        whole = await visited.get("/jobs?status=failed")
        assert 'data-hx-get="/jobs?status=failed&amp;part=1"' in whole.text
        part = await visited.get("/jobs?status=failed&part=1", HX_Request="true")
        assert "<html" not in part.text
        assert part.headers["cache-control"] == "private, no-cache"
        tagged = {"HX_Request": "true", "If_None_Match": part.headers["etag"]}
        again = await visited.get("/jobs?status=failed&part=1", **tagged)
        assert (again.status_code, again.text) == (304, "")
        job = new_job(Status.FAILED)
        console.jobs.jobs[job.id] = job
        console.virtual.pause(1.1)
        changed = await visited.get("/jobs?status=failed&part=1", **tagged)
        assert changed.status_code == 200
        assert job.id in changed.text
        asked_by_a_person = await visited.get("/jobs?status=failed&part=1")
        assert "<html" in asked_by_a_person.text


async def test_jobs_are_filtered_and_paged_by_links_that_keep_the_filter() -> None:
    console = Console()
    made = [
        new_job(Status.FAILED, service="media", created_at=START - timedelta(seconds=n))
        for n in range(LISTED + 5)
    ]
    other = new_job(Status.PENDING, service="chats")
    console.jobs.jobs.update({job.id: job for job in (*made, other)})
    async with console.visited() as visited:
        path: str | None = "/jobs?service=media&status=failed&order=oldest"
        seen: list[str] = []
        while path:
            page = await page_of(visited, path)
            seen += [link[6:] for link in page.links if link.startswith("/jobs/")]
            following = [link for link in page.links if "beyond=" in link]
            assert all("service=media&status=failed&order=oldest" in link for link in following)
            path = following[0] if following and len(seen) < len(made) else None
        assert seen == [job.id for job in made[::-1]]
        assert (await page_of(visited, "/jobs?service=none-has-this")).says("No job matches.")


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?status=wrong",
        "/jobs?bot=xyz",
        "/jobs?service=Not%20One",
        "/jobs?beyond=x",
        "/jobs?beyond=99999999999999999-" + "0" * 24,
        "/jobs?beyond=1-018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        "/requests?beyond=1-" + "0" * 24,
        "/requests?beyond=-1-018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        "/sweeps?beyond=x",
        "/jobs?order=random",
        "/requests?state=wrong",
        "/requests?bot=1",
        "/dead-letters?reason=wrong",
        "/dead-letters?beyond=1",
        "/dead-letters?service=" + "x" * 300,
    ],
)
async def test_a_filter_that_makes_no_sense_is_a_page_that_says_so(path: str) -> None:
    async with Console().visited() as visited:
        assert (await page_of(visited, path, 422)).says("expected")


NONE = "0" * 24


@pytest.mark.parametrize(
    "path",
    [
        f"/jobs/{NONE}",
        "/jobs/x",
        f"/dead-letters/{NONE}",
        "/dead-letters/x",
        "/requests/x",
        "/requests/018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f",
        "/nothing",
    ],
)
async def test_a_record_that_is_not_there_is_a_page_that_says_so(path: str) -> None:
    async with Console().visited() as visited:
        assert (await page_of(visited, path, 404)).says("Not Found")


async def test_a_database_that_is_away_is_a_page_that_says_when_to_come_back() -> None:
    console = Console()

    async def away(*_: object, **__: object) -> Any:
        raise StoreUnavailable("MongoDB has no primary")

    console.requests.census = away  # type: ignore[method-assign]
    async with console.visited() as visited:
        answer = await visited.get("/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert Page(answer.text).says("MongoDB has no primary")


def busy_job(**values: Any) -> Any:
    fields: dict[str, Any] = {
        "attempt": 2,
        "last_modified_at": START - timedelta(seconds=12),
        "steps": (
            StepProgress("messages", StepStatus.COMPLETE, 5000, None, 50, 0.5, "empty"),
            StepProgress(
                "files", StepStatus.IN_PROGRESS, 12, "c7", 3, 2.0, throttled=Throttled("pace", 4.0)
            ),
        ),
        "past_attempts": (PastAttempt(1, "w/1", "messages", 4, START - HOUR, STALE),),
        "failure": Failure("HttpUnavailable", "the API answered 503", START - HOUR),
    }
    return new_job(Status.IN_PROGRESS, **(fields | values))


async def test_a_job_shows_its_steps_its_attempts_and_what_holds_it_back() -> None:
    console, job = Console(), busy_job()
    console.jobs.jobs[job.id] = job
    async with console.visited() as visited:
        page = await page_of(visited, f"/jobs/{job.id}")
    assert page.says("in progress · attempt 2 of 3")
    assert page.says("Next: its run moves it on")
    assert page.says("12 s ago")
    assert page.says("messages complete 5,000 50 0.500 s 200/s empty")
    assert page.says("files in progress 12 3 2.000 s 2.0/s")
    assert page.says("4.0 s by pace")
    assert page.says("1 stale messages, batch 4")
    assert page.says("HttpUnavailable at")
    assert f"/requests/{job.event_id}" in page.links


async def test_a_pending_job_says_how_many_are_before_it() -> None:
    console = Console()
    first = new_job(Status.PENDING, due=START - HOUR)
    job = new_job(Status.PENDING)
    console.jobs.jobs.update({each.id: each for each in (first, job)})
    async with console.visited() as visited:
        page = await page_of(visited, f"/jobs/{job.id}")
    assert page.says("1 job of its queue is due earlier.")


async def test_a_request_shows_every_service_and_its_time_line() -> None:
    console = Console()
    request = a_deletion_request("chats", "media", bot_id=BOT)
    done = new_job(
        Status.COMPLETE,
        service="media",
        bot_id=BOT,
        event_ids=(request.id,),
        finished_at=START,
        steps=(StepProgress("files", StepStatus.COMPLETE, 7),),
    )
    console.jobs.jobs[done.id] = done
    await console.requests.record([request.completed("media", done.id, START)])
    async with console.visited() as visited:
        page = await page_of(visited, f"/requests/{request.id}")
        listed = await page_of(visited, f"/requests?bot={BOT}")
    assert page.says("open · deadline in")
    assert page.says("chats no job yet")
    assert page.says("media complete everything is deleted, and was read back empty")
    assert f"/jobs/{done.id}" in page.links
    assert page.says("complete since 2025-03-30")
    assert listed.says("open 1/2 chats")


async def test_a_dead_letter_shows_its_fields_and_the_byte_of_its_fault() -> None:
    console = Console()
    data = encode(SAMPLES["request_placed"])
    broken, whole = a_letter(data=data[:-3]), a_letter(data=data)
    await console.letters.record([broken, whole])
    async with console.visited() as visited:
        answer = await visited.get(f"/dead-letters/{broken.id}")
        good = await page_of(visited, f"/dead-letters/{whole.id}")
        listed = await page_of(visited, "/dead-letters")
    page = Page(answer.text)
    assert page.says("018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f")
    assert page.says("Fault at byte")
    assert "<mark>" in answer.text
    assert good.says("No fault: these bytes decode as an event.")
    assert listed.says("conversations undecodable 2")


async def test_it_is_said_that_of_very_many_fields_only_the_first_are_read() -> None:
    console = Console()
    many = a_letter(data=b"\x7a\x00" * 32_768)
    await console.letters.record([many])
    async with console.visited() as visited:
        page = await page_of(visited, f"/dead-letters/{many.id}")
    assert page.says("and 800 more; only the first 1,000 fields are read, up to byte 2000.")


async def test_text_of_others_is_only_text() -> None:
    console = Console()
    failure = Failure(HOSTILE, HOSTILE, START)
    job = busy_job(
        service="media",
        requested_by=HOSTILE,
        claimed_by=HOSTILE,
        failure=failure,
        rollback_cause=failure,
        steps=(StepProgress(HOSTILE, cursor=HOSTILE, read_back=HOSTILE),),
        compensations=(StepProgress(HOSTILE),),
        past_attempts=(PastAttempt(1, HOSTILE, HOSTILE, 1, START, HOSTILE),),
        traceparent=HOSTILE,
        event_ids=(HOSTILE,),
    )
    console.jobs.jobs[job.id] = replace(job, service=HOSTILE)
    bad = a_letter(
        service=HOSTILE,
        message_id=HOSTILE,
        detail=HOSTILE,
        attributes={HOSTILE: HOSTILE},
        data=HOSTILE.encode(),
    )
    await console.letters.record([bad])
    console.breakers.breakers["h"] = Breaker(HOSTILE, "s", BOT, START, HOSTILE, 1, START, START)
    request = a_deletion_request(HOSTILE, requested_by=HOSTILE, traceparent=HOSTILE)
    await console.requests.record([request])
    order = Order(ActionKind.RETRY, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE})
    action = OperatorAction.started(console.actions.new_id(), order, Run(HOSTILE, START, "c"))
    failed = replace(action, runs=action.runs * 2).ended(START, HOSTILE)
    refused = WholeAction(failed, (Target("t", {HOSTILE: HOSTILE}),), (Outcome("t", HOSTILE),))
    console.actions.actions[action.id] = refused
    preview_id, targets = console.previews.new_id(), (Target("t"),)
    preview = Preview(preview_id, order, START, targets, {HOSTILE: 1}, is_cut_off=True)
    await console.previews.keep(preview)
    audit = ["/actions", f"/actions/{action.id}", f"/previews/{preview.id}"]
    paths = [*audit, "/", "/jobs", f"/jobs/{job.id}", "/dead-letters", f"/dead-letters/{bad.id}"]
    paths += ["/requests", f"/requests/{request.id}", "/login?next=/%22%3E%3Cscript%3E"]
    async with console.visited() as visited:
        for path in paths:
            answer = await visited.get(path)
            assert answer.status_code == 200
            page = Page(answer.text)
            assert page.tags.count("script") == 1, "the page's own"
            assert "img" not in page.tags
            assert "\x1b" not in answer.text
            assert "\u202e" not in answer.text
            assert path.startswith("/login") or page.says(SHOWN), path
            assert all(link.startswith(("/", "#main")) for link in page.links)
            assert not any(link.startswith("//") for link in page.links)


async def test_what_a_visitor_asks_for_is_only_text() -> None:
    async with Console().visited() as visited:
        for path in (
            "/jobs?x=%22%3E%3Cscript%3E",
            "/jobs?status=%22%3E%3Cscript%3E",
            "/%3Cscript%3E",
        ):
            answer = await visited.get(path)
            assert Page(answer.text).tags.count("script") == 1


async def test_sweeps_are_listed_and_the_last_one_is_on_the_overview() -> None:
    console = Console()
    ended = Sweep.started("0" * 23 + "1", START).failed(START, HOSTILE)
    running = Sweep.started("0" * 23 + "2", START - timedelta(minutes=5))
    console.sweeps.sweeps.update({each.id: each for each in (ended, running)})
    async with console.visited() as visited:
        page = await page_of(visited, "/sweeps")
        assert page.says("000002 running 2025-03-30")
        assert page.says("failed")
        assert page.says(SHOWN)
        overview = await page_of(visited, "/")
        assert overview.says("Last sweep: running , started 5 min ago; 0 resumed")
        assert (await page_of(visited, f"/sweeps?beyond={ended.id}")).says("No sweep is recorded.")


STATES = [*Status, *StepStatus, *DeadLetterStatus, *RequestState, *ActionStatus]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_every_state_has_an_icon_and_a_word(state: str) -> None:
    assert SHOWN_AS[state].icon in SHAPES
    assert "<svg" in badge(state)
    assert SHOWN_AS[state].word in badge(state)


def test_a_command_in_a_sentence_is_code_and_no_markup_of_others() -> None:
    assert commands("run `botdel jobs retry ID` for <b>\x1b") == (
        "run <code>botdel jobs retry ID</code> for &lt;b&gt;\\x1b"
    )


def test_a_date_has_the_time_where_a_pointer_rests() -> None:
    whole = rfc3339(START)
    assert date(START) == f'<time datetime="{whole}" title="{whole}">{START:%Y-%m-%d}</time>'
    assert "none" in date(None)


async def test_the_overview_leads_to_the_requests_that_need_somebody() -> None:
    console = Console()
    near = a_deletion_request("media", now=START - LEDGER_POLICY.deadline * 0.9)
    missing, calm = a_deletion_request("media"), a_deletion_request("media")
    await console.requests.record([near, missing.checked(START, missing=["media"]), calm])
    async with console.visited() as visited:
        overview = await page_of(visited, "/")
        assert overview.says("1 near their deadline")
        assert overview.says("1 missing a job")
        for state, request in (("near", near), ("missing", missing)):
            address = f"/requests?state={state}"
            assert address in overview.links
            page = await page_of(visited, address)
            shown = {link for link in page.links if link.startswith("/requests/")}
            assert shown == {f"/requests/{request.id}"}
        assert (await page_of(visited, "/requests?state=far", 422)).says("expected one of")


async def test_of_many_services_a_list_names_three_and_has_the_others_behind_a_click() -> None:
    console = Console()
    names = [f"service-{n:02}" for n in range(20)]
    await console.requests.record([a_deletion_request(*names), a_deletion_request("a", "b", "c")])
    async with console.visited() as visited:
        page = await page_of(visited, "/requests")
    assert page.says("service-00, service-01, service-02 and 17 more service-03, ")
    assert page.says("a, b, c")
    assert page.tags.count("details") == 1


async def test_the_chart_of_an_hour_by_hour_has_a_scale_and_a_name() -> None:
    console = Console()
    for n in range(37):
        job = new_job(Status.COMPLETE, last_modified_at=START - HOUR - timedelta(seconds=n))
        console.jobs.jobs[job.id] = job
    async with console.visited() as visited:
        answer = await visited.get("/")
    page = Page(answer.text)
    assert page.says("37 jobs completed in the last 24 hours, by the hour")
    assert page.says("jobs an hour")
    assert page.says("hour (UTC)")
    labels = re.findall(r'<text class="tick"[^>]*>([^<]+)</text>', answer.text)
    assert labels == ["0", "25", "50"]
    assert 'role="img" aria-labelledby="throughput-is"' in answer.text
    heights = [
        float(each)
        for each in re.findall(r'<rect class="bar"[^>]* height="([0-9.]+)"', answer.text)
    ]
    assert max(heights) == pytest.approx(BARS[1] * 37 / 50, abs=0.1), "as the scale says"


@pytest.mark.parametrize(
    ("most", "end"),
    [(0, 1), (1, 1), (2, 2), (4, 5), (7, 10), (11, 20), (37, 50), (99, 100), (101, 200)],
)
def test_a_scale_ends_at_the_highest_or_above_in_round_numbers(most: int, end: int) -> None:
    assert ticks(most) == ([0, end] if end in (1, 5) else [0, end // 2, end])
    assert ticks(most * 10_000)[-1] == (end * 10_000 if most else 1)


async def test_the_log_in_says_which_token_and_where_it_comes_from() -> None:
    async with visiting() as visited:
        page = Page((await visited.http.get("/login")).text)
    assert page.says("BOTDEL_CONSOLE_USERS")
    assert page.says("the last part of your entry")
    assert page.says("If you have none, ask the operators of the console")


async def test_jobs_are_listed_by_what_their_status_does_not_say() -> None:
    console = Console()
    parked = new_job(Status.PENDING, due=START + HOUR, last_modified_at=START)
    due = new_job(Status.PENDING, due=START, last_modified_at=START)
    stale = new_job(Status.IN_PROGRESS, last_modified_at=START - POLICY.stale_after)
    running = new_job(Status.IN_PROGRESS, last_modified_at=START)
    for job in (parked, due, stale, running):
        console.jobs.jobs[job.id] = job
    async with console.visited() as visited:
        for state, job in (("parked", parked), ("stale", stale)):
            answer = await visited.get(f"/jobs?status={state}")
            page = Page(answer.text)
            shown = {link for link in page.links if link.startswith("/jobs/")}
            assert shown == {f"/jobs/{job.id}"}
            assert f'<option value="{state}" selected>' in answer.text


async def test_parked_jobs_are_listed_by_when_they_are_due() -> None:
    console = Console()
    dues = [START + n * HOUR for n in (1, 2)]
    for due in dues:
        job = new_job(Status.PENDING, due=due, last_modified_at=START)
        console.jobs.jobs[job.id] = job
    async with console.visited() as visited:
        for order, first in (("oldest", "earliest"), ("newest", "latest")):
            text = (await visited.get(f"/jobs?status=parked&order={order}")).text
            page = Page(text)
            assert page.says(f"Sorted by time due, {first} first.")
            places = [text.index(f'datetime="{rfc3339(due)}"') for due in dues]
            assert places == sorted(places, reverse=order == "newest")
