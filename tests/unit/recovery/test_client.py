"""The cron client: each of its exit codes, what it prints, and what it never prints."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import chain, repeat

import httpx
import pytest
from pydantic import SecretStr

from recovery.client import Exit, recover
from tests.support.clock import START, VirtualClock

pytestmark = pytest.mark.virtual_time

TOKEN = "a-token-nobody-may-ever-see"
ID = "0123456789abcdef01234567"
URL = "http://recovery:8082"

Answer = Callable[[httpx.Request], httpx.Response]


def sweep(status: str, *, resumed: int = 0, error: str | None = None) -> dict[str, object]:
    counts = {"resumed": resumed, "exhausted": 0, "skipped": 0}
    return {"sweep_id": ID, "status": status, **counts, "error": error, "newer_field": 1}


class Recovery(httpx.MockTransport):
    """A recovery that answers as it is told; `polls` are its answers to GET, in order."""

    def __init__(
        self,
        *,
        health: httpx.Response | None = None,
        start: httpx.Response | None = None,
        polls: Iterator[httpx.Response] | None = None,
    ) -> None:
        super().__init__(self.answer)
        self.asked: list[str] = []
        self.health = health or httpx.Response(200, text="ready")
        self.start = start or httpx.Response(202, json=sweep("running"))
        self.polls = polls or iter(())

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if request.url.path.endswith("/readyz"):
            return self.health
        return self.start if request.method == "POST" else next(self.polls)


async def call(
    recovery: httpx.AsyncBaseTransport,
    *,
    wait: bool = False,
    url: str = URL,
    clock: VirtualClock | None = None,
) -> int:
    return await recover(
        url,
        SecretStr(TOKEN),
        wait=wait,
        timeout_seconds=60,
        clock=clock or VirtualClock(),
        transport=recovery,
    )


def problem(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"title": "", "status": status, "detail": detail})


@pytest.fixture(autouse=True)
def _never_shows_the_token(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Each test leaves what it has not read to this check."""
    yield
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err


def test_the_exit_codes_are_those_that_are_documented() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0,
        "SWEEP_FAILED": 1,
        "USAGE": 2,
        "UNHEALTHY": 3,
        "REFUSED": 4,
        "UNEXPECTED": 5,
        "TIMED_OUT": 6,
    }


async def test_it_checks_health_first_then_starts_and_does_not_wait(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recovery = Recovery()
    assert await call(recovery) == Exit.OK
    assert recovery.asked == ["GET /readyz", "POST /v1/recovery/sweeps"]
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "healthy: http://recovery:8082",
        f"sweep {ID} running: resumed 0, exhausted 0, skipped 0",
    ]
    assert said.err == ""


async def test_it_waits_for_the_end_when_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    polls = [sweep("running", resumed=2), sweep("complete", resumed=3)]
    recovery = Recovery(polls=(httpx.Response(200, json=poll) for poll in polls))
    assert await call(recovery, wait=True) == Exit.OK
    assert recovery.asked[2:] == [f"GET /v1/recovery/sweeps/{ID}"] * 2
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"sweep {ID} complete: resumed 3, exhausted 0, skipped 0"


async def test_a_path_before_the_api_is_kept() -> None:
    recovery = Recovery()
    assert await call(recovery, url="https://recovery/private/") == Exit.OK
    assert recovery.asked == ["GET /private/readyz", "POST /private/v1/recovery/sweeps"]


async def test_a_failed_sweep_is_1_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    failed = httpx.Response(200, json=sweep("failed", error="MongoDB has no primary"))
    assert await call(Recovery(polls=iter([failed])), wait=True) == Exit.SWEEP_FAILED
    err = capsys.readouterr().err
    assert err == "recover: the sweep failed: MongoDB has no primary\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//recovery",
        "recovery:8082",
        "ftp://recovery",
        "http://",
        "http://user:password@recovery",
        "http://recovery?x=1",
        "http://recovery:port",
    ],
)
async def test_a_url_that_cannot_be_used_is_2_before_anything_is_sent(url: str) -> None:
    recovery = Recovery()
    assert await call(recovery, url=url) == Exit.USAGE
    assert recovery.asked == []


