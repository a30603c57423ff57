"""A fleet and an API that is down, then up: how often it is called, and that every job ends."""

import pytest

from consumers import worker
from deletion.alerts import AlertKind
from deletion.job import Status
from tests.support.fleet import SLOTS, Fleet

pytestmark = [pytest.mark.virtual_time, pytest.mark.usefixtures("logs")]

MINUTE, HOUR = 60.0, 3600.0
BOTS = 40
SEEDS = range(2)


def down(_bot: str, _seconds: float) -> int:
    return 503


@pytest.fixture
def polling_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle workers look twice a minute, so that an idle day is cheap."""
    monkeypatch.setattr(worker, "MAX_POLL_SECONDS", MINUTE / 2)


async def calls_to_a_dead_host(replicas: int, seed: int) -> tuple[int, int]:
    """Calls in the first ten seconds, and in twenty minutes from the second minute on."""
    fleet = Fleet(replicas, 100, down, seed=seed)
    async with fleet.running():
        await fleet.clock.sleep(22 * MINUTE)
    alerts = [alert.kind for alert in fleet.alerts.told]
    assert alerts == [AlertKind.BREAKER_OPEN], "one replica, once"
    return fleet.calls_between(0, 10), fleet.calls_between(2 * MINUTE, 22 * MINUTE)


@pytest.mark.proves("one-probe")
@pytest.mark.parametrize("seed", SEEDS)
async def test_eight_replicas_call_a_host_that_is_down_as_seldom_as_one(seed: int) -> None:
    (first_of_one, one), (first_of_eight, eight) = [
        await calls_to_a_dead_host(replicas, seed) for replicas in (1, 8)
    ]
    assert first_of_one <= 2 + 1
    assert first_of_eight <= 8 * 2 + 1, "what was under way when it opened"
    assert 3 <= one <= 6, "after 160 s, then every five minutes, or a little later"
    assert 3 <= eight <= 6


@pytest.mark.proves("parked-attempt")
@pytest.mark.usefixtures("polling_seldom")
async def test_parked_jobs_keep_their_attempts_however_long_the_host_is_down() -> None:
    fleet = Fleet(2, 100, down)
    async with fleet.running():
        await fleet.clock.sleep(3 * HOUR)
    attempts = sum(job.attempt for job in fleet.store.jobs.values())
    assert attempts <= len(fleet.calls), "only a run that made a call has spent one"
    assert len(fleet.calls) < 100
    untouched = [job for job in fleet.store.jobs.values() if job.status is Status.PENDING]
    assert len(untouched) >= 95


@pytest.mark.usefixtures("polling_seldom")
@pytest.mark.parametrize("bots", [2, 3])
async def test_a_day_without_the_host_exhausts_no_job_however_few_there_are(bots: int) -> None:
    """Each of them is the probe again and again, and each failed probe spends an attempt."""
    day = 24 * HOUR
    fleet = Fleet(1, bots, lambda _bot, seconds: 503 if seconds < day else 204)
    async with fleet.running():
        while fleet.seconds < 2 * day:
            await fleet.clock.sleep(HOUR)
            fleet.sweep()
            assert not fleet.statuses()[Status.EXHAUSTED]
    assert fleet.statuses() == {Status.COMPLETE: bots}


@pytest.mark.proves("one-bad-bot")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("outage", [0.0, 20 * MINUTE], ids=["up", "down-at-first"])
async def test_of_forty_bots_one_is_bad_and_the_others_end(outage: float, seed: int) -> None:
    """In a model without these rules the bad one was every probe, and the others never ended."""
    bad = "65f0a1b2c3d4e5f607180000"

    def answers(bot: str, seconds: float) -> int:
        return 500 if seconds < outage or bot == bad else 204

    fleet = Fleet(2, BOTS, answers, seed=seed)
    assert bad in fleet.bots
    async with fleet.running():
        await fleet.clock.sleep(outage + 2 * HOUR)
    others = [fleet.job_of(bot) for bot in fleet.bots if bot != bad]
    assert {job.status for job in others} == {Status.COMPLETE}
    assert fleet.job_of(bad).status in (Status.FAILED, Status.PENDING, Status.IN_PROGRESS)
    of_bad = sum(bot == bad for _, bot in fleet.calls)
    assert of_bad <= 200, "it costs its retries in place, and no more"


async def test_a_backlog_of_a_slow_api_costs_each_job_a_few_claims_however_long_it_is() -> None:
    """And its permits are not left free for long."""
    began, claims, took = dict[str, float](), list[float](), list[float]()

    def answers(bot: str, seconds: float) -> int:
        return 202 if seconds - began.setdefault(bot, seconds) < MINUTE else 200

    for bots in (50, 200):
        began.clear()
        fleet = Fleet(1, bots, answers)
        async with fleet.running():
            while fleet.statuses()[Status.COMPLETE] < bots:
                assert fleet.seconds < 4 * HOUR
                await fleet.clock.sleep(10)
        claims.append(fleet.store.claims / bots)
        took.append(fleet.seconds / (bots * MINUTE / 2))
    assert max(claims) < 15
    assert max(took) < 1.5, "of the time that two permits need"


@pytest.mark.proves("permits")
async def test_a_slow_api_takes_up_its_permits_and_leaves_the_other_slots() -> None:
    fleet = Fleet(1, BOTS, lambda _bot, _seconds: 202)
    most = 0
    async with fleet.running():
        while fleet.seconds < MINUTE:
            await fleet.clock.sleep(0.5)
            most = max(most, fleet.statuses()[Status.IN_PROGRESS])
    assert len(fleet.calls) > 10, "it is polled"
    assert most < SLOTS / 2, "the two that it works on, and one that has just been claimed"
