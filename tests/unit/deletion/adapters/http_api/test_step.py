"""A step that calls an API: which calls it makes, with what, and what it makes of the answers."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from structlog.testing import capture_logs

from deletion.adapters.http_api.call_state import VERIFY as BY_VERIFY
from deletion.adapters.http_api.call_state import CallState
from deletion.adapters.http_api.client import MOST_REDIRECTS, HttpClient
from deletion.adapters.http_api.shared import Http
from deletion.adapters.http_api.spec import HttpSpec
from deletion.adapters.http_api.step import MOST_FORGOTTEN, SLICE_SECONDS, HttpStep
from deletion.adapters.spec import StepConnections
from deletion.breaker import LocalBreakerStore
from deletion.errors import Busy, HttpRefused, HttpUnavailable, Parked
from deletion.gate import Gates
from deletion.job import Status, StepProgress
from deletion.plan import AnswerOnly, Batch, Doubted, Plan, Previewed, Verified
from deletion.runner import Runner
from tests.support.clock import START, VirtualClock
from tests.support.factories import BOT, POLICY, SERVICE, a_job
from tests.support.scripted_stores import ScriptedStore

pytestmark = pytest.mark.virtual_time

HOST = "billing.example"
URL = f"https://{HOST}/bots/{{bot_id}}?key=hunter22"
VERIFY = {"url": f"https://{HOST}/seen/{{bot_id}}"}
Answer = Exception | Callable[[], httpx.Response]


class World:
    """A step and the answers that its host will give, in their order."""

    def __init__(self, **fields: object) -> None:
        self.clock = VirtualClock()
        self.answers: deque[Answer] = deque()
        self.requests: list[httpx.Request] = []
        self.store = LocalBreakerStore(self.clock)
        self.step = self.build(**fields)

    def build(self, **fields: object) -> HttpStep:
        client = HttpClient(self.clock, transport=httpx.MockTransport(self._answer))
        http = Http(client, Gates(self.store, self.clock), self.clock)
        spec = HttpSpec.model_validate({"url": URL} | fields)
        return spec.build(
            "billing", StepConnections(lambda _: pytest.fail("no database"), http=http)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer()

    async def run(
        self, cursor: str | None = None, *, bot: str = BOT, kept: list[str | None] | None = None
    ) -> list[Batch]:
        batches = []
        async for batch in self.step.delete(bot, cursor):
            batches.append(batch)
            if kept is not None:
                kept.append(batch.cursor)
        return batches

    async def begun(self) -> str:
        """The cursor of the first batch."""
        batches = self.step.delete(BOT, None)
        first = await anext(batches)
        await batches.aclose()
        assert first.cursor
        return first.cursor

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]


def says(
    status: int, named: Mapping[str, str] | None = None, **headers: str
) -> Callable[[], httpx.Response]:
    given = {**(named or {}), **{name.replace("_", "-"): v for name, v in headers.items()}}
    return lambda: httpx.Response(status, headers=given, stream=httpx.ByteStream(b""))


@pytest.fixture
def world() -> World:
    return World()


# --- the call


@pytest.mark.parametrize(("status", "deleted"), [(200, 1), (204, 1), (404, 0), (410, 0)])
async def test_it_calls_for_the_bot_and_counts_what_was_there(
    world: World, status: int, deleted: int
) -> None:
    world.answers.append(says(status))
    batches = await world.run()
    assert [batch.deleted for batch in batches] == [0, deleted]
    assert [batch.last for batch in batches] == [False, True]
    [request] = world.requests
    assert (request.method, str(request.url)) == ("DELETE", URL.replace("{bot_id}", BOT))


@pytest.mark.proves("call-key")
async def test_its_key_is_recorded_before_the_call_and_stays_the_same_when_it_is_resumed(
    world: World,
) -> None:
    cursor = await world.begun()
    assert world.requests == []
    world.answers.extend([says(500), says(204)])
    with pytest.raises(HttpUnavailable):
        await world.run(cursor)
    await world.run(cursor)
    assert world.keys() == [json.loads(cursor)["key"]] * 2
    world.answers.append(says(404))
    await world.run()
    assert world.keys()[2] != world.keys()[0], "a step that begins again is another call"


@pytest.mark.proves("unreadable-cursor")
@pytest.mark.parametrize(
    "cursor",
    ["", "17", "[]", '{"key": 7}', '{"since": "x", "key": "k"}', '{"key": "k", "forgotten": "1"}'],
)
async def test_a_cursor_of_another_kind_of_step_begins_anew(world: World, cursor: str) -> None:
    world.answers.append(says(204))
    with capture_logs() as logs:
        assert [batch.deleted for batch in await world.run(cursor)] == [0, 1]
    assert ["unreadable cursor" in log["event"] for log in logs] == [True]


async def test_headers_are_sent_and_no_cookie_is_kept() -> None:
    world = World(headers={"Authorization": "Bearer hunter22"})
    world.answers.extend([says(204, Set_Cookie="session=1"), says(204)])
    await world.run()
    await world.run()
    assert [request.headers["Authorization"] for request in world.requests] == [
        "Bearer hunter22"
    ] * 2
    assert "Cookie" not in world.requests[1].headers


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_unavailable(world: World, status: int) -> None:
    world.answers.append(says(status))
    with pytest.raises(HttpUnavailable, match=f"^DELETE {HOST} answered {status}$"):
        await world.run()


@pytest.mark.parametrize("status", [303, 304, 400, 401, 403, 405, 409, 422])
async def test_any_other_answer_is_refused(world: World, status: int) -> None:
    world.answers.append(says(status))
    with pytest.raises(HttpRefused, match=f"^DELETE {HOST} answered {status}$"):
        await world.run()


@pytest.mark.proves("secrets-of-a-step")
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("to hunter22"),
        httpx.ReadTimeout("of hunter22"),
        httpx.RemoteProtocolError("by hunter22"),
    ],
)
async def test_an_error_of_the_connection_is_unavailable_and_its_text_is_not_quoted(
    world: World, error: Exception
) -> None:
    world.answers.append(error)
    with pytest.raises(HttpUnavailable) as caught:
        await world.run()
    assert str(caught.value) == f"DELETE {HOST} failed ({type(error).__name__})"


@pytest.mark.proves("secrets-of-a-step")
async def test_nothing_of_a_step_shows_a_secret(world: World) -> None:
    world.answers.append(says(403))
    with pytest.raises(HttpRefused) as caught:
        await world.run()
    spec = HttpSpec.model_validate({"url": URL, "headers": {"Authorization": "hunter22"}})
    for shown in (repr(world.step), str(caught.value), repr(spec), await world.begun()):
        assert "hunter22" not in shown


# --- Retry-After


def in_seconds(seconds: float, *, date: bool = True) -> Mapping[str, str]:
    server = START + timedelta(hours=5)  # whose clock is wrong
    at = format_datetime(server + timedelta(seconds=seconds), usegmt=True)
    now = {"Date": format_datetime(server, usegmt=True)} if date else {}
    return {"Retry-After": at, **now}


@pytest.mark.proves("retry-after")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        (in_seconds(7), 7),
        (in_seconds(-7), 0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "Fri, 99 Xxx 9999 99:99:99 GMT"}, None),
    ],
)
async def test_how_long_a_host_asks_to_wait(
    world: World, headers: Mapping[str, str], seconds: float | None
) -> None:
    world.answers.append(says(503, headers))
    with pytest.raises(HttpUnavailable) as caught:
        await world.run()
    assert caught.value.retry_after == seconds


async def test_a_date_without_the_hosts_own_is_compared_with_our_clock(world: World) -> None:
    at = format_datetime(START.replace(microsecond=0) + timedelta(seconds=30), usegmt=True)
    world.answers.append(says(503, Retry_After=at))
    with pytest.raises(HttpUnavailable) as caught:
        await world.run()
    assert caught.value.retry_after == pytest.approx(30, abs=1)


@pytest.mark.proves("retry-after")
@pytest.mark.parametrize(
    ("asked", "wait"), [("600", 600), ("9" * 400, 86_400), ("99999999999", 86_400)]
)
async def test_a_long_wait_parks_the_job_for_a_day_at_most(
    world: World, asked: str, wait: float
) -> None:
    world.answers.append(says(429, Retry_After=asked))
    with pytest.raises(Parked) as caught:
        await world.run()
    assert caught.value.until == START + timedelta(seconds=wait)
    assert caught.value.has_called


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_on_the_same_host_is_followed_with_the_same_method_and_key(
    world: World, status: int
) -> None:
    world.answers.extend([says(status, Location="/v2/gone"), says(204)])
    await world.run()
    assert world.methods() == ["DELETE", "DELETE"]
    assert str(world.requests[1].url) == f"https://{HOST}/v2/gone"
    assert len(set(world.keys())) == 1


@pytest.mark.proves("same-host")
@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/bots/1",
        "//evil.example/bots/1",
        f"http://{HOST}/bots/1",
        f"https://{HOST}:8443/bots/1",
        f"https://{HOST}.evil.example/",
        f"https://{HOST}@evil.example/",
        f"https://me:hunter22@{HOST}/",
        "file:///etc/passwd",
        "https://[::1/",
        "/x" * 2000,
    ],
)
@pytest.mark.parametrize("status", [302, 307, 202])
async def test_no_other_host_is_called(world: World, status: int, location: str) -> None:
    world.answers.append(says(status, Location=location))
    with pytest.raises(HttpRefused) as caught:
        await world.run()
    assert len(world.requests) == 1
    assert "evil" not in str(caught.value)
    assert "hunter22" not in str(caught.value)


async def test_redirects_end(world: World) -> None:
    world.answers.extend([says(307, Location="/again")] * 9)
    with pytest.raises(HttpRefused, match="more than"):
        await world.run()
    assert len(world.requests) == MOST_REDIRECTS + 1


# --- 202


@pytest.mark.proves("accepted-call")
async def test_what_is_accepted_is_polled_at_its_location_until_it_is_done(world: World) -> None:
    world.answers.extend(
        [says(202, Location="/jobs/7"), says(202), says(202, Location="/jobs/8"), says(200)]
    )
    batches = await world.run()
    assert world.methods() == ["DELETE", "GET", "GET", "GET"]
    paths = [request.url.path for request in world.requests[1:]]
    assert paths == ["/jobs/7", "/jobs/7", "/jobs/8"]
    assert sum(batch.deleted for batch in batches) == 1
    assert [batch.last for batch in batches].count(True) == 1
    assert world.keys()[1:] == [None] * 3, "a poll is no call"


async def test_a_poll_waits_as_long_as_asked_and_longer_each_time_otherwise(world: World) -> None:
    world.answers.extend([says(202, Location="/j", Retry_After="7"), says(202), says(202)])
    world.answers.append(says(204))
    await world.run()
    assert world.clock.monotonic() == 7 + 2 + 4


async def test_no_batch_waits_for_long_between_two_polls(world: World) -> None:
    world.answers.extend([says(202, Location="/j", Retry_After="60"), says(204)])
    before, longest = world.clock.monotonic(), 0.0
    async for _ in world.step.delete(BOT, None):
        longest = max(longest, world.clock.monotonic() - before)
        before = world.clock.monotonic()
    assert 0 < longest <= SLICE_SECONDS


async def test_a_resumed_run_goes_on_polling_and_makes_no_second_call(world: World) -> None:
    world.answers.append(says(202, Location="/jobs/7"))
    batches = world.step.delete(BOT, None)
    await anext(batches)
    cursor = (await anext(batches)).cursor
    await batches.aclose()
    world.answers.append(says(204))
    assert [batch.deleted for batch in await world.run(cursor)] == [1]
    assert world.methods() == ["DELETE", "GET"]


@pytest.mark.proves("same-host")
async def test_a_location_on_another_host_is_not_followed(world: World) -> None:
    """The plan may have changed since the checkpoint: its headers are for the new host."""
    cursor = CallState("k", "https://old.example/jobs/7", START).cursor
    world.answers.append(says(204))
    await world.run(cursor)
    assert [request.url.host for request in world.requests] == [HOST]
    assert world.methods() == ["DELETE"]


@pytest.mark.parametrize("status", [200, 201, 204, 303])
async def test_a_poll_that_finds_it_done(world: World, status: int) -> None:
    world.answers.extend([says(202, Location="/j"), says(status)])
    assert sum(batch.deleted for batch in await world.run()) == 1


async def test_a_poll_that_is_refused_fails_the_job(world: World) -> None:
    world.answers.extend([says(202, Location="/j"), says(403)])
    with pytest.raises(HttpRefused, match=r"^GET .* answered 403 to a poll$"):
        await world.run()


@pytest.mark.parametrize("status", [404, 410])
async def test_a_host_that_forgot_what_it_accepted_is_called_again(
    world: World, status: int
) -> None:
    """Nothing at the Location says nothing about the bot."""
    world.answers.extend([says(202, Location="/j"), says(status), says(404)])
    assert sum(batch.deleted for batch in await world.run()) == 0
    assert world.methods() == ["DELETE", "GET", "DELETE"]


@pytest.mark.proves("accepted-call")
async def test_a_host_that_forgets_again_and_again_is_refused(world: World) -> None:
    world.answers.extend([says(202, Location="/j"), says(404)] * 9)
    with pytest.raises(HttpRefused, match="Location that answers 404 or 410"):
        await world.run()
    assert world.methods().count("DELETE") == MOST_FORGOTTEN + 1


@pytest.mark.proves("accepted-call")
@pytest.mark.parametrize("wait", ["1", "120"], ids=["in one run", "parked in between"])
async def test_how_often_it_was_forgotten_is_counted_over_parks_and_attempts(
    world: World, wait: str
) -> None:
    """Or else a host that forgets sooner than it asks to be polled is called for ever."""
    world.answers.extend([says(202, Location="/j", Retry_After=wait), says(404)] * 99)
    cursors: list[str | None] = [None]

    async def refused() -> None:
        while True:
            try:
                await world.run(cursors[-1], kept=cursors)
            except Parked as parked:
                world.clock.pause((parked.until - world.clock.now()).total_seconds())

    with pytest.raises(HttpRefused, match="answered 202 3 times"):
        await refused()
    assert world.methods() == ["DELETE", "GET"] * (MOST_FORGOTTEN + 1)
    with pytest.raises(HttpRefused, match="answered 202 4 times"):
        await refused()
    assert world.methods()[6:] == ["DELETE", "GET"], "each later attempt asks once more"
    world.answers.clear()
    world.answers.append(says(204))
    assert sum(batch.deleted for batch in await world.run(cursors[-1])) == 1
    assert len(set(world.keys()) - {None}) == 1


async def test_the_time_of_what_was_forgotten_began_with_the_first_call() -> None:
    world = World(done_within_seconds=120)
    cursors: list[str | None] = [None]
    world.answers.extend([says(202, Location="/j", Retry_After="100"), says(404)])
    with pytest.raises(Parked):
        await world.run(kept=cursors)
    world.clock.pause(100)
    world.answers.append(says(202, Location="/j", Retry_After="30"))
    world.answers.append(says(202))
    with pytest.raises(HttpUnavailable, match="not done within 120 s"):
        await world.run(cursors[-1], kept=cursors)
    assert world.clock.now() - START < timedelta(seconds=140)


@pytest.mark.proves("accepted-call")
async def test_what_is_not_done_within_its_time_is_unavailable_and_asked_about_again() -> None:
    world = World(done_within_seconds=120)
    world.answers.append(says(202, Location="/j"))
    world.answers.extend([says(202, Retry_After="10")] * 99)
    cursors: list[str | None] = []
    with pytest.raises(HttpUnavailable, match="not done within 120 s"):
        await world.run(kept=cursors)
    assert timedelta(seconds=110) < world.clock.now() - START < timedelta(seconds=140)
    world.answers.clear()
    world.answers.append(says(204))
    assert sum(batch.deleted for batch in await world.run(cursors[-1])) == 1


async def test_a_host_that_works_for_long_takes_up_no_permit(world: World) -> None:
    world.answers.append(says(202, Location="/j", Retry_After="1200"))
    cursors: list[str | None] = []
    with pytest.raises(Parked) as caught:
        await world.run(kept=cursors)
    assert caught.value.until == START + timedelta(seconds=1200)
    assert not caught.value.has_called
    assert json.loads(cursors[-1] or "")["location"] == f"https://{HOST}/j"


@pytest.mark.usefixtures("logs")
async def test_an_api_that_answers_costs_no_attempt_however_often_a_poll_fails_before() -> None:
    """503, then "not yet" with a long Retry-After and the same Location, in each run."""
    world = World(done_within_seconds=86_400)
    store = ScriptedStore(world.clock)
    plan = Plan(SERVICE, (world.step,))
    runner = Runner(plan, store, world.clock, POLICY, stopping=asyncio.Event())
    cursor = CallState("k", f"https://{HOST}/j", START).cursor
    begun = StepProgress(world.step.name).began(START).advanced(0, cursor, 0.1)
    job = store.put(a_job(steps=(begun,)))
    for _ in range(POLICY.max_attempts + 1):
        world.answers.extend([says(503), says(202, Retry_After="3600")])
        await runner.run(job)
        parked = store.jobs[job.id]
        assert (parked.status, parked.attempt) == (Status.PENDING, 0)
        assert parked.due
        world.clock.pause((parked.due - world.clock.now()).total_seconds())
        job = store.put(parked.claim("worker-2/b", world.clock.now()).after)
    world.answers.append(says(204))
    await runner.run(job)
    assert store.jobs[job.id].status is Status.COMPLETE


async def test_each_answer_to_a_poll_moves_the_cursor() -> None:
    world = World(verify=VERIFY)
    cursors: list[str | None] = []
    world.answers.extend([says(202), says(200), says(200), says(404)])
    await world.run(kept=cursors)
    polls = [state.polls for state in map(CallState.read, cursors) if state]
    assert sorted(set(polls)) == [0, 1, 2]


async def test_a_202_that_names_no_place_is_refused_without_a_way_to_look(world: World) -> None:
    world.answers.append(says(202))
    with pytest.raises(HttpRefused, match="give the step a `verify`"):
        await world.run()


async def test_a_202_without_a_location_is_polled_with_verify() -> None:
    world = World(verify=VERIFY)
    world.answers.extend([says(202), says(200), says(404)])
    assert sum(batch.deleted for batch in await world.run()) == 1
    assert [request.url.path for request in world.requests[1:]] == [f"/seen/{BOT}"] * 2


# --- read back


@pytest.mark.proves("answer-only")
async def test_without_verify_the_answer_is_all_there_is(world: World) -> None:
    assert isinstance(world.step, AnswerOnly)
    assert world.step.by_answer_only
    assert await world.step.is_empty(BOT)
    assert world.requests == []


@pytest.mark.parametrize(("status", "is_empty"), [(404, True), (410, True), (200, False)])
async def test_verify_tells_whether_the_bot_is_gone(status: int, is_empty: bool) -> None:
    world = World(verify=VERIFY, headers={"Authorization": "hunter22"})
    world.answers.append(says(status))
    assert not world.step.by_answer_only
    assert await world.step.is_empty(BOT) is is_empty
    assert isinstance(world.step, Verified)
    assert world.step.read_back == "verify"
    [request] = world.requests
    assert (request.method, request.url.path) == ("GET", f"/seen/{BOT}")
    assert request.headers["Authorization"] == "hunter22"


async def test_a_read_back_that_does_not_say_is_no_proof() -> None:
    world = World(verify=VERIFY)
    world.answers.extend([says(403), says(503)])
    with pytest.raises(HttpRefused, match="to the read-back"):
        await world.step.is_empty(BOT)
    with pytest.raises(HttpUnavailable):
        await world.step.is_empty(BOT)


@pytest.mark.proves("same-host")
async def test_the_steps_headers_go_to_no_other_host() -> None:
    other = {"url": "https://mirror.example/bots/{bot_id}"}
    world = World(verify=other, headers={"Authorization": "hunter22"})
    world.answers.append(says(404))
    await world.step.is_empty(BOT)
    assert "Authorization" not in world.requests[0].headers
    named = World(verify={**other, "headers": {"Authorization": "theirs"}})
    named.answers.append(says(404))
    await named.step.is_empty(BOT)
    assert named.requests[0].headers["Authorization"] == "theirs"


async def test_a_step_that_reads_back_can_be_looked_at_and_calls_no_deletion() -> None:
    world = World(verify=VERIFY)
    assert isinstance(world.step, Previewed)
    world.answers.extend([says(200), says(404), says(404)])
    assert [await world.step.count(BOT), await world.step.count(BOT)] == [1, 0]
    assert await world.step.faults() == []
    assert world.methods() == ["GET"] * 3
    assert BOT not in str(world.requests[2].url), "of a bot that does not exist"


async def test_a_read_back_that_finds_every_bot_is_a_fault_of_the_plan() -> None:
    world = World(verify=VERIFY)
    assert isinstance(world.step, Previewed)
    world.answers.append(says(200))
    [fault] = await world.step.faults() or []
    assert fault.startswith(f"GET {HOST} finds a bot that does not exist")


@pytest.mark.parametrize(
    ("status", "gone", "is_doubted"), [(404, (404, 410), True), (410, (404, 410), False)]
)
async def test_an_answer_that_a_wrong_path_would_have_too_is_doubted(
    status: int, gone: tuple[int, ...], is_doubted: bool
) -> None:
    world = World(verify={**VERIFY, "gone": gone})
    assert isinstance(world.step, Doubted)
    world.answers.append(says(status))
    doubts = await world.step.doubts()
    assert [doubt.what for doubt in doubts] == [f"GET {HOST} answered 404, as a wrong path would"][
        : int(is_doubted)
    ]
    assert all("`gone: [410]`" in doubt.remedy for doubt in doubts)
    assert BOT not in str(world.requests[0].url), "of a bot that does not exist"


async def test_a_step_that_cannot_read_back_has_no_preview(world: World) -> None:
    assert not isinstance(world.step, Previewed)


# --- the gate


@pytest.mark.proves("permits")
async def test_a_deletion_holds_its_permit_until_it_is_done() -> None:
    world = World(concurrency=1)
    world.answers.append(says(202, Location="/j"))
    first = world.step.delete(BOT, None)
    await anext(first)
    await anext(first)
    with pytest.raises(Parked) as caught:
        await world.run(await world.begun())
    assert not caught.value.has_called
    await first.aclose()
    world.answers.append(says(204))
    await world.run()


async def test_a_read_back_does_not_wait_for_deletions_that_take_hours() -> None:
    world = World(concurrency=1, verify=VERIFY)
    world.answers.extend([says(202, Location="/j"), says(404)])
    first = world.step.delete(BOT, None)
    await anext(first)
    await anext(first)
    assert await world.step.is_empty(BOT)
    await first.aclose()


@pytest.mark.parametrize(("host", "waits"), [("other.example", True), (HOST, False)])
async def test_a_poll_with_verify_takes_a_permit_of_another_host(host: str, waits: bool) -> None:
    """At its own host the deletion holds one already."""
    world = World(
        concurrency=1, verify={"url": f"https://{host}/seen/{{bot_id}}"}, done_within_seconds=120
    )
    world.answers.extend([says(202), says(404)])
    assert world.step.verify
    async with world.step.verify.gate.permit(reads=True):
        with pytest.raises(Busy, match="1 read-backs are under way") if waits else nullcontext():
            await world.run()
    assert len(world.requests) == (1 if waits else 2)


@pytest.mark.proves("accepted-call")
async def test_nothing_is_said_to_be_late_by_a_poll_that_was_never_sent() -> None:
    """After an outage of hours the call is long done: an error would spend the attempt."""
    world = World(
        concurrency=1, verify={"url": "https://other.example/seen/{bot_id}"}, done_within_seconds=60
    )
    cursor = CallState("k", BY_VERIFY, START - timedelta(hours=5)).cursor
    assert world.step.verify
    async with world.step.verify.gate.permit(reads=True):
        with pytest.raises(Busy) as caught:
            await world.run(cursor)
    assert not caught.value.has_called
    world.answers.append(says(404))
    assert sum(batch.deleted for batch in await world.run(cursor)) == 1


@pytest.mark.proves("permits")
async def test_a_poll_that_finds_no_permit_waits_and_its_deletion_keeps_its_own() -> None:
    """The host still deletes: a second deletion would be one more than its `concurrency`."""
    world = World(concurrency=1, verify={"url": "https://other.example/seen/{bot_id}"})
    world.answers.extend([says(202), says(404)])
    assert world.step.verify
    first = world.step.delete(BOT, None)
    cursors = [(await anext(first)).cursor for _ in range(2)]
    async with world.step.verify.gate.permit(reads=True):
        waited = [await anext(first) for _ in range(9)]
        assert {batch.cursor for batch in waited} == {cursors[1]}, "no answer, no progress"
        with pytest.raises(Busy, match=f"1 deletions are under way at {HOST}"):
            await world.run(await world.begun())
    assert [batch.deleted async for batch in first][-1] == 1
    assert world.methods() == ["DELETE", "GET"]


async def test_two_bots_that_fail_open_the_breaker_and_the_third_is_not_called_for(
    world: World,
) -> None:
    other, third = (BOT.replace("30", end) for end in ("31", "32"))
    world.answers.extend([says(500), says(500)])
    with pytest.raises(HttpUnavailable):
        await world.run()
    for bot, has_called in ((other, True), (third, False)):
        with pytest.raises(Parked) as caught:
            await world.run(bot=bot)
        assert caught.value.has_called is has_called
    assert len(world.requests) == 2