@pytest.mark.parametrize("path", ["", "/private"])
@pytest.mark.parametrize("end", ["", "/"])
async def test_the_url_of_the_call_itself_is_2_and_says_what_to_leave_out(
    path: str, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recovery = Recovery()
    assert await call(recovery, url=f"{URL}{path}/v1/recovery/sweeps{end}") == Exit.USAGE
    assert recovery.asked == []
    expected = "--url: expected the address of recovery without /v1/recovery/sweeps"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("token", ["with\nnewline-secret", "sécret-of-letters", "two words", ""])
async def test_a_token_that_cannot_be_sent_is_2_and_not_shown(
    token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await recover(URL, SecretStr(token), wait=False, timeout_seconds=1)
    said = capsys.readouterr()
    assert code == Exit.USAGE
    assert said.out == ""
    assert said.err == "recover: BOTDEL_RECOVERY_TOKEN: expected visible ASCII characters only\n"


UNREADY = problem(503, "no dead letters recorded since 02:00")
NOT_READY = (
    "recover: GET /readyz: 503, recovery cannot work now: no dead letters recorded since 02:00"
)


@pytest.mark.proves("letters-stop-no-sweep")
async def test_a_recovery_that_is_not_ready_sweeps_all_the_same_and_the_code_is_3(
    capsys: pytest.CaptureFixture[str],
) -> None:
    polls = iter([httpx.Response(200, json=sweep("complete", resumed=3))])
    recovery = Recovery(health=UNREADY, polls=polls)
    assert await call(recovery, wait=True) == Exit.UNHEALTHY
    assert recovery.asked[:2] == ["GET /readyz", "POST /v1/recovery/sweeps"]
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"sweep {ID} complete: resumed 3, exhausted 0, skipped 0"
    assert said.err == f"{NOT_READY}; asking for a sweep all the same\n{NOT_READY}\n"


@pytest.mark.proves("letters-stop-no-sweep")
@pytest.mark.parametrize(
    ("start", "polls", "code"),
    [
        (problem(503, "the database does not answer"), [], Exit.UNHEALTHY),
        (httpx.Response(401), [], Exit.REFUSED),
        (httpx.Response(404), [], Exit.UNEXPECTED),
        (None, [httpx.Response(200, json=sweep("failed", error="x"))], Exit.SWEEP_FAILED),
        (None, repeat(httpx.Response(200, json=sweep("running"))), Exit.TIMED_OUT),
    ],
    ids=["away", "refused", "unexpected", "failed", "late"],
)
async def test_when_the_sweep_fails_too_the_code_is_that_of_the_sweep(
    start: httpx.Response | None,
    polls: Iterable[httpx.Response],
    code: Exit,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recovery = Recovery(health=UNREADY, start=start, polls=iter(polls))
    assert await call(recovery, wait=True) == code
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith(NOT_READY)
    assert "/readyz" not in last


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_start_that_recovery_cannot_do_now_is_3(status: int) -> None:
    assert await call(Recovery(start=httpx.Response(status))) == Exit.UNHEALTHY


async def test_a_recovery_that_cannot_be_reached_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"quoting {request.headers}")

    assert await call(httpx.MockTransport(refuse)) == Exit.UNHEALTHY
    *_, last = capsys.readouterr().err.splitlines()
    where = "(ConnectError); is recovery at http://recovery:8082?"
    assert last == f"recover: POST /v1/recovery/sweeps failed {where}"


@pytest.mark.proves("letters-stop-no-sweep")
async def test_a_readiness_that_is_not_told_in_time_costs_no_sweep() -> None:
    """It asks Pub/Sub and MongoDB; a sweep needs MongoDB only."""
    recovery = Recovery()

    def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/readyz"):
            raise httpx.ReadTimeout("")
        return recovery.handle_request(request)

    assert await call(httpx.MockTransport(slow)) == Exit.UNHEALTHY
    assert recovery.asked == ["POST /v1/recovery/sweeps"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_is_4(status: int) -> None:
    assert await call(Recovery(start=problem(status, "no"))) == Exit.REFUSED


@pytest.mark.parametrize(
    "start",
    [
        httpx.Response(404),
        httpx.Response(200, text="a login page"),
        httpx.Response(202, text="not JSON"),
        httpx.Response(202, json=[1]),
        httpx.Response(202, json=sweep("running") | {"sweep_id": "../../elsewhere"}),
        httpx.Response(202, json=sweep("sleeping")),
        httpx.Response(307, headers={"Location": "http://elsewhere/"}),
        httpx.Response(500),
    ],
    ids=lambda answer: f"{answer.status_code} {answer.text[:30]}",
)
async def test_an_answer_that_recovery_does_not_give_is_5(start: httpx.Response) -> None:
    recovery = Recovery(start=start)
    assert await call(recovery, wait=True) == Exit.UNEXPECTED
    assert len(recovery.asked) == 2


@pytest.mark.parametrize("status", [404, 405, 422])
async def test_an_answer_of_something_else_asks_for_the_url(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call(Recovery(health=problem(status, "no"))) == Exit.UNEXPECTED
    asked = f"GET /readyz: {status}, which was not expected: no; is recovery at {URL}?"
    assert capsys.readouterr().err == f"recover: {asked}\n"
    assert await call(Recovery(start=problem(status, "no"))) == Exit.UNEXPECTED
    assert f": no; is recovery at {URL}?" in capsys.readouterr().err


async def test_a_health_page_of_something_else_is_5_and_no_sweep_is_asked_of_it() -> None:
    recovery = Recovery(health=httpx.Response(404))
    assert await call(recovery) == Exit.UNEXPECTED
    assert recovery.asked == ["GET /readyz"]


async def test_a_sweep_that_does_not_end_in_time_is_6() -> None:
    running = httpx.Response(200, json=sweep("running"))
    clock = VirtualClock()
    code = await recover(
        URL,
        SecretStr(TOKEN),
        wait=True,
        timeout_seconds=30,
        clock=clock,
        transport=Recovery(polls=repeat(running)),
    )
    assert code == Exit.TIMED_OUT
    assert 28 <= (clock.now() - START).total_seconds() <= 30


@pytest.mark.proves("clock-set-aside")
async def test_a_clock_that_is_set_makes_no_call_shorter_or_longer() -> None:
    clock = VirtualClock()

    def polls() -> Iterator[httpx.Response]:
        for hours in chain([6, -12], repeat(0)):
            clock.set(timedelta(hours=hours))
            yield httpx.Response(200, json=sweep("running"))

    recovery = Recovery(polls=polls())
    assert await call(recovery, wait=True, clock=clock) == Exit.TIMED_OUT
    assert 58 <= clock.monotonic() <= 60


async def test_a_recovery_that_is_away_while_it_is_waited_for_is_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    polls = chain([httpx.Response(503)] * 3, [httpx.Response(200, json=sweep("complete"))])
    assert await call(Recovery(polls=polls), wait=True) == Exit.OK
    assert capsys.readouterr().err.count("asking again") == 3


async def test_a_recovery_that_stays_away_while_it_is_waited_for_is_3(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its sweep may have ended with its process, and `--every` must not wait for a day."""
    polls = chain([httpx.Response(200, json=sweep("running"))], repeat(httpx.Response(503)))
    assert await call(Recovery(polls=polls), wait=True) == Exit.UNHEALTHY
    assert "503, recovery cannot work now" in capsys.readouterr().err.splitlines()[-1]


async def test_an_answer_that_cannot_be_parsed_ends_the_call_and_no_loop_of_calls() -> None:
    """JSON that is nested too deeply is an error of its own kind."""
    nested = httpx.Response(500, text='{"detail":' + "[" * 100_000 + "]" * 100_000 + "}")
    assert await call(Recovery(start=nested)) == Exit.UNEXPECTED


async def test_a_credential_withdrawn_while_waiting_ends_it() -> None:
    assert await call(Recovery(polls=iter([httpx.Response(401)])), wait=True) == Exit.REFUSED
